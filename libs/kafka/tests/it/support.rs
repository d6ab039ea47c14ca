//! What the tests share: topics, records, and polling until something is so.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hooklane_kafka::consumer::{GroupConsumer, Polled};
use hooklane_kafka::embedded::EmbeddedBroker;
use hooklane_kafka::producer::{Outgoing, Producer, Report};
use hooklane_kafka::record::{Record, TopicPartition};
use hooklane_kafka::settings::{ClientSettings, Profile};

/// How long anything may take before a test fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) fn broker(topics: &[(&str, i32)]) -> (EmbeddedBroker, ClientSettings) {
    let broker = EmbeddedBroker::start(&[]).unwrap();
    for (topic, partitions) in topics {
        broker.create_topic(topic, *partitions).unwrap();
    }
    let settings = broker.settings("test").unwrap();
    (broker, settings)
}

/// Calls `turn` until it gives something; fails the test at the deadline.
pub(crate) fn until<T>(what: &str, mut turn: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = turn() {
            return found;
        }
        assert!(Instant::now() < end, "not in time: {what}");
    }
}

/// A producer and the reports it gave.
pub(crate) fn producer(settings: &ClientSettings, profile: &Profile) -> (Producer, Reports) {
    let reports = Reports::default();
    let sink = reports.clone();
    let producer = Producer::new(settings, profile, move |report| {
        sink.0.lock().unwrap().push(report);
    });
    (producer.unwrap(), reports)
}

#[derive(Clone, Default)]
pub(crate) struct Reports(Arc<Mutex<Vec<Report>>>);

impl Reports {
    pub(crate) fn take(&self) -> Vec<Report> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

pub(crate) fn outgoing<'a>(topic: &'a str, partition: i32, value: &'a [u8]) -> Outgoing<'a> {
    Outgoing {
        topic,
        partition: Some(partition),
        key: None,
        value: Some(value),
        headers: &[],
        timestamp: None,
    }
}

/// Stores `count` records in each of the partitions `0..partitions`.
pub(crate) fn fill(settings: &ClientSettings, topic: &str, partitions: i32, count: usize) {
    let (producer, reports) = producer(settings, &Profile::default());
    for number in 0..count {
        for partition in 0..partitions {
            let value = format!("{partition}-{number}");
            producer
                .send(&outgoing(topic, partition, value.as_bytes()), 0)
                .unwrap();
        }
    }
    assert!(producer.flush(DEADLINE));
    assert!(reports.take().iter().all(|r| r.result.is_ok()));
}

pub(crate) fn tp(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition::new(topic, partition)
}

/// Completes a rebalance as a plain member would: from the committed offset,
/// or from the first one.
pub(crate) fn follow(consumer: &mut GroupConsumer, event: &Polled) {
    match event {
        Polled::Assigned(partitions) => {
            let committed = consumer.committed(partitions, DEADLINE).unwrap();
            let from: Vec<_> = committed
                .into_iter()
                .map(|(tp, offset)| (tp, Some(offset.unwrap_or(0))))
                .collect();
            consumer.complete_assign(&from).unwrap();
        }
        Polled::Revoked { partitions, .. } => consumer.complete_revoke(partitions).unwrap(),
        Polled::Record(_) | Polled::OutOfRange { .. } | Polled::Committed(_) | Polled::Error(_) => {
        }
    }
}

/// Polls until `count` records are there.
pub(crate) fn read(consumer: &mut GroupConsumer, count: usize) -> Vec<Record> {
    let mut records = Vec::new();
    until(&format!("{count} records"), || {
        if let Some(event) = consumer.poll(Duration::from_millis(50)) {
            follow(consumer, &event);
            if let Polled::Record(record) = event {
                records.push(record);
            }
        }
        (records.len() >= count).then(|| std::mem::take(&mut records))
    })
}

/// A member of `group` that has its first, not empty assignment.
pub(crate) fn member(settings: &ClientSettings, group: &str, topic: &str) -> GroupConsumer {
    let mut consumer = GroupConsumer::new(settings, group).unwrap();
    consumer.subscribe(&[topic.to_owned()]).unwrap();
    until("an assignment", || {
        if let Some(event) = consumer.poll(Duration::from_millis(50)) {
            follow(&mut consumer, &event);
        }
        (consumer.assigned().count() > 0).then_some(())
    });
    consumer
}
