//! The floor of reading: a member of a group that only counts.

use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use hooklane_kafka::consumer::{GroupConsumer, Polled};
use hooklane_kafka::settings::ClientSettings;

use crate::children::Floor;
use crate::{cpu, output};

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Brokers
    #[arg(long)]
    brokers: String,
    /// Topic
    #[arg(long)]
    topic: String,
    /// Consumer group, nobody else's
    #[arg(long)]
    group: String,
    /// Partitions of the topic
    #[arg(long)]
    partitions: usize,
    /// Records in the topic
    #[arg(long)]
    records: u64,
}

const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let settings = ClientSettings::new(args.brokers.as_str(), "benches-consume");
    let mut consumer = GroupConsumer::new(&settings, &args.group)?;
    consumer.subscribe(std::slice::from_ref(&args.topic))?;
    assign_from_start(&mut consumer, args.partitions)?;
    let (mut begun, cpu) = (None, cpu::own());
    let mut count = 0;
    let end = Instant::now() + PATIENCE;
    while count < args.records {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Polled::Record(_)) => {
                begun.get_or_insert_with(Instant::now);
                count += 1;
            }
            Some(Polled::Error(error)) => return Err(error.into()),
            Some(other) => bail!("not expected while counting: {other:?}"),
            None => ensure!(
                Instant::now() < end,
                "{count} of {} records after {PATIENCE:?}",
                args.records
            ),
        }
    }
    let floor = Floor {
        count,
        cpu_seconds: cpu::own() - cpu,
        seconds: begun.map_or(0.0, |begun| begun.elapsed().as_secs_f64()),
    };
    output::line(floor.to_json());
    consumer.close(Duration::from_secs(5));
    Ok(())
}

/// Joins the group as its only member, and reads all of the topic from its
/// start.
pub(crate) fn assign_from_start(
    consumer: &mut GroupConsumer,
    partitions: usize,
) -> anyhow::Result<()> {
    let end = Instant::now() + PATIENCE;
    while consumer.assigned().count() < partitions {
        ensure!(
            Instant::now() < end,
            "only {} of {partitions} partitions after {PATIENCE:?}: has the group another member?",
            consumer.assigned().count()
        );
        match consumer.poll(Duration::from_millis(100)) {
            Some(Polled::Assigned(given)) => {
                let given: Vec<_> = given.into_iter().map(|tp| (tp, Some(0))).collect();
                consumer.complete_assign(&given)?;
            }
            Some(Polled::Revoked { partitions, .. }) => consumer.complete_revoke(&partitions)?,
            Some(Polled::Error(error)) => return Err(error.into()),
            Some(_) | None => {}
        }
    }
    Ok(())
}
