//! What a delivery costs the dispatcher, beside what it must cost at least.
//!
//! The envelopes lie in the lanes before the dispatcher starts, so ingest has
//! no part in it. Each round measures, one after the other: bare hyper against
//! the same sink, then for each fan-out the dispatcher and a consumer that only
//! counts. The dispatcher's CPU is that of its whole process, attempts log and
//! commits included, from just before the first delivery until every offset is
//! committed; its start is not in it.

mod report;

use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use hooklane_model::id::EndpointUid;

use crate::bed::{Bed, Brokers, endpoints};
use crate::children::{Floor, run_floor};
use crate::cpu;
use crate::figures::{Spread, float, per_100_000};
use crate::load::Deliveries;
use crate::output;
use crate::service::{self, Kind, Service};
use crate::sink::{SinkProcess, SinkStats};

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Deliveries of each run
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1000..))]
    deliveries: u64,
    /// Endpoints that an event goes to
    #[arg(long, value_delimiter = ',', default_value = "1,10")]
    fanout: Vec<usize>,
    /// host:port of a Kafka to use; without it one is started
    #[arg(long)]
    brokers: Option<String>,
    /// How often everything is measured
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Endpoints
    #[arg(long, default_value_t = 16)]
    endpoints: usize,
    /// maxConcurrency of each endpoint
    #[arg(long, default_value_t = 4)]
    concurrency: u32,
    /// Bytes of a payload
    #[arg(long, default_value_t = 1024)]
    payload: usize,
    /// Lanes of the deliveries topic; `hooklane topics create` makes 64
    #[arg(long, default_value_t = NonZeroU16::new(64).expect("not zero"))]
    lanes: NonZeroU16,
}

const PATIENCE: Duration = Duration::from_secs(300);
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

/// One fan-out: its topics, and what was measured so far.
struct Case {
    fanout: usize,
    bed: Bed,
    /// Records and deliveries that lie in its lanes.
    records: u64,
    deliveries: u64,
    figures: Figures,
}

/// Measured values of one fan-out, a value a round; CPU per 100,000 deliveries.
#[derive(Default)]
struct Figures {
    rate: Spread,
    cpu: Spread,
    consume_cpu: Spread,
    /// To bare hyper, and to bare hyper and consuming together.
    to_bare: Spread,
    to_both: Spread,
    request_bytes: Spread,
    connections: Spread,
    peak_mib: Spread,
    attempts_records: Spread,
    parked_percent: Spread,
}

/// The floor of sending, a value a round.
#[derive(Default)]
struct Bare {
    rate: Spread,
    cpu: Spread,
    request_bytes: Spread,
    connections: Spread,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    service::ensure_release(&[Kind::Dispatcher])?;
    ensure!(
        args.fanout.iter().all(|f| (1..=args.endpoints).contains(f)),
        "a fan-out is between 1 and the {} endpoints there are",
        args.endpoints
    );
    let brokers = Brokers::start(args.brokers.as_deref())?;
    let sink = SinkProcess::start()?;
    let mut cases = Vec::new();
    for fanout in &args.fanout {
        cases.push(prepare(args, *fanout, &brokers, &sink)?);
    }
    let (mut bare, mut foreign) = (Bare::default(), Spread::default());
    for round in 1..=args.rounds {
        foreign.add(cpu::busy_cores(Duration::from_secs(1))?);
        output::progress(format!("round {round} of {}: bare hyper", args.rounds));
        let floor = measure_bare(args, &sink, &mut bare)?;
        for case in &mut cases {
            output::progress(format!(
                "round {round} of {}: fan-out {}",
                args.rounds, case.fanout
            ));
            measure(case, &sink, floor).with_context(|| format!("fan-out {}", case.fanout))?;
        }
    }
    report::show(args, &brokers, &bare, &cases, &foreign);
    Ok(())
}

fn prepare(
    args: &Args,
    fanout: usize,
    brokers: &Brokers,
    sink: &SinkProcess,
) -> anyhow::Result<Case> {
    output::progress(format!("storing envelopes of fan-out {fanout}"));
    let bed = Bed::create(brokers, args.lanes)?;
    let manifests = endpoints(sink.addr(), args.endpoints, args.concurrency);
    let endpoints: Vec<EndpointUid> = bed.apply(&manifests)?;
    let load = Deliveries {
        topic: bed.names.deliveries(),
        lanes: args.lanes,
        endpoints: &endpoints,
        fanout,
        deliveries: args.deliveries,
        payload: args.payload,
    };
    let (records, deliveries) = load.store(&bed.settings)?;
    Ok(Case {
        fanout,
        bed,
        records,
        deliveries,
        figures: Figures::default(),
    })
}

/// CPU seconds per 100,000 requests of bare hyper.
fn measure_bare(args: &Args, sink: &SinkProcess, bare: &mut Bare) -> anyhow::Result<f64> {
    sink.reset()?;
    let connections = u64::from(args.concurrency) * args.endpoints as u64;
    let [to, requests, connections, payload, paths] = [
        sink.addr().to_string(),
        args.deliveries.to_string(),
        connections.to_string(),
        args.payload.to_string(),
        args.endpoints.to_string(),
    ];
    let floor = run_floor(
        "floor-http",
        &[
            "--sink",
            &to,
            "--requests",
            &requests,
            "--connections",
            &connections,
            "--payload",
            &payload,
            "--paths",
            &paths,
        ],
        PATIENCE,
    )?;
    let stats = sink.stats()?;
    let cpu = per_100_000(floor.cpu_seconds, floor.count);
    bare.cpu.add(cpu);
    bare.rate.add(float(floor.count) / floor.seconds);
    bare.request_bytes
        .add(float(stats.bytes) / float(stats.requests));
    bare.connections.add(float(stats.connections));
    Ok(cpu)
}

/// One run of the dispatcher, and one of the consumer that only counts.
fn measure(case: &mut Case, sink: &SinkProcess, bare: f64) -> anyhow::Result<()> {
    let run = dispatch(case, sink)?;
    let consume = consume(case)?;
    let figures = &mut case.figures;
    let cpu = per_100_000(run.cpu_seconds, run.sink.requests);
    let consume_cpu = per_100_000(consume.cpu_seconds, case.deliveries);
    figures
        .rate
        .add(float(run.sink.requests) / run.sink.seconds);
    figures.parked_percent.add(run.parked * 100.0);
    figures.cpu.add(cpu);
    figures.consume_cpu.add(consume_cpu);
    figures.to_bare.add(cpu / bare);
    figures.to_both.add(cpu / (bare + consume_cpu));
    figures
        .request_bytes
        .add(float(run.sink.bytes) / float(run.sink.requests));
    figures.connections.add(float(run.sink.connections));
    figures.peak_mib.add(run.peak_mib);
    figures.attempts_records.add(float(run.attempts_records));
    Ok(())
}

struct Run {
    sink: SinkStats,
    cpu_seconds: f64,
    peak_mib: f64,
    attempts_records: u64,
    /// Part of the deliveries.
    parked: f64,
}

fn dispatch(case: &Case, sink: &SinkProcess) -> anyhow::Result<Run> {
    let (bed, lanes) = (&case.bed, case.bed.names.deliveries());
    let group = bed.dispatcher_group();
    bed.rewind(&group, &lanes, usize::from(bed.lanes.get()))?;
    let attempts = bed.names.attempts();
    let logged = bed.records(&attempts)?;
    sink.reset()?;
    let mut service = Service::spawn(Kind::Dispatcher, bed)?;
    // The last look before the first delivery is where its CPU counts from.
    let mut before = 0.0;
    let (mut seen, mut moved) = (0, Instant::now());
    while seen < case.deliveries {
        let used = service.cpu()?;
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
            "{seen} of {} deliveries, and no more for {STALL:?}; {}",
            case.deliveries,
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
        cpu_seconds: service.cpu()? - before,
        sink: sink.stats()?,
        peak_mib: service.peak_mib()?,
        attempts_records: bed.records(&attempts)? - logged,
    };
    run.parked = check(case, &service, &run)?;
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
fn check(case: &Case, service: &Service, run: &Run) -> anyhow::Result<f64> {
    let scrape = service.scrape()?;
    let delivered = scrape.sum("hooklane_delivered_total", &[]);
    let parked = scrape.sum("hooklane_parked_total", &[]);
    let meant = float(case.deliveries);
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

fn consume(case: &Case) -> anyhow::Result<Floor> {
    let [partitions, records] = [case.bed.lanes.to_string(), case.records.to_string()];
    run_floor(
        "floor-consume",
        &[
            "--brokers",
            &case.bed.settings.brokers,
            "--topic",
            &case.bed.names.deliveries(),
            "--group",
            &format!("{}consume", case.bed.names.prefix()),
            "--partitions",
            &partitions,
            "--records",
            &records,
        ],
        PATIENCE,
    )
}
