//! `hooklane-ingest`: reads event topics and fans events out to lanes.

use std::process::ExitCode;

use hooklane_ingest::{Config, INGEST};
use hooklane_kafka::topics::TopicCheck;
use hooklane_service::run::{ServiceSpec, run};

fn main() -> ExitCode {
    let spec = ServiceSpec {
        binary: "hooklane-ingest",
        component: "ingest",
        about: "Reads event topics and fans events out to the lanes of their endpoints.",
        sections: &[&INGEST],
        foreign: &["dispatcher", "retry_scheduler", "egress", "secrets"],
        read: Config::read,
    };
    run(&spec, |context, config| {
        hooklane_ingest::run(&context, &config, TopicCheck::Full)
    })
}
