//! How the backlog of a dead endpoint comes back when its receiver does.
//!
//! All services as processes. Nobody is at the endpoint's address while the
//! events come; what is not a probe is parked. Then the receiver starts, and
//! what reaches it is counted second by second beside what its rate limit
//! allows: a herd would be more in a second, a stall less.

use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use anyhow::ensure;
use hooklane_test_support::{free_addr, unique};
use serde_json::json;

use crate::bed::{Bed, Brokers, endpoints};
use crate::figures::float;
use crate::ingest::{PARTITIONS, resources};
use crate::latency::Pipeline;
use crate::output;
use crate::service::{self, Kind};
use crate::sink::SinkProcess;

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Events for the dead endpoint
    #[arg(long, default_value_t = 10_000)]
    events: u64,
    /// Its rate limit, per second
    #[arg(long, default_value_t = 200)]
    limit: u32,
    /// Seconds from the last event to the receiver's start
    #[arg(long, default_value_t = 30)]
    outage: u64,
    /// host:port of a Kafka to use; without it one is started
    #[arg(long)]
    brokers: Option<String>,
    /// Lanes of the deliveries topic
    #[arg(long, default_value_t = NonZeroU16::new(64).expect("not zero"))]
    lanes: NonZeroU16,
}

const PAYLOAD: usize = 1024;
const CONCURRENCY: u32 = 8;
/// A backlog without progress for so long will not come back: a rung of five
/// minutes, and what it may be late.
const STALL: Duration = Duration::from_secs(400);

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let kinds = [Kind::Dispatcher, Kind::Ingest, Kind::RetryScheduler];
    service::ensure_release(&kinds)?;
    let brokers = Brokers::start(args.brokers.as_deref())?;
    let bed = Bed::create(&brokers, args.lanes)?;
    let topic = unique("bench-events");
    bed.create_topic(&topic, PARTITIONS)?;
    let receiver = free_addr()?;
    let mut documents = endpoints(receiver, 1, CONCURRENCY);
    documents[0]["spec"]["rateLimit"] = json!({"perSecond": args.limit, "burst": args.limit});
    documents.extend(resources(&topic, 1, 1));
    bed.apply(&documents)?;
    let services = service::start_all(&kinds, &bed)?;
    output::progress(format!("{} events for a dead endpoint", args.events));
    let mut pipeline = Pipeline::new(bed, topic, 1, PAYLOAD);
    pipeline.send(args.events)?;
    std::thread::sleep(Duration::from_secs(args.outage));
    let in_memory = services[0]
        .scrape()?
        .sum("hooklane_deliveries_in_memory", &[]);
    output::progress("the receiver comes back");
    let sink = SinkProcess::start_at(receiver)?;
    let seconds = watch(&sink, args.events)?;
    show(args, &brokers, &seconds, in_memory);
    service::stop_all(services)
}

/// What came in each second since the receiver's start, until all has come.
fn watch(sink: &SinkProcess, events: u64) -> anyhow::Result<Vec<u64>> {
    let (begun, mut moved) = (Instant::now(), Instant::now());
    let (mut seconds, mut seen) = (Vec::new(), 0);
    while seen < events {
        let due = Duration::from_secs(seconds.len() as u64 + 1);
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
        let came = sink.stats()?.requests;
        seconds.push(came - seen);
        if came > seen {
            (seen, moved) = (came, Instant::now());
        }
        ensure!(
            moved.elapsed() < STALL,
            "{seen} of {events} came back, and no more for {STALL:?}"
        );
    }
    ensure!(seen == events, "{seen} came back, {events} were sent");
    Ok(seconds)
}

fn show(args: &Args, brokers: &Brokers, seconds: &[u64], in_memory: f64) {
    let limit = u64::from(args.limit);
    let first = seconds.iter().take_while(|came| **came == 0).count();
    let most = seconds.iter().copied().max().unwrap_or(0);
    let flowing = &seconds[first..];
    let idle = flowing.iter().filter(|came| **came == 0).count();
    let slow = flowing.iter().filter(|came| **came < limit / 2).count();
    output::line(format!(
        "recovery: {} events for one endpoint with a limit of {limit}/s, dead until {} s after the last",
        args.events, args.outage
    ));
    output::machine(brokers, None);
    output::line(format!(
        "in memory before the recovery: {in_memory:.0}; first delivery within {} s of it, the last within {} s; at the limit all take {:.0} s",
        first + 1,
        seconds.len(),
        float(args.events) / f64::from(args.limit)
    ));
    output::line(format!(
        "from the first second on: at most {most} a second ({:.2} x the limit), {slow} of {} s below half the limit, {idle} s without any",
        float(most) / f64::from(args.limit),
        flowing.len()
    ));
    let shown: Vec<String> = seconds
        .chunks(10)
        .map(|ten| ten.iter().sum::<u64>().to_string())
        .collect();
    output::line(format!("every ten seconds: {}", shown.join(" ")));
}
