//! One run of a dispatcher over envelopes that lie in its lanes already.
//!
//! Its CPU is that of the whole process, attempts log and commits included,
//! from just before the first delivery until every offset is committed; its
//! start is not in it. A run counts only if it was the work that is meant.

use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::bed::Bed;
use crate::figures::float;
use crate::service::{Kind, Service};
use crate::sink::{SinkProcess, SinkStats};

/// After so long without a delivery it is asked whether there are any left.
const QUIET: Duration = Duration::from_secs(1);
/// The part of the deliveries that may be parked: the receiver is never slow,
/// but on a machine with other work the dispatcher may think so.
const PARKED_MAX: f64 = 0.05;
/// A run without progress for so long will not end.
const STALL: Duration = Duration::from_secs(20);
/// How often is looked until the first delivery: what the dispatcher does in
/// this time before it is counted as part of the deliveries.
const LOOK: Duration = Duration::from_millis(5);
/// How often is looked after that.
const GLANCE: Duration = Duration::from_millis(50);

/// What one run took.
pub(crate) struct Run {
    pub(crate) sink: SinkStats,
    pub(crate) cpu_seconds: f64,
    pub(crate) peak_mib: f64,
    pub(crate) attempts_records: u64,
    /// Part of the deliveries.
    pub(crate) parked: f64,
}

/// Starts a dispatcher with `environment`, has it make the `deliveries` that
/// lie in the lanes of `bed`, and stops it.
pub(crate) fn run(
    bed: &Bed,
    deliveries: u64,
    sink: &SinkProcess,
    environment: &[(&str, String)],
) -> anyhow::Result<Run> {
    let lanes = bed.names.deliveries();
    let group = bed.dispatcher_group();
    bed.rewind(&group, &lanes, usize::from(bed.lanes.get()))?;
    let attempts = bed.names.attempts();
    let logged = bed.records(&attempts)?;
    sink.reset()?;
    let mut service = Service::spawn_with(Kind::Dispatcher, bed, environment)?;
    // The last look before the first delivery is where its CPU counts from.
    let mut before = 0.0;
    let (mut seen, mut moved) = (0, Instant::now());
    while seen < deliveries {
        let used = service.cpu_of_threads()?;
        let came = sink.stats()?.requests;
        if came == 0 {
            before = used;
        }
        if came > seen {
            (seen, moved) = (came, Instant::now());
        }
        // What was parked does not come in this run.
        if moved.elapsed() > QUIET && seen > 0 && bed.is_done(&group, &lanes)? {
            break;
        }
        ensure!(
            moved.elapsed() < STALL,
            "{seen} of {deliveries} deliveries, and no more for {STALL:?}; {}",
            state(&service)
        );
        std::thread::sleep(if seen > 0 { GLANCE } else { LOOK });
    }
    let end = Instant::now() + STALL;
    while !bed.is_done(&group, &lanes)? {
        ensure!(
            Instant::now() < end,
            "everything came and is not committed after {STALL:?}; {}",
            state(&service)
        );
        std::thread::sleep(GLANCE);
    }
    let mut run = Run {
        parked: 0.0,
        cpu_seconds: service.cpu_of_threads()? - before,
        sink: sink.stats()?,
        peak_mib: service.peak_mib()?,
        attempts_records: bed.records(&attempts)? - logged,
    };
    run.parked = check(deliveries, &service, &run)?;
    service.stop()?;
    Ok(run)
}

/// What a dispatcher that does not get on says about itself.
fn state(service: &Service) -> String {
    let numbers = service.scrape().map(|scrape| {
        let names = [
            "hooklane_lane_records_read_total",
            "hooklane_delivered_total",
            "hooklane_parked_total",
            "hooklane_retries_total",
            "hooklane_dead_total",
            "hooklane_deliveries_in_memory",
            "hooklane_requests_in_flight",
        ];
        let show = |name: &&str| format!("{name} {}", scrape.sum(name, &[]));
        names.iter().map(show).collect::<Vec<_>>().join(", ")
    });
    let numbers = numbers.unwrap_or_else(|error| format!("no metrics: {error:#}"));
    format!("{numbers}\n{}", service.log())
}

/// A run counts only if it was the work that is meant: each delivery made
/// once and logged, and next to none put off. Returns the part that was parked.
fn check(deliveries: u64, service: &Service, run: &Run) -> anyhow::Result<f64> {
    let scrape = service.scrape()?;
    let delivered = scrape.sum("hooklane_delivered_total", &[]);
    let parked = scrape.sum("hooklane_parked_total", &[]);
    let meant = float(deliveries);
    let came = float(run.sink.requests);
    ensure!(
        (delivered - came).abs() < 0.5 && (came + parked - meant).abs() < 0.5,
        "{came} requests came, {delivered} were counted as delivered and {parked} as parked, {meant} were stored"
    );
    let part = parked / meant;
    ensure!(
        part <= PARKED_MAX,
        "{:.1} % of the deliveries were parked although no receiver is slow: this measures something else; {}",
        part * 100.0,
        state(service)
    );
    ensure!(run.attempts_records > 0, "no attempt was logged");
    Ok(part)
}
