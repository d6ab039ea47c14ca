//! The floor of writing: a producer with the services' settings that sends
//! the same value over and over, spread over all partitions.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use hooklane_kafka::producer::{Outgoing, Producer};
use hooklane_kafka::settings::{ClientSettings, Profile};

use crate::children::Floor;
use crate::load::send;
use crate::{cpu, events, output};

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Brokers
    #[arg(long)]
    brokers: String,
    /// Topic
    #[arg(long)]
    topic: String,
    /// Records to send
    #[arg(long)]
    records: u64,
    /// Bytes of a value
    #[arg(long)]
    payload: usize,
}

const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let settings = ClientSettings::new(args.brokers.as_str(), "benches-produce");
    let stored = Arc::new(AtomicU64::new(0));
    let count = stored.clone();
    let producer = Producer::new(&settings, &Profile::default(), move |report| {
        if report.result.is_ok() {
            count.fetch_add(1, Ordering::Relaxed);
        }
    })?;
    let partitions = u64::try_from(producer.partition_count(&args.topic, PATIENCE)?)?;
    let value = events::payload(0, args.payload);
    let (begun, cpu) = (Instant::now(), cpu::own());
    for n in 0..args.records {
        let record = Outgoing {
            topic: &args.topic,
            partition: Some(i32::try_from(n % partitions)?),
            key: None,
            value: Some(&value),
            headers: &[],
            timestamp: None,
        };
        send(&producer, &record)?;
    }
    let flushed = producer.flush(PATIENCE);
    let count = stored.load(Ordering::Relaxed);
    ensure!(
        flushed && count == args.records,
        "{count} of {} records stored",
        args.records
    );
    let floor = Floor {
        count,
        cpu_seconds: cpu::own() - cpu,
        seconds: begun.elapsed().as_secs_f64(),
    };
    output::line(floor.to_json());
    Ok(())
}
