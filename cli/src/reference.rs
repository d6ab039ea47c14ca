//! `hooklane reference`: what the services can be told, and what they measure.
//!
//! Made from the declarations that the services themselves read and register,
//! so that docs/configuration.md and docs/metrics.md, which a test holds to
//! this output, cannot say anything else.

use clap::{Args, ValueEnum};
use hooklane_service::config::{CommonConfig, Section, reference_markdown};
use hooklane_service::metrics::{self, FamilyDoc, MetricsError, Registry};

use crate::Io;
use crate::error::CliError;
use crate::exit;

/// Arguments of `hooklane reference`.
#[derive(Args, Debug)]
pub struct ReferenceArgs {
    /// Of what
    #[arg(value_enum)]
    pub of: Subject,
}

/// What there is a reference of.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Subject {
    /// Every configuration key of every service
    Configuration,
    /// Every metric of every service
    Metrics,
}

/// Prints the reference.
///
/// # Errors
/// When the output cannot be written.
pub fn run(args: &ReferenceArgs, io: &mut Io<'_>) -> Result<u8, CliError> {
    let text = match args.of {
        Subject::Configuration => configuration(),
        Subject::Metrics => metrics().expect("each service registers into a registry of its own"),
    };
    write!(io.out, "{text}")?;
    Ok(exit::OK)
}

/// docs/configuration.md.
#[must_use]
pub fn configuration() -> String {
    let own = [
        &hooklane_ingest::INGEST,
        &hooklane_dispatcher::config::DISPATCHER,
        &hooklane_dispatcher::config::egress::EGRESS,
        &hooklane_service::secrets::SECRETS,
        &hooklane_retry_scheduler::config::RETRY_SCHEDULER,
    ];
    let sections: Vec<&Section> = CommonConfig::SECTIONS.iter().copied().chain(own).collect();
    format!("{CONFIGURATION_HEAD}{}", reference_markdown(&sections))
}

/// docs/metrics.md.
///
/// # Errors
/// Two families of one service with one name.
pub fn metrics() -> Result<String, MetricsError> {
    let ingest = Registry::new("ingest");
    hooklane_ingest::metrics::Metrics::register(&ingest)?;
    let dispatcher = Registry::new("dispatcher");
    hooklane_dispatcher::register_families(&dispatcher)?;
    let scheduler = Registry::new("retry_scheduler");
    hooklane_retry_scheduler::register_families(&scheduler)?;
    for registry in [&ingest, &dispatcher, &scheduler] {
        hooklane_service::run::register_families(registry)?;
    }
    let components: Vec<(&str, Vec<FamilyDoc>)> = [&ingest, &dispatcher, &scheduler]
        .map(|r| (r.component(), r.families()))
        .into();
    Ok(format!(
        "{METRICS_HEAD}{}",
        metrics::reference_markdown(&components)
    ))
}

const CONFIGURATION_HEAD: &str = "\
# Configuration

Every service reads a YAML file (`--config FILE`) and the environment, which wins. A key `section.key` is the variable
`HOOKLANE__SECTION__KEY`; where the value is text, the variable with `_FILE` at its end names a file that holds it, for
secrets. With only the brokers set, a service runs on defaults. `--check-config` reads and checks, prints every problem, and ends: 0 if all
is well, 78 if not. One file can serve all services: each passes over the sections of the others.

Made by `hooklane reference configuration`; a test holds this page to it.

";

const METRICS_HEAD: &str = "\
# Metrics

Every service serves `/metrics`, `/healthz` and `/readyz` at `metrics.listen`. All series exist from the first scrape but
those by partition and by endpoint. Only the latter have labels with values that a tenant chooses: rows for the
`dispatcher.top_endpoints` with most waiting in a dispatcher, each kept until another endpoint has twice as much waiting, and one
row (`_other`) for all the rest: the sum of what adds up, the worst of what does not. `hooklane describe endpoint` tells the
same of any endpoint. Counters of the books: `hooklane_matched_deliveries_total`
(ingest) = `hooklane_delivered_total` + `hooklane_dead_total` (dispatcher; the reason `expired` is what expired) + what is
pending; after a crash they differ by what was repeated, and `hooklane books` counts exactly, from the topics.

Made by `hooklane reference metrics`; a test holds this page to it.

";
