//! `hooklane diff`: what `apply` would change.

use clap::Args;
use hooklane_model::plan::{Action, PlannedChange, spoken};
use hooklane_model::time::Clock;

use crate::cluster::Cluster;
use crate::error::CliError;
use crate::files::{self, FileArgs};
use crate::{Io, apply, exit, lines, output};

/// Arguments of `diff`.
#[derive(Args, Clone, Debug, Default)]
pub struct DiffArgs {
    /// What to compare.
    #[command(flatten)]
    pub files: FileArgs,
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
    let mut differs = false;
    for change in &plan.changes {
        if change.action != Action::Unchanged {
            differs = true;
            show(change, io)?;
        }
    }
    Ok(if differs { exit::FAILURE } else { exit::OK })
}

fn show(change: &PlannedChange, io: &mut Io<'_>) -> Result<(), CliError> {
    let name = spoken(&change.key);
    let before = match &change.before {
        Some(document) => {
            let generation = document.manifest.meta().generation;
            writeln!(io.out, "--- {name} (generation {generation})")?;
            output::yaml(&document.spec)?
        }
        None => {
            writeln!(io.out, "--- {name} (does not exist)")?;
            String::new()
        }
    };
    writeln!(io.out, "+++ {name} (file)")?;
    let after = output::yaml(&change.document.spec)?;
    for line in lines::difference(&before, &after) {
        writeln!(io.out, "{line}")?;
    }
    Ok(())
}
