//! `hooklane apply`: make what is stored as files declare.

use std::collections::BTreeMap;

use clap::Args;
use hooklane_kafka::scan::end_offsets;
use hooklane_model::catalog::Catalog;
use hooklane_model::id::new_uid;
use hooklane_model::plan::{self, Given, Plan, PlanError, StartOffsets, spoken};
use hooklane_model::resource::{Document, ResourceKey};
use hooklane_model::time::Clock;

use crate::cluster::{Cluster, PATIENCE};
use crate::error::CliError;
use crate::files::{self, FileArgs};
use crate::{Io, exit, store};

/// Arguments of `apply`.
#[derive(Args, Clone, Debug, Default)]
pub struct ApplyArgs {
    /// What to apply.
    #[command(flatten)]
    pub files: FileArgs,
    /// Check everything and show what would happen, but write nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Runs the command.
///
/// # Errors
/// All problems of the files at once; when Kafka fails.
pub fn run(
    cluster: &Cluster,
    args: &ApplyArgs,
    clock: &dyn Clock,
    io: &mut Io<'_>,
) -> Result<u8, CliError> {
    let documents = files::read(&args.files.files, io.input)?;
    let (planner, plan) = first_plan(cluster, documents, clock, io)?;
    let plan = if args.dry_run || plan.writes.is_empty() {
        plan
    } else {
        let mut planner = planner;
        store::write(cluster, &mut |catalog| planner.plan(catalog))?
    };
    show(&plan, args.dry_run, io)?;
    Ok(exit::OK)
}

/// What `documents` would change now, and the planner that says so again.
pub(crate) fn first_plan<'a>(
    cluster: &'a Cluster,
    documents: Vec<Document>,
    clock: &'a dyn Clock,
    io: &mut Io<'_>,
) -> Result<(Planner<'a>, Plan), CliError> {
    let stored = store::load(cluster)?;
    stored.warn(io);
    let keys: Vec<ResourceKey> = documents.iter().map(|d| d.manifest.key()).collect();
    stored.check_readable(&keys)?;
    let mut planner = Planner {
        cluster,
        documents,
        clock,
        start_offsets: StartOffsets::new(),
        missing: Vec::new(),
    };
    let plan = planner.plan(&stored.catalog)?;
    for topic in &planner.missing {
        io.say(&format!(
            "warning: topic {topic} does not exist yet; once it does, it is read from its first \
             event"
        ));
    }
    Ok((planner, plan))
}

/// Plans the same documents as often as it must be.
pub(crate) struct Planner<'a> {
    cluster: &'a Cluster,
    documents: Vec<Document>,
    clock: &'a dyn Clock,
    /// Where sources start that are new; asked once.
    start_offsets: StartOffsets,
    /// Topics that do not exist.
    missing: Vec<String>,
}

impl Planner<'_> {
    fn plan(&mut self, catalog: &Catalog) -> Result<Plan, CliError> {
        // First without them: a file that is refused asks the brokers nothing.
        self.plan_with_known_offsets(catalog)
            .map_err(CliError::Plan)?;
        self.resolve(catalog)?;
        self.plan_with_known_offsets(catalog)
            .map_err(CliError::Plan)
    }

    fn plan_with_known_offsets(&self, catalog: &Catalog) -> Result<Plan, PlanError> {
        let mut given = Given {
            now: self.clock.now(),
            topic_prefix: self.cluster.names.prefix(),
            start_offsets: &self.start_offsets,
            new_uid: &mut new_uid,
        };
        plan::apply(catalog, self.documents.clone(), &mut given)
    }

    fn resolve(&mut self, catalog: &Catalog) -> Result<(), CliError> {
        for topic in plan::topics_to_resolve(catalog, &self.documents) {
            if self.start_offsets.contains_key(&topic) {
                continue;
            }
            let ends = end_offsets(&self.cluster.settings, &topic, PATIENCE)?;
            if ends.is_none() {
                self.missing.push(topic.clone());
            }
            self.start_offsets
                .insert(topic, ends.unwrap_or_else(BTreeMap::new));
        }
        Ok(())
    }
}

/// One line a resource.
pub(crate) fn show(plan: &Plan, dry_run: bool, io: &mut Io<'_>) -> Result<(), CliError> {
    let suffix = if dry_run { " (dry run)" } else { "" };
    for change in &plan.changes {
        let done = change.action.done();
        writeln!(io.out, "{} {done}{suffix}", spoken(&change.key))?;
    }
    Ok(())
}
