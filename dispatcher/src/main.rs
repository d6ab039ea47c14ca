//! The dispatcher's process; everything is in the library.

use std::process::ExitCode;

use hooklane_dispatcher::{Config, Environment};
use hooklane_service::run::{ServiceSpec, run};

const SPEC: ServiceSpec<Config> = ServiceSpec {
    binary: "hooklane-dispatcher",
    component: "dispatcher",
    about: "Owns lanes and delivers to endpoints at their limits",
    sections: Config::SECTIONS,
    foreign: &["ingest", "retry_scheduler"],
    read: Config::read,
};

fn main() -> ExitCode {
    run(&SPEC, |context, config| {
        hooklane_dispatcher::run(context, &config, &Environment::default())
    })
}
