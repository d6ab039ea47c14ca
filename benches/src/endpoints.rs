//! What endpoints cost a dispatcher that has nothing to send: memory of each,
//! and the time of a cold start.
//!
//! The binary as it ships reads a real config topic, whole, joins its group
//! and says that it is ready. The records are those that `hooklane apply`
//! writes, made from one that it wrote. What is compared is the process's
//! resident memory with the endpoints and with none, after the load: so it
//! holds whatever the process holds, client library and allocator included.

use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use hooklane_kafka::producer::{Outgoing, Producer};
use hooklane_kafka::settings::Profile;
use serde_json::{Value, json};

use crate::bed::{Bed, Brokers};
use crate::figures::{Spread, float};
use crate::load::{TENANT, send};
use crate::output;
use crate::service::{self, Kind, Service};

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Endpoints of each case
    #[arg(long, value_delimiter = ',', default_value = "100000,1000000")]
    endpoints: Vec<u64>,
    /// How often each case is started
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// host:port of a Kafka to use; without it one is started
    #[arg(long)]
    brokers: Option<String>,
    /// Lanes of the deliveries topic
    #[arg(long, default_value_t = NonZeroU16::new(64).expect("not zero"))]
    lanes: NonZeroU16,
}

const PATIENCE: Duration = Duration::from_secs(300);
const GLANCE: Duration = Duration::from_millis(20);
/// What is loaded is let go of by then: buffers of the load, spare memory of
/// the allocator as far as it gives any back.
const SETTLE: Duration = Duration::from_secs(3);

/// One start.
struct Start {
    ready: Duration,
    cpu_seconds: f64,
    settled_mib: f64,
    peak_mib: f64,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    service::ensure_release(&[Kind::Dispatcher])?;
    let brokers = Brokers::start(args.brokers.as_deref())?;
    output::line(format!(
        "endpoints: cold start and memory of a dispatcher without work, {} lanes, {} rounds; median (min-max)",
        args.lanes, args.rounds
    ));
    output::machine(&brokers, None);
    let empty = measure(args, &brokers, 0, None)?;
    for count in &args.endpoints {
        measure(args, &brokers, *count, Some(empty))?;
    }
    Ok(())
}

/// Starts a dispatcher on so many endpoints, and shows what it took. Returns
/// the memory it settled at.
fn measure(args: &Args, brokers: &Brokers, count: u64, empty: Option<f64>) -> anyhow::Result<f64> {
    let bed = Bed::create(brokers, args.lanes)?;
    if count > 0 {
        output::progress(format!("storing {count} endpoints"));
        store(&bed, count)?;
    }
    let mut starts = Vec::new();
    for round in 1..=args.rounds {
        output::progress(format!(
            "round {round} of {}: {count} endpoints",
            args.rounds
        ));
        starts.push(start(&bed, count)?);
    }
    let of = |value: fn(&Start) -> f64| starts.iter().map(value).collect::<Spread>();
    let settled = of(|start| start.settled_mib);
    output::line(format!(
        "{count:>8} endpoints: ready after {} s, CPU {} s, memory {} MiB (peak {})",
        of(|start| start.ready.as_secs_f64()),
        of(|start| start.cpu_seconds),
        settled,
        of(|start| start.peak_mib),
    ));
    if let Some(empty) = empty {
        let each = |mib: f64| (mib - empty) * 1_048_576.0 / float(count);
        output::line(format!(
            "{:>8} bytes an endpoint: {:.0} once loaded, {:.0} at the peak",
            "",
            each(settled.median()),
            each(of(|start| start.peak_mib).median()),
        ));
    }
    Ok(settled.median())
}

/// Writes endpoints as `apply` does: one through it, the rest like that one
/// with names, uids and URLs of their own.
fn store(bed: &Bed, count: u64) -> anyhow::Result<()> {
    let manifest = json!({
        "apiVersion": "hooklane/v1", "kind": "Endpoint",
        "metadata": {"tenant": TENANT, "name": "e0"},
        "spec": {
            "url": "https://hooks.receiver.example/tenants/0000000/events",
            "rateLimit": {"perSecond": 50, "burst": 100},
            "maxConcurrency": 8,
            "signing": {"scheme": "none"},
        },
    });
    let (key, value) = bed.apply_one(&manifest)?;
    let mut document: Value = serde_json::from_slice(&value).context("what apply wrote")?;
    let profile = Profile {
        linger: Duration::from_millis(20),
        ..Profile::default()
    };
    let producer = Producer::new(&bed.settings, &profile, |_report| {})?;
    let topic = bed.names.config();
    for n in 1..count {
        let key = key.replace("e0", &format!("e{n}"));
        document["metadata"]["name"] = json!(format!("e{n}"));
        document["metadata"]["uid"] = json!(format!("ep_{:032x}", n + 1));
        document["spec"]["url"] = json!(format!(
            "https://hooks.receiver.example/tenants/{n:07}/events"
        ));
        let value = serde_json::to_vec(&document)?;
        let record = Outgoing {
            topic: &topic,
            partition: Some(0),
            key: Some(key.as_bytes()),
            value: Some(&value),
            headers: &[],
            timestamp: None,
        };
        send(&producer, &record)?;
    }
    ensure!(
        producer.flush(PATIENCE),
        "not all endpoints were stored after {PATIENCE:?}"
    );
    Ok(())
}

fn start(bed: &Bed, count: u64) -> anyhow::Result<Start> {
    let begun = Instant::now();
    let mut service = Service::spawn(Kind::Dispatcher, bed)?;
    service.wait_ready()?;
    let ready = begun.elapsed();
    let known =
        || -> anyhow::Result<f64> { Ok(service.scrape()?.sum("hooklane_endpoints_known", &[])) };
    // Counted by the worker, some ticks after it has taken them.
    while known()? < float(count) {
        ensure!(
            begun.elapsed() < PATIENCE,
            "{} of {count} endpoints known; {}",
            known()?,
            service.log()
        );
        std::thread::sleep(GLANCE);
    }
    std::thread::sleep(SETTLE);
    let start = Start {
        ready,
        cpu_seconds: service.cpu()?,
        settled_mib: service.resident_mib()?,
        peak_mib: service.peak_mib()?,
    };
    service.stop()?;
    Ok(start)
}
