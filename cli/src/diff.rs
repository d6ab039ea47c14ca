//! `hooklane diff`: what `apply` would change.

use clap::Args;
use hooklane_model::plan::{Action, PlannedChange, spoken};
use hooklane_model::resource::Kind;
use hooklane_model::time::Clock;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::error::CliError;
use crate::files::{self, FileArgs};
use crate::output::OneFormat;
use crate::{Io, apply, exit, lines, output};

/// Arguments of `diff`.
#[derive(Args, Clone, Debug, Default)]
pub struct DiffArgs {
    /// What to compare.
    #[command(flatten)]
    pub files: FileArgs,
    /// How to show it
    #[arg(long, short, value_enum, default_value_t)]
    pub output: OneFormat,
}

/// Runs the command.
///
/// # Errors
/// As `apply` would.
pub fn run(
    cluster: &Cluster,
    args: &DiffArgs,
    clock: &dyn Clock,
    io: &mut Io<'_>,
) -> Result<u8, CliError> {
    let documents = files::read(&args.files.files, io.input)?;
    let (_, plan) = apply::first_plan(cluster, documents, clock, io)?;
    let differing = plan.changes.iter();
    let differing: Vec<&PlannedChange> = differing
        .filter(|change| change.action != Action::Unchanged)
        .collect();
    let data = || json!({"changes": differing.iter().map(|c| as_data(c)).collect::<Vec<_>>()});
    if !args.output.data(io.out, data)? {
        for change in &differing {
            show(change, io)?;
        }
    }
    Ok(if differing.is_empty() {
        exit::OK
    } else {
        exit::FAILURE
    })
}

fn as_data(change: &PlannedChange) -> Value {
    let key = &change.key;
    json!({
        "kind": key.kind.to_string(),
        "tenant": (key.kind != Kind::Source).then_some(&key.tenant),
        "name": key.name,
        "action": change.action.done(),
        "before": change.before.as_ref().map(|document| document.shown_spec()),
        "after": change.document.shown_spec(),
    })
}

fn show(change: &PlannedChange, io: &mut Io<'_>) -> Result<(), CliError> {
    let name = spoken(&change.key);
    let before = match &change.before {
        Some(document) => {
            let generation = document.manifest.meta().generation;
            writeln!(io.out, "--- {name} (generation {generation})")?;
            output::yaml(&document.shown_spec())?
        }
        None => {
            writeln!(io.out, "--- {name} (does not exist)")?;
            String::new()
        }
    };
    writeln!(io.out, "+++ {name} (file)")?;
    let after = output::yaml(&change.document.shown_spec())?;
    for line in lines::difference(&before, &after) {
        writeln!(io.out, "{line}")?;
    }
    Ok(())
}
