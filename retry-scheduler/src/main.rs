//! The retry-scheduler's process; everything is in the library.

use std::process::ExitCode;

use hooklane_retry_scheduler::{Config, Environment};
use hooklane_service::run::{ServiceSpec, run};

const SPEC: ServiceSpec<Config> = ServiceSpec {
    binary: "hooklane-retry-scheduler",
    component: "retry_scheduler",
    about: "Holds delayed deliveries until they are due and returns them to their lane",
    sections: Config::SECTIONS,
    foreign: &["ingest", "dispatcher", "egress", "secrets"],
    read: Config::read,
};

fn main() -> ExitCode {
    run(&SPEC, |context, config| {
        hooklane_retry_scheduler::run(&context, &config, &Environment::default())
    })
}
