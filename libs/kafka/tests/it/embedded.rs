//! What the embedded broker promises to demonstrations and tests.

use std::num::{NonZeroU8, NonZeroU16};
use std::time::{Duration, Instant};

use hooklane_kafka::consumer::{GroupConsumer, Polled};
use hooklane_kafka::embedded::EmbeddedBroker;
use hooklane_kafka::settings::ClientSettings;
use hooklane_kafka::topics::{self, TopicCheck, TopicPlan, TopicsError, internal_topics};
use hooklane_model::topic::TopicNames;

use crate::support::{DEADLINE, fill, follow, member, read, until};

/// The first member waits 3 s for others where this is not tuned.
#[test]
fn a_first_join_takes_less_than_a_second() {
    let broker = EmbeddedBroker::start(&[]).unwrap();
    broker.create_topic("t", 8).unwrap();
    let settings = broker.settings("test").unwrap();
    let started = Instant::now();
    let mut first = member(&settings, "g", "t");
    let took = started.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    let (second, took) = joined(&settings, &mut first);
    assert_eq!(
        (first.assigned().count(), second.assigned().count()),
        (4, 4)
    );
    assert!(took < Duration::from_secs(4), "{took:?}");
}

/// A second member that has its share, and how long that took.
fn joined(settings: &ClientSettings, first: &mut GroupConsumer) -> (GroupConsumer, Duration) {
    let started = Instant::now();
    let mut second = GroupConsumer::new(settings, "g").unwrap();
    second.subscribe(&["t".to_owned()]).unwrap();
    until("a share", || {
        for consumer in [&mut *first, &mut second] {
            if let Some(event) = consumer.poll(Duration::from_millis(10)) {
                assert!(!matches!(event, Polled::Error(_)), "{event:?}");
                follow(consumer, &event);
            }
        }
        (second.assigned().count() == 4 && first.assigned().count() == 4).then_some(())
    });
    (second, started.elapsed())
}

#[test]
fn internal_topics_are_there_and_can_be_verified() {
    let plan = TopicPlan {
        lanes: NonZeroU16::new(16).unwrap(),
        replication: 1,
        record_bytes_max: topics::record_bytes_max(topics::SOURCE_RECORD_BYTES),
    };
    let names = TopicNames::default();
    let specs = internal_topics(&names, &plan);
    let broker = EmbeddedBroker::start(&specs).unwrap();
    let settings = broker.settings("test").unwrap();
    let more = internal_topics(
        &names,
        &TopicPlan {
            lanes: NonZeroU16::new(64).unwrap(),
            ..plan
        },
    );
    let verified = topics::verify(&settings, &more, TopicCheck::PartitionsOnly, DEADLINE).unwrap();
    assert_eq!(verified.lanes.get(), 16);

    let others = internal_topics(&TopicNames::new("other."), &plan);
    let refused = topics::verify(&settings, &others, TopicCheck::PartitionsOnly, DEADLINE);
    let Err(TopicsError::Unusable { reasons }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(reasons.len(), others.len());
    assert!(
        reasons[0].contains("other.deliveries is missing"),
        "{reasons:?}"
    );
}

#[test]
fn a_cluster_of_three_spreads_partitions_and_serves_them() {
    let broker = EmbeddedBroker::start_cluster(NonZeroU8::new(3).unwrap(), &[]).unwrap();
    broker.create_topic("t", 6).unwrap();
    let settings = broker.settings("test").unwrap();
    assert_eq!(settings.brokers.split(',').count(), 3);
    fill(&settings, "t", 6, 3);
    assert_eq!(read(&mut member(&settings, "g", "t"), 18).len(), 18);
}
