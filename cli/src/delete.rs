//! `hooklane delete`: end resources.

use std::path::PathBuf;

use clap::Args;
use hooklane_model::catalog::Catalog;
use hooklane_model::id::new_uid;
use hooklane_model::plan::{self, Given, Plan, StartOffsets, Victim};
use hooklane_model::resource::Kind;
use hooklane_model::time::Clock;

use crate::cluster::Cluster;
use crate::error::CliError;
use crate::kind::{key_of, parse_kind};
use crate::{Io, apply, exit, files, store};

/// Arguments of `delete`.
#[derive(Args, Clone, Debug, Default)]
pub struct DeleteArgs {
    /// source (src), endpoint (ep) or subscription (sub)
    #[arg(value_parser = parse_kind, requires = "name", required_unless_present = "files")]
    pub kind: Option<Kind>,
    /// Its name
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Its tenant; a source has none
    #[arg(long, value_name = "TENANT")]
    pub tenant: Option<String>,
    /// Delete what this file declares; `-` is standard input; can be repeated
    #[arg(long = "file", short = 'f', value_name = "FILE", conflicts_with_all = ["kind", "tenant"])]
    pub files: Vec<PathBuf>,
    /// Check everything and show what would happen, but write nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Runs the command.
///
/// # Errors
/// All problems at once, among them what is not there and what others refer
/// to; when Kafka fails.
pub fn run(
    cluster: &Cluster,
    args: &DeleteArgs,
    clock: &dyn Clock,
    io: &mut Io<'_>,
) -> Result<u8, CliError> {
    let victims = victims(args, io)?;
    let stored = store::load(cluster)?;
    stored.warn(io);
    stored.check_readable(victims.iter().map(|v| &v.key))?;
    let mut plan = |catalog: &Catalog| -> Result<Plan, CliError> {
        let mut given = Given {
            now: clock.now(),
            topic_prefix: cluster.names.prefix(),
            start_offsets: &StartOffsets::new(),
            new_uid: &mut new_uid,
        };
        plan::delete(catalog, &victims, &mut given).map_err(CliError::Plan)
    };
    let mut planned = plan(&stored.catalog)?;
    if !args.dry_run {
        planned = store::write(cluster, &mut plan)?;
    }
    apply::show(&planned, args.dry_run, io)?;
    Ok(exit::OK)
}

fn victims(args: &DeleteArgs, io: &mut Io<'_>) -> Result<Vec<Victim>, CliError> {
    if let (Some(kind), Some(name)) = (args.kind, &args.name) {
        let key = key_of(kind, name, args.tenant.as_deref())?;
        return Ok(vec![Victim::named(key)]);
    }
    let documents = files::read(&args.files, io.input)?;
    Ok(documents.iter().map(Victim::of).collect())
}
