//! Against a real Apache Kafka: what the mock cluster can't show.

use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use hooklane_kafka::config_writer::{ConfigWriter, WriterError};
use hooklane_kafka::consumer::{ConsumerError, GroupConsumer, Polled};
use hooklane_kafka::error::ErrorKind;
use hooklane_kafka::record::TimestampKind;
use hooklane_kafka::settings::ClientSettings;
use hooklane_kafka::table::{TableEvent, TableReader};
use hooklane_kafka::topics::{
    self, Found, TopicCheck, TopicPlan, TopicSpec, TopicsError, internal_topics,
};
use hooklane_model::topic::TopicNames;
use hooklane_test_support::{shared_cluster, unique};

use crate::config::endpoint;
use crate::support::{DEADLINE, fill, follow, member, outgoing, producer, read, tp, until};

const TURN: Duration = Duration::from_millis(20);

/// Settings of a client and names of topics that only this test has.
fn kafka() -> (ClientSettings, TopicNames) {
    let cluster = shared_cluster().unwrap();
    let settings = ClientSettings::new(cluster.bootstrap(), "test");
    (settings, TopicNames::new(format!("{}.", unique("it"))))
}

fn specs(names: &TopicNames, lanes: u16) -> Vec<TopicSpec> {
    let plan = TopicPlan {
        lanes: NonZeroU16::new(lanes).unwrap(),
        replication: 1,
        record_bytes_max: topics::record_bytes_max(topics::SOURCE_RECORD_BYTES),
    };
    internal_topics(names, &plan)
}

fn verify(settings: &ClientSettings, specs: &[TopicSpec]) -> Result<topics::Verified, TopicsError> {
    topics::verify(settings, specs, TopicCheck::Full, DEADLINE)
}

#[test]
fn topics_are_created_once_and_are_what_was_specified() {
    let (settings, names) = kafka();
    let specs = specs(&names, 6);
    let Err(TopicsError::Unusable { reasons }) = verify(&settings, &specs) else {
        panic!("nothing was created yet");
    };
    assert_eq!(reasons.len(), specs.len());

    let created = topics::create_missing(&settings, &specs, DEADLINE).unwrap();
    assert_eq!(created.len(), specs.len());
    assert!(
        topics::create_missing(&settings, &specs, DEADLINE)
            .unwrap()
            .is_empty()
    );
    let states = topics::inspect(&settings, &specs, TopicCheck::Full, DEADLINE).unwrap();
    let wrong: Vec<_> = states
        .iter()
        .filter(|s| s.found != Found::AsSpecified)
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");

    // Others want more lanes: the topic decides, with a word about it.
    let verified = verify(&settings, &self::specs(&names, 64)).unwrap();
    assert_eq!(verified.lanes.get(), 6);
    assert_eq!(verified.warnings.len(), 1);
}

#[test]
fn a_config_topic_that_is_not_compacted_is_refused() {
    let (settings, names) = kafka();
    let mut specs = specs(&names, 1);
    specs.retain(|s| s.name == names.config() || s.name == names.deliveries());
    let mut wrong = specs.clone();
    for spec in &mut wrong {
        spec.settings.retain(|s| s.name != "cleanup.policy");
    }
    topics::create_missing(&settings, &wrong, DEADLINE).unwrap();
    let Err(TopicsError::Unusable { reasons }) = verify(&settings, &specs) else {
        panic!("accepted");
    };
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    assert!(
        reasons[0].contains("cleanup.policy is delete"),
        "{reasons:?}"
    );
}

#[test]
fn the_largest_record_passes_and_is_stamped_by_the_broker() {
    let (settings, names) = kafka();
    let specs = specs(&names, 1);
    topics::create_missing(&settings, &specs[..1], DEADLINE).unwrap();
    let (producer, reports) = producer(&settings, &hooklane_kafka::settings::Profile::default());
    let topic = names.deliveries();
    // Bytes that don't compress, and one byte of a batch's own.
    let value: Vec<u8> = (0..(1usize << 20) + (128 << 10))
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0])
        .collect();
    let record = hooklane_kafka::producer::Outgoing {
        timestamp: Some(1),
        ..outgoing(&topic, 0, &value)
    };
    producer.send(&record, 0).unwrap();
    assert!(producer.flush(DEADLINE));
    reports.take().remove(0).result.unwrap();
    let mut consumer = member(&settings, &unique("g"), &topic);
    let record = read(&mut consumer, 1).remove(0);
    assert_eq!(record.timestamp.kind, TimestampKind::LogAppendTime);
    assert!(record.timestamp.millis > 1);
    assert_eq!(record.value.unwrap().len(), value.len());
}

#[test]
fn the_later_of_two_config_writers_is_the_only_one() {
    let (settings, names) = kafka();
    topics::create_missing(&settings, &specs(&names, 1), DEADLINE).unwrap();
    let mut first = ConfigWriter::open(&settings, &names, DEADLINE).unwrap();
    assert_eq!(first.write(&[endpoint("erp", 1)]).unwrap(), Some(0));
    let mut second = ConfigWriter::open(&settings, &names, DEADLINE).unwrap();
    assert_eq!(second.catalog().documents().len(), 1);
    let refused = first.write(&[endpoint("crm", 1)]);
    assert!(matches!(refused, Err(WriterError::Fenced)), "{refused:?}");
    let again = first.write(&[endpoint("crm", 1)]);
    assert!(matches!(again, Err(WriterError::Fenced)), "{again:?}");

    let started = Instant::now();
    second
        .write(&[endpoint("erp", 2), endpoint("crm", 1)])
        .unwrap();
    let took = started.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(second.catalog().documents().len(), 2);

    // Markers stand between the records and at the end; a reader that starts
    // now has caught up all the same.
    let mut reader = TableReader::new(&settings, "r", &[names.config(), names.status()]).unwrap();
    let mut offsets = Vec::new();
    until("caught up", || match reader.poll(TURN)? {
        TableEvent::Record(record) => {
            offsets.push(record.offset);
            None
        }
        TableEvent::CaughtUp => Some(()),
        TableEvent::Error(error) => panic!("{error}"),
    });
    assert_eq!(offsets.len(), 3, "{offsets:?}");
    assert_eq!(reader.positions()[0], Some(reader.ends().unwrap()[0]));
}

/// Polls all members once.
fn turn(members: &mut [GroupConsumer]) {
    for member in members {
        if let Some(event) = member.poll(TURN) {
            follow(member, &event);
        }
    }
}

fn join(settings: &ClientSettings, group: &str, topic: &str) -> GroupConsumer {
    let mut consumer = GroupConsumer::new(settings, group).unwrap();
    consumer.subscribe(&[topic.to_owned()]).unwrap();
    consumer
}

fn equal_shares(members: &mut [GroupConsumer], share: usize) {
    until("equal shares", || {
        turn(members);
        members
            .iter()
            .all(|m| m.assigned().count() == share)
            .then_some(())
    });
}

/// The hand-over of a lane, held up: the partition stays with its owner, who
/// commits, until he lets go; then the next owner starts at that commit.
#[test]
fn three_members_share_and_a_revoke_waits_for_its_commit() {
    let (settings, names) = kafka();
    topics::create_missing(&settings, &specs(&names, 6)[..1], DEADLINE).unwrap();
    let topic = names.deliveries();
    let group = unique("g");
    let mut members = vec![member(&settings, &group, &topic)];
    members.push(join(&settings, &group, &topic));
    equal_shares(&mut members, 3);
    members.push(join(&settings, &group, &topic));
    let (owner, held) = until("a revoke", || {
        for (index, member) in members.iter_mut().enumerate() {
            match member.poll(TURN) {
                Some(Polled::Revoked { partitions, lost }) if !partitions.is_empty() => {
                    assert!(!lost);
                    return Some((index, partitions));
                }
                Some(event) => follow(member, &event),
                None => {}
            }
        }
        None
    });
    let offsets: Vec<_> = held.iter().map(|tp| (tp.clone(), 4)).collect();
    members[owner].commit_async(&offsets).unwrap();
    let mut answers = 0;
    let end = Instant::now() + Duration::from_secs(2);
    while Instant::now() < end {
        for (index, member) in members.iter_mut().enumerate() {
            match member.poll(TURN) {
                Some(Polled::Committed(answer)) => {
                    assert_eq!(answer.result, Ok(()));
                    answers += 1;
                }
                Some(event) if index != owner => follow(member, &event),
                _ => {}
            }
        }
        let moved = members[2].assigned().any(|tp| held.contains(tp));
        assert!(!moved, "a partition moved before it was let go");
    }
    assert_eq!(answers, 1);
    members[owner].complete_revoke(&held).unwrap();
    let late = members[owner].commit_async(&offsets);
    assert!(
        matches!(late, Err(ConsumerError::NotOwned { .. })),
        "{late:?}"
    );
    equal_shares(&mut members, 2);
    assert!(members[2].assigned().any(|tp| held.contains(tp)));
    let committed = members[2].committed(&held, DEADLINE).unwrap();
    assert!(committed.iter().all(|(_, offset)| *offset == Some(4)));
}

/// A frozen owner loses its partitions, can't move the group's offsets any
/// more, and is told that they are lost.
#[test]
fn a_member_that_did_not_poll_is_refused_and_told() {
    let (mut settings, names) = kafka();
    topics::create_missing(&settings, &specs(&names, 2)[..1], DEADLINE).unwrap();
    let topic = names.deliveries();
    let group = unique("g");
    // The least a broker allows.
    for key in ["session.timeout.ms", "max.poll.interval.ms"] {
        settings
            .properties
            .insert(key.to_owned(), "6000".to_owned());
    }
    fill(&settings, &topic, 2, 10);
    let mut frozen = member(&settings, &group, &topic);
    let own = [tp(&topic, 0), tp(&topic, 1)];
    let at = |offset| own.clone().map(|tp| (tp, offset));
    frozen.commit_sync(&at(5)).unwrap();
    let mut next = join(&settings, &group, &topic);
    until("all partitions", || {
        if let Some(event) = next.poll(TURN) {
            follow(&mut next, &event);
        }
        (next.assigned().count() == 2).then_some(())
    });
    let refused = frozen.commit_sync(&at(6)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Rebalanced, "{refused:?}");
    let lost = until("a revoke", || match frozen.poll(TURN)? {
        Polled::Revoked { lost, .. } => Some(lost),
        _ => None,
    });
    assert!(lost);
    let refused = frozen.commit_async(&at(6));
    assert!(
        matches!(refused, Err(ConsumerError::NotOwned { .. })),
        "{refused:?}"
    );
    let committed = next.committed(&own, DEADLINE).unwrap();
    assert_eq!(committed, own.clone().map(|tp| (tp, Some(5))));
}
