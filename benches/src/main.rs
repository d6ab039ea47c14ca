//! Measures Hooklane beside floors taken in the same run.
//!
//! One binary with a scenario per question; see benches/README.md. What is
//! measured runs as a process of its own, release build, started from the
//! folder this binary lies in; what is not counted (sink, load, brokers) runs
//! elsewhere. No figure is written here: everything printed was measured by
//! the run that prints it. This crate changes nothing in the product and is
//! used by nobody.

mod bed;
mod children;
mod cost;
mod cpu;
mod dispatching;
mod endpoints;
mod events;
mod figures;
mod floors;
mod ingest;
mod isolation;
mod latency;
mod load;
mod matching;
mod output;
mod recovery;
mod service;
mod sink;
mod throughput;

use std::process::ExitCode;

use clap::Parser;

/// Measures Hooklane beside floors taken in the same run
#[derive(Parser, Debug)]
#[command(name = "hooklane-benches")]
enum Scenario {
    /// Deliveries/s and CPU per 100,000 deliveries of the dispatcher, beside bare hyper and consume only
    Throughput(throughput::Args),
    /// What signatures, the egress guard and payload formats add to a delivery, beside one without
    Cost(cost::Args),
    /// Events/s and CPU per 100,000 events of ingest, beside consume only and produce only
    Ingest(ingest::Args),
    /// Cost of matching an event at 100, 1,000 and 10,000 subscriptions
    Match(matching::Args),
    /// Event to first byte at the receiver at half load, through all services
    Latency(latency::Args),
    /// What dead endpoints cost the healthy ones in the same lanes
    Isolation(isolation::Args),
    /// How the backlog of a dead endpoint comes back
    Recovery(recovery::Args),
    /// Memory of each configured endpoint, and cold start, of a dispatcher without work
    Endpoints(endpoints::Args),
    /// (part of others) the receiver
    #[command(hide = true)]
    Sink(sink::Args),
    /// (part of others) requests over bare hyper connections
    #[command(hide = true)]
    FloorHttp(floors::http::Args),
    /// (part of others) a consumer that only counts
    #[command(hide = true)]
    FloorConsume(floors::consume::Args),
    /// (part of others) a producer that only sends
    #[command(hide = true)]
    FloorProduce(floors::produce::Args),
}

fn main() -> ExitCode {
    let done = match Scenario::parse() {
        Scenario::Throughput(args) => throughput::run(&args),
        Scenario::Cost(args) => cost::run(&args),
        Scenario::Ingest(args) => ingest::run(&args),
        Scenario::Match(args) => matching::run(&args),
        Scenario::Latency(args) => latency::run(&args),
        Scenario::Isolation(args) => isolation::run(&args),
        Scenario::Recovery(args) => recovery::run(&args),
        Scenario::Endpoints(args) => endpoints::run(&args),
        Scenario::Sink(args) => sink::run(&args),
        Scenario::FloorHttp(args) => floors::http::run(&args),
        Scenario::FloorConsume(args) => floors::consume::run(&args),
        Scenario::FloorProduce(args) => floors::produce::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&error);
            ExitCode::FAILURE
        }
    }
}
