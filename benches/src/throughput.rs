//! What a delivery costs the dispatcher, beside what it must cost at least.
//!
//! The envelopes lie in the lanes before the dispatcher starts, so ingest has
//! no part in it. Each round measures, one after the other: bare hyper against
//! the same sink, then for each fan-out the dispatcher and a consumer that only
//! counts.

mod report;

use std::num::NonZeroU16;
use std::time::Duration;

use anyhow::{Context, ensure};
use hooklane_model::id::EndpointUid;

use crate::bed::{Bed, Brokers, endpoints};
use crate::children::{Floor, run_floor};
use crate::cpu;
use crate::dispatching;
use crate::figures::{Spread, float, per_100_000};
use crate::load::Deliveries;
use crate::output;
use crate::service::{self, Kind};
use crate::sink::SinkProcess;

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
    let run = dispatching::run(&case.bed, case.deliveries, sink, &[])?;
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
