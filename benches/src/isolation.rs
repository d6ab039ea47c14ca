//! What dead endpoints cost the healthy ones, in the same lanes.
//!
//! All services as processes, events at a fixed rate over all endpoints in
//! turn. First everybody is healthy: the baseline. Then half of the endpoints
//! get a URL where nobody is (refused) or nobody answers (the request hangs
//! until its timeout), and the same load is sent again, without a pause for
//! the breakers to open. The sink times what reaches it: the healthy half.

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroU16;
use std::time::Duration;

use anyhow::ensure;
use hooklane_test_support::{free_addr, unique};
use serde_json::{Value, json};

use crate::bed::{Bed, Brokers, endpoints};
use crate::ingest::{PARTITIONS, resources};
use crate::latency::{Pipeline, millis};
use crate::service::{self, Kind, Service};
use crate::sink::{SinkProcess, SinkStats};
use crate::{cpu, output};

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Endpoints; every second one dies
    #[arg(long, default_value_t = 1000)]
    endpoints: usize,
    /// Events per second, over all endpoints in turn
    #[arg(long, default_value_t = 2000)]
    rate: u32,
    /// Seconds of each round
    #[arg(long, default_value_t = 20)]
    seconds: u32,
    /// Rounds with dead endpoints; the first one has all breakers closed
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// host:port of a Kafka to use; without it one is started
    #[arg(long)]
    brokers: Option<String>,
    /// Bytes of a payload
    #[arg(long, default_value_t = 1024)]
    payload: usize,
    /// Lanes of the deliveries topic
    #[arg(long, default_value_t = NonZeroU16::new(64).expect("not zero"))]
    lanes: NonZeroU16,
}

const CONCURRENCY: u32 = 8;
/// Short, so that a round sees many requests hang to their end.
const TIMEOUT: &str = "2s";
/// Connections that hang at a time.
const HANGING_MAX: usize = 512;

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let kinds = [Kind::Dispatcher, Kind::Ingest, Kind::RetryScheduler];
    service::ensure_release(&kinds)?;
    ensure!(args.endpoints >= 2, "one healthy and one dead at least");
    let brokers = Brokers::start(args.brokers.as_deref())?;
    let sink = SinkProcess::start()?;
    let bed = Bed::create(&brokers, args.lanes)?;
    let topic = unique("bench-events");
    bed.create_topic(&topic, PARTITIONS)?;
    let healthy = endpoints(sink.addr(), args.endpoints, CONCURRENCY);
    let subscriptions = resources(&topic, args.endpoints, 1);
    bed.apply(&[healthy.clone(), subscriptions].concat())?;
    let services = service::start_all(&kinds, &bed)?;
    let mut pipeline = Pipeline::new(bed, topic, args.endpoints, args.payload);
    output::line(format!(
        "isolation: {} endpoints, {} events/s over all in turn, {} s a round, {} lanes",
        args.endpoints, args.rate, args.seconds, args.lanes
    ));
    let busy = cpu::busy_cores(Duration::from_secs(1))?;
    output::machine(&brokers, Some(format_args!("{busy:.2}")));
    let (rate, load) = (f64::from(args.rate), (f64::from(args.rate), args.seconds));
    // Connections are made, and not part of the baseline.
    pipeline.paced(&sink, (rate, 5), |_| true)?;
    let baseline = pipeline.paced(&sink, load, |_| true)?;
    show("all healthy", &baseline, None);
    let hanging = hang()?;
    let changed = kill(healthy, [free_addr()?, hanging]);
    pipeline.bed.apply(&changed)?;
    for round in 1..=args.rounds {
        let stats = pipeline.paced(&sink, load, |n| n % 2 == 0)?;
        show(&format!("half dead, {round}"), &stats, Some(&baseline));
    }
    output::line(format!(
        "dispatcher: peak memory {:.0} MiB, oldest open record {:.1} s, deliveries in memory {:.0}",
        services[0].peak_mib()?,
        gauge(&services[0], "hooklane_oldest_open_seconds")?,
        gauge(&services[0], "hooklane_deliveries_in_memory")?,
    ));
    service::stop_all(services)
}

fn show(what: &str, stats: &SinkStats, baseline: Option<&SinkStats>) {
    let ratio = baseline.map_or_else(String::new, |baseline| {
        let ratio = stats.p99.as_secs_f64() / baseline.p99.as_secs_f64();
        format!(", p99 {ratio:.2} x that of all healthy")
    });
    output::line(format!(
        "{what:<12} {} deliveries to healthy endpoints: p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms{ratio}",
        stats.timed,
        millis(stats.p50),
        millis(stats.p99),
        millis(stats.max)
    ));
}

fn gauge(service: &Service, name: &str) -> anyhow::Result<f64> {
    Ok(service.scrape()?.sum(name, &[]))
}

/// Every second endpoint, called at one of these addresses from now on.
fn kill(endpoints: Vec<Value>, dead: [SocketAddr; 2]) -> Vec<Value> {
    let odd = endpoints
        .into_iter()
        .enumerate()
        .filter(|(n, _)| n % 2 == 1);
    odd.map(|(n, mut endpoint)| {
        let at = dead[n / 2 % 2];
        endpoint["spec"]["url"] = json!(format!("http://{at}/e{n}"));
        endpoint["spec"]["timeout"] = json!(TIMEOUT);
        endpoint
    })
    .collect()
}

/// A receiver that takes connections and never answers, until this ends.
fn hang() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    std::thread::spawn(move || {
        let mut taken = VecDeque::new();
        for stream in listener.incoming().flatten() {
            taken.push_back(stream);
            // The oldest were given up by the sender long ago; kept for ever
            // they would use up this process's file descriptors.
            if taken.len() > HANGING_MAX {
                taken.pop_front();
            }
        }
    });
    Ok(addr)
}
