//! How the figures of a run are shown.

use super::{Args, Bare, Case};
use crate::bed::Brokers;
use crate::figures::{Spread, float};
use crate::output::{line, machine};

pub(super) fn show(args: &Args, brokers: &Brokers, bare: &Bare, cases: &[Case], foreign: &Spread) {
    line(format!(
        "throughput: {} deliveries a run, {} B payload, {} endpoints x maxConcurrency {}, {} lanes, {} rounds; median (min-max)",
        args.deliveries, args.payload, args.endpoints, args.concurrency, args.lanes, args.rounds
    ));
    machine(brokers, Some(format_args!("{foreign}")));
    line("");
    line(format!(
        "{:<34} {:>24} {:>22}",
        "", "per second", "CPU s per 100,000"
    ));
    row(
        "floor (a): bare hyper, requests",
        Some(&bare.rate),
        &bare.cpu,
    );
    for case in cases {
        let (name, figures) = (case.fanout, &case.figures);
        line("");
        row(
            &format!("fan-out {name}: dispatcher, deliveries"),
            Some(&figures.rate),
            &figures.cpu,
        );
        row(
            &format!("fan-out {name}: floor (b): consume"),
            None,
            &figures.consume_cpu,
        );
        line(format!("  dispatcher / (a)       {}", figures.to_bare));
        line(format!("  dispatcher / ((a)+(b)) {}", figures.to_both));
        line(format!(
            "  records read per delivery {:.2}, attempts-log records per delivery {:.3}, peak memory {} MiB",
            float(case.records) / float(case.deliveries),
            figures.attempts_records.median() / float(case.deliveries),
            figures.peak_mib,
        ));
        line(format!(
            "  parked although no receiver is slow: {} % of the deliveries",
            figures.parked_percent
        ));
        line(format!(
            "  bytes per request {:.0} (bare {:.0}), connections {:.0} (bare {:.0})",
            figures.request_bytes.median(),
            bare.request_bytes.median(),
            figures.connections.median(),
            bare.connections.median(),
        ));
    }
    line("");
    line(
        "CPU of the dispatcher: its whole process, from just before the first delivery until all \
         offsets are committed, attempts log included. Ratios are taken within a round.",
    );
}

fn row(name: &str, rate: Option<&Spread>, cpu: &Spread) {
    let rate = rate.map_or_else(|| "-".to_owned(), Spread::to_string);
    line(format!(
        "{name:<34} {rate:>24} {cpu:>22}",
        cpu = cpu.to_string()
    ));
}
