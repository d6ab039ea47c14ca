//! Delays are kept: never early, soon after, nothing lost over a restart.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::time::Duration;

use bytes::Bytes;
use hooklane_kafka::record::Record;
use hooklane_model::envelope::Envelope;
use hooklane_model::ladder::Rung;
use hooklane_model::lane::lane_of;
use hooklane_model::time::UnixMillis;

use crate::support::{LANES, Running, Sink, broker, delivery, names, now, until, write};

/// Not the promise (that is p99 of an idle machine) but a sign of something
/// that hangs: tests of other packages may have both cores.
const LATE_MAX: Duration = Duration::from_secs(6);

/// Deliveries for the tail, due in 1 to 3 s, by id.
fn for_the_tail(ids: std::ops::Range<u64>) -> BTreeMap<u64, (Bytes, UnixMillis)> {
    let start = now();
    ids.map(|id| {
        let due = start.after(Duration::from_millis(1_000 + (id * 7_919) % 2_000));
        (id, (delivery(id, due), due))
    })
    .collect()
}

fn written(
    deliveries: &BTreeMap<u64, (Bytes, UnixMillis)>,
) -> Vec<(String, i32, Bytes, UnixMillis)> {
    let topic = names().delay(Rung::Tail);
    let record = |(id, (frame, _)): (&u64, &(Bytes, UnixMillis))| {
        let partition = i32::try_from(id % 12).unwrap();
        (topic.clone(), partition, frame.clone(), now())
    };
    deliveries.iter().map(record).collect()
}

/// Checks one released record and returns its id.
fn check(record: &Record, deliveries: &BTreeMap<u64, (Bytes, UnixMillis)>) -> u64 {
    let value = record.value.clone().unwrap();
    let (envelope, _) = Envelope::decode(&value).unwrap();
    let target = envelope.targets[0];
    let id = u64::try_from(target.delivery.0).unwrap();
    let (frame, due) = &deliveries[&id];
    assert_eq!(&value, frame, "a release keeps the record as it is");
    assert_eq!((&record.key, record.headers.len()), (&None, 0));
    let lane = lane_of(target.endpoint, NonZeroU16::new(LANES).unwrap());
    assert_eq!(record.partition, lane.partition());
    // The embedded broker keeps the producer's time: that of the release.
    let released = UnixMillis(u64::try_from(record.timestamp.millis).unwrap());
    assert!(released >= *due, "{id} early by {:?}", due.since(released));
    assert!(
        released.since(*due) < LATE_MAX,
        "{id} late by {:?}",
        released.since(*due)
    );
    id
}

#[test]
fn delays_of_seconds_come_back_once_and_not_early() {
    let (broker, settings) = broker();
    let scheduler = Running::start(&broker);
    scheduler.wait_for_metric("hooklane_retry_partitions", 96.0);
    let deliveries = for_the_tail(0..200);
    write(&settings, &written(&deliveries));
    let mut sink = Sink::new(&settings, &names().deliveries());
    let records = sink.read(200);
    let mut ids: Vec<u64> = records.iter().map(|r| check(r, &deliveries)).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..200).collect::<Vec<_>>());
    scheduler.wait_for_metric("hooklane_retry_released_total", 200.0);
    assert_eq!(
        scheduler.metric("hooklane_retry_lateness_seconds_count"),
        200.0
    );
    scheduler.stop();
    assert!(sink.next().is_none(), "each once");
}

/// Every rung, its wait shortened by the one thing the embedded broker can't
/// do: it keeps the append time that it is told.
#[test]
fn every_rung_ends_and_what_is_not_due_then_waits_on() {
    let (broker, settings) = broker();
    let scheduler = Running::start(&broker);
    let mut deliveries = BTreeMap::new();
    let mut records = Vec::new();
    let start = now();
    for (id, rung) in (0u64..).zip(&Rung::ALL[1..]) {
        let due = start.after(Duration::from_millis(2_500));
        let frame = delivery(id, due);
        let millis = u64::try_from(rung.wait().as_millis()).unwrap();
        let appended = UnixMillis(start.0 - millis + 1_000);
        records.push((names().delay(*rung), 3, frame.clone(), appended));
        deliveries.insert(id, (frame, due));
    }
    write(&settings, &records);
    let mut sink = Sink::new(&settings, &names().deliveries());
    let mut ids: Vec<u64> = sink.read(7).iter().map(|r| check(r, &deliveries)).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..7).collect::<Vec<_>>());
    scheduler.wait_for_metric("hooklane_retry_hops_total", 7.0);
    scheduler.stop();
}

/// Goal: a restart loses nothing, releases nothing early, and repeats at most
/// what was released before it. Method: stop in the middle of the due times.
#[test]
fn a_restart_in_between_loses_nothing() {
    let (broker, settings) = broker();
    let first = Running::start(&broker);
    first.wait_for_metric("hooklane_retry_partitions", 96.0);
    let deliveries = for_the_tail(0..300);
    write(&settings, &written(&deliveries));
    first.wait_for_metric("hooklane_retry_released_total", 80.0);
    let context = first.context.clone();
    first.stop();
    let text = context.metrics.render().unwrap();
    let line = "hooklane_retry_released_total{rung=\"tail\"} ";
    let before: usize = text
        .lines()
        .find_map(|l| l.strip_prefix(line)?.parse().ok())
        .unwrap();
    assert!(before < 300, "it stopped before the last was due");

    let second = Running::start(&broker);
    let mut sink = Sink::new(&settings, &names().deliveries());
    let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
    until("all deliveries", || {
        if let Some(record) = sink.next() {
            *counts.entry(check(&record, &deliveries)).or_default() += 1;
        }
        (counts.len() == 300).then_some(())
    });
    // Nothing is read again when the committed watermarks are at the end.
    second.wait_for_metric("hooklane_retry_records_read_total", 1.0);
    let total: usize = counts.values().sum();
    assert!(
        total - 300 <= before,
        "{total} released, {before} before the restart"
    );
    second.stop();
    let third = Running::start(&broker);
    third.wait_for_metric("hooklane_retry_partitions", 96.0);
    third.stop();
    while let Some(record) = sink.next() {
        *counts.entry(check(&record, &deliveries)).or_default() += 1;
    }
    let total: usize = counts.values().sum();
    assert!(total - 300 <= before, "a third start repeats nothing");
}

/// Goal: partitions move between two schedulers while records wait, and back,
/// and nothing is lost or early. Repeats are only what the tail's watermark
/// had not passed.
#[test]
fn partitions_that_move_take_their_deliveries_along() {
    let (broker, settings) = broker();
    let first = Running::start(&broker);
    first.wait_for_metric("hooklane_retry_partitions", 96.0);
    let deliveries = for_the_tail(0..300);
    write(&settings, &written(&deliveries));
    first.wait_for_metric("hooklane_retry_tail_records", 1.0);
    let second = Running::start(&broker);
    second.wait_for_metric("hooklane_retry_partitions", 48.0);
    first.stop();
    let mut sink = Sink::new(&settings, &names().deliveries());
    let mut seen = std::collections::BTreeSet::new();
    until("all deliveries", || {
        if let Some(record) = sink.next() {
            seen.insert(check(&record, &deliveries));
        }
        (seen.len() == 300).then_some(())
    });
    second.wait_for_metric("hooklane_retry_partitions", 96.0);
    second.stop();
}
