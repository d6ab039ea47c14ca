//! What an event costs ingest, beside what reading and writing it cost at
//! least.
//!
//! The events lie in the source topic before ingest starts. There is one
//! subscription for each endpoint, and the fan-out is how many of them an
//! event's type matches; with fan-out 0 none does. CPU counts as in
//! `throughput`: the whole process, from just before its first event until
//! every source offset is committed. The floor of writing is a producer that
//! sends as many payloads as ingest makes envelopes.

use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use hooklane_test_support::unique;
use serde_json::{Value, json};

use crate::bed::{Bed, Brokers, endpoints};
use crate::children::{Floor, run_floor};
use crate::figures::{Spread, float, per_100_000};
use crate::load::{Loader, TENANT, cloud_event};
use crate::service::{self, Kind, Service};
use crate::{cpu, events, output};

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Events of each run
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1000..))]
    events: u64,
    /// Subscriptions that an event matches
    #[arg(long, value_delimiter = ',', default_value = "0,1,10")]
    fanout: Vec<usize>,
    /// host:port of a Kafka to use; without it one is started
    #[arg(long)]
    brokers: Option<String>,
    /// How often everything is measured
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Endpoints, and subscriptions
    #[arg(long, default_value_t = 16)]
    endpoints: usize,
    /// Bytes of a payload
    #[arg(long, default_value_t = 1024)]
    payload: usize,
    /// Lanes of the deliveries topic
    #[arg(long, default_value_t = NonZeroU16::new(64).expect("not zero"))]
    lanes: NonZeroU16,
}

const PATIENCE: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_millis(5);
/// A scrape costs ingest some CPU, so it is not done often.
const GLANCE: Duration = Duration::from_millis(100);
/// Partitions of each source topic.
pub(crate) const PARTITIONS: i32 = 4;

struct Case {
    fanout: usize,
    bed: Bed,
    topic: String,
    rate: Spread,
    cpu: Spread,
    consume: Spread,
    produce: Spread,
    to_floors: Spread,
    envelopes: u64,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    service::ensure_release(&[Kind::Ingest])?;
    ensure!(
        args.fanout.iter().all(|f| *f <= args.endpoints),
        "a fan-out is at most the {} endpoints there are",
        args.endpoints
    );
    let brokers = Brokers::start(args.brokers.as_deref())?;
    let mut cases = Vec::new();
    for fanout in &args.fanout {
        output::progress(format!("storing events of fan-out {fanout}"));
        cases.push(prepare(args, *fanout, &brokers)?);
    }
    let mut foreign = Spread::default();
    for round in 1..=args.rounds {
        foreign.add(cpu::busy_cores(Duration::from_secs(1))?);
        for case in &mut cases {
            let name = case.fanout;
            output::progress(format!("round {round} of {}: fan-out {name}", args.rounds));
            measure(args, case).with_context(|| format!("fan-out {name}"))?;
        }
    }
    show(args, &brokers, &cases, &foreign);
    Ok(())
}

/// Events have as many types as there are subscriptions; subscription `s`
/// takes the types from `s` to `s + fanout - 1`, around the end.
pub(crate) fn resources(topic: &str, count: usize, fanout: usize) -> Vec<Value> {
    let source = json!({
        "apiVersion": "hooklane/v1", "kind": "Source", "metadata": {"name": "bench"},
        "spec": {"topic": topic, "tenant": {"fixed": TENANT}, "startFrom": "earliest"},
    });
    let subscription = |n: usize| {
        let types: Vec<String> = if fanout == 0 {
            vec![format!("never.t{n}")]
        } else {
            (n..n + fanout)
                .map(|t| format!("order.t{}", t % count))
                .collect()
        };
        json!({
            "apiVersion": "hooklane/v1", "kind": "Subscription",
            "metadata": {"tenant": TENANT, "name": format!("s{n}")},
            "spec": {"source": "bench", "endpoint": format!("e{n}"), "eventTypes": types},
        })
    };
    std::iter::once(source)
        .chain((0..count).map(subscription))
        .collect()
}

fn prepare(args: &Args, fanout: usize, brokers: &Brokers) -> anyhow::Result<Case> {
    let bed = Bed::create(brokers, args.lanes)?;
    let topic = unique("bench-events");
    bed.create_topic(&topic, PARTITIONS)?;
    // Nothing is sent to them here.
    let nobody = std::net::SocketAddr::from(([127, 0, 0, 1], 9));
    let mut documents = endpoints(nobody, args.endpoints, 1);
    documents.extend(resources(&topic, args.endpoints, fanout));
    bed.apply(&documents)?;
    let mut loader = Loader::new(&bed.settings, Duration::from_millis(20))?;
    let payload = events::payload(0, args.payload);
    for n in 0..args.events {
        let (id, event_type) = (
            format!("e-{n}"),
            format!("order.t{}", n % args.endpoints as u64),
        );
        let partition = i32::try_from(n % u64::from(PARTITIONS.unsigned_abs()))?;
        let headers = cloud_event(&id, &event_type);
        loader.put((&topic, partition), &payload, &headers)?;
    }
    loader.finish()?;
    Ok(Case {
        fanout,
        bed,
        topic,
        rate: Spread::default(),
        cpu: Spread::default(),
        consume: Spread::default(),
        produce: Spread::default(),
        to_floors: Spread::default(),
        envelopes: 0,
    })
}

fn measure(args: &Args, case: &mut Case) -> anyhow::Result<()> {
    let consume = consume(args, case)?;
    let (cpu, rate) = ingest(args, case)?;
    let mut floor = per_100_000(consume.cpu_seconds, args.events);
    case.consume.add(floor);
    if case.envelopes > 0 {
        let produce = produce(args, case)?;
        let produce = per_100_000(produce.cpu_seconds, args.events);
        case.produce.add(produce);
        floor += produce;
    }
    let cpu = per_100_000(cpu, args.events);
    case.cpu.add(cpu);
    case.rate.add(rate);
    case.to_floors.add(cpu / floor);
    Ok(())
}

/// CPU seconds and events per second of one run of ingest.
fn ingest(args: &Args, case: &mut Case) -> anyhow::Result<(f64, f64)> {
    let bed = &case.bed;
    let group = format!("{}ingest", bed.names.prefix());
    bed.rewind(&group, &case.topic, usize::try_from(PARTITIONS)?)?;
    let lanes = bed.names.deliveries();
    let stored = bed.records(&lanes)?;
    let mut service = Service::spawn(Kind::Ingest, bed)?;
    let end = Instant::now() + PATIENCE;
    let mut before = 0.0;
    let (mut first, mut last): (Option<(Instant, f64)>, _) = (None, (Instant::now(), 0.0));
    loop {
        let used = service.cpu()?;
        // Not served before it has started.
        let scrape = service.scrape().unwrap_or_default();
        let read = scrape.sum("hooklane_source_records_total", &[]);
        let now = Instant::now();
        if read > 0.0 {
            first.get_or_insert((now, read));
            last = (now, read);
        } else {
            before = used;
        }
        if read >= float(args.events) {
            break;
        }
        ensure!(
            now < end,
            "{read} of {} events after {PATIENCE:?}\n{}",
            args.events,
            service.log()
        );
        std::thread::sleep(if read > 0.0 { GLANCE } else { LOOK });
    }
    while !bed.is_done(&group, &case.topic)? {
        ensure!(
            Instant::now() < end,
            "not committed after {PATIENCE:?}\n{}",
            service.log()
        );
        std::thread::sleep(GLANCE);
    }
    let cpu = service.cpu()? - before;
    let made = service
        .scrape()?
        .sum("hooklane_matched_deliveries_total", &[]);
    let meant = float(args.events * case.fanout as u64);
    ensure!(
        (made - meant).abs() < 0.5,
        "{made} deliveries were made and {meant} were meant"
    );
    case.envelopes = bed.records(&lanes)? - stored;
    service.stop()?;
    let first = first.unwrap_or(last);
    let rate = (last.1 - first.1) / (last.0 - first.0).as_secs_f64();
    Ok((cpu, rate))
}

fn consume(args: &Args, case: &Case) -> anyhow::Result<Floor> {
    let [partitions, records] = [PARTITIONS.to_string(), args.events.to_string()];
    run_floor(
        "floor-consume",
        &[
            "--brokers",
            &case.bed.settings.brokers,
            "--topic",
            &case.topic,
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

/// Into a topic of its own with as many partitions as there are lanes.
fn produce(args: &Args, case: &Case) -> anyhow::Result<Floor> {
    let topic = unique("bench-produce");
    case.bed
        .create_topic(&topic, i32::from(case.bed.lanes.get()))?;
    let [records, payload] = [case.envelopes.to_string(), args.payload.to_string()];
    run_floor(
        "floor-produce",
        &[
            "--brokers",
            &case.bed.settings.brokers,
            "--topic",
            &topic,
            "--records",
            &records,
            "--payload",
            &payload,
        ],
        PATIENCE,
    )
}

fn show(args: &Args, brokers: &Brokers, cases: &[Case], foreign: &Spread) {
    let line = output::line;
    line(format!(
        "ingest: {} events a run, {} B payload, {} subscriptions, {} lanes, {} rounds; median (min-max)",
        args.events, args.payload, args.endpoints, args.lanes, args.rounds
    ));
    output::machine(brokers, Some(format_args!("{foreign}")));
    for case in cases {
        line(String::new());
        line(format!(
            "fan-out {}: {} events/s; CPU s per 100,000 events {}",
            case.fanout, case.rate, case.cpu
        ));
        line(format!(
            "  floors: consume {}, produce {} ({:.2} envelopes per event)",
            case.consume,
            case.produce,
            float(case.envelopes) / float(args.events)
        ));
        line(format!("  ingest / floors {}", case.to_floors));
    }
}
