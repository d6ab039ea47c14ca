//! `hooklane pause` and `hooklane resume`: stop and start the deliveries of
//! one endpoint without a file.

use clap::Args;
use hooklane_model::catalog::Catalog;
use hooklane_model::id::new_uid;
use hooklane_model::plan::{self, Action, Given, Plan, StartOffsets, Switch, spoken};
use hooklane_model::resource::{Kind, ResourceKey};
use hooklane_model::time::Clock;

use crate::cluster::Cluster;
use crate::error::CliError;
use crate::kind::{key_of, parse_kind};
use crate::{Io, exit, store};

/// Arguments of `pause` and `resume`.
#[derive(Args, Clone, Debug)]
pub struct SwitchArgs {
    /// The endpoint's name; `endpoint NAME` is the same
    #[arg(value_name = "[KIND] NAME", num_args = 1..=2, required = true)]
    pub words: Vec<String>,
    /// Its tenant
    #[arg(long, value_name = "TENANT")]
    pub tenant: Option<String>,
}

impl SwitchArgs {
    fn key(&self) -> Result<ResourceKey, CliError> {
        let (kind, name) = match &self.words[..] {
            [kind, name] => (parse_kind(kind).map_err(CliError::Usage)?, name),
            [name] => (Kind::Endpoint, name),
            _ => return Err(CliError::Usage("name one endpoint".to_owned())),
        };
        if kind != Kind::Endpoint {
            let reason = "only an endpoint can be paused and resumed";
            return Err(CliError::Usage(reason.to_owned()));
        }
        key_of(kind, name, self.tenant.as_deref())
    }
}

/// Runs the command.
///
/// # Errors
/// When there is no such endpoint; when Kafka fails.
pub fn run(
    cluster: &Cluster,
    args: &SwitchArgs,
    switch: Switch,
    clock: &dyn Clock,
    io: &mut Io<'_>,
) -> Result<u8, CliError> {
    let key = args.key()?;
    let stored = store::load(cluster)?;
    stored.warn(io);
    let endpoint = stored.endpoint(&key)?;
    // The writer reads the configuration, not the statuses: what was read here
    // counts, and only for the generation that it is about.
    let status = stored.catalog.status(endpoint.uid()).cloned();
    let mut make = |catalog: &Catalog| -> Result<Plan, CliError> {
        let mut given = Given {
            now: clock.now(),
            topic_prefix: cluster.names.prefix(),
            start_offsets: &StartOffsets::new(),
            new_uid: &mut new_uid,
        };
        plan::switch(catalog, &key, switch, status.as_deref(), &mut given).map_err(CliError::Plan)
    };
    let mut planned = make(&stored.catalog)?;
    if !planned.writes.is_empty() {
        planned = store::write(cluster, &mut make)?;
    }
    for change in &planned.changes {
        let done = match (change.action, switch) {
            (Action::Unchanged, Switch::Pause) => "is paused already",
            (Action::Unchanged, Switch::Resume) => "is neither paused nor disabled",
            (_, Switch::Pause) => "paused",
            (_, Switch::Resume) => "resumed",
        };
        writeln!(io.out, "{} {done}", spoken(&change.key))?;
    }
    Ok(exit::OK)
}
