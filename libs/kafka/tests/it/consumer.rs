//! A group member: assignment, hand-over, commits, and what goes wrong.

use std::time::{Duration, Instant};

use hooklane_kafka::consumer::{ConsumerError, GroupConsumer, Polled};
use hooklane_kafka::settings::ClientSettings;

use crate::support::{DEADLINE, broker, fill, follow, member, read, tp, until};

const TURN: Duration = Duration::from_millis(50);

#[test]
fn a_member_reads_all_partitions_in_their_order() {
    let (_broker, settings) = broker(&[("t", 3)]);
    fill(&settings, "t", 3, 100);
    let mut consumer = member(&settings, "g", "t");
    let records = read(&mut consumer, 300);
    for partition in 0..3 {
        let offsets: Vec<i64> = records
            .iter()
            .filter(|r| r.partition == partition)
            .map(|r| r.offset)
            .collect();
        assert_eq!(offsets, (0..100).collect::<Vec<_>>());
    }
    assert!(consumer.close(DEADLINE));
}

/// An assignment that is not completed holds nothing up and is not repeated.
#[test]
fn nothing_is_read_before_an_assignment_is_completed() {
    let (_broker, settings) = broker(&[("t", 2)]);
    fill(&settings, "t", 2, 10);
    let mut consumer = GroupConsumer::new(&settings, "g").unwrap();
    consumer.subscribe(&["t".to_owned()]).unwrap();
    let assigned = until("an assignment", || match consumer.poll(TURN) {
        Some(Polled::Assigned(partitions)) => Some(partitions),
        Some(other) => panic!("{other:?}"),
        None => None,
    });
    assert_eq!(assigned, [tp("t", 0), tp("t", 1)]);
    assert!(consumer.is_rebalancing());
    // Longer than the session timeout: the member is kept meanwhile.
    let end = Instant::now() + Duration::from_millis(2_500);
    while Instant::now() < end {
        let event = consumer.poll(TURN);
        assert!(event.is_none(), "{event:?}");
    }
    let from: Vec<_> = assigned.into_iter().map(|tp| (tp, Some(4))).collect();
    consumer.complete_assign(&from).unwrap();
    let records = read(&mut consumer, 12);
    assert!(records.iter().all(|r| r.offset >= 4));
    let again = consumer.complete_assign(&from);
    assert!(
        matches!(again, Err(ConsumerError::NotWaiting { .. })),
        "{again:?}"
    );
}

#[test]
fn a_second_member_gets_what_the_first_lets_go_and_starts_at_its_commit() {
    for properties in [&[][..], &[("group.protocol", "consumer")]] {
        let (_broker, settings) = broker(&[("t", 4)]);
        hand_over(&with(&settings, properties));
    }
}

fn with(settings: &ClientSettings, properties: &[(&str, &str)]) -> ClientSettings {
    let mut settings = settings.clone();
    for (key, value) in properties {
        if *key == "group.protocol" {
            settings.properties.remove("session.timeout.ms");
            settings.properties.remove("heartbeat.interval.ms");
        }
        let (key, value) = ((*key).to_owned(), (*value).to_owned());
        settings.properties.insert(key, value);
    }
    settings
}

fn hand_over(settings: &ClientSettings) {
    fill(settings, "t", 4, 10);
    let mut first = member(settings, "g", "t");
    read(&mut first, 40);
    let mut second = GroupConsumer::new(settings, "g").unwrap();
    second.subscribe(&["t".to_owned()]).unwrap();

    let mut taken = Vec::new();
    let mut moved_at = None;
    until("a hand-over", || {
        match first.poll(TURN) {
            Some(Polled::Revoked { partitions, lost }) => {
                assert!(!lost);
                // Commit, and let go only when the answer is there.
                let offsets: Vec<_> = partitions.iter().map(|tp| (tp.clone(), 7)).collect();
                first.commit_async(&offsets).unwrap();
                taken = partitions;
            }
            Some(Polled::Committed(answer)) => {
                assert_eq!(answer.result, Ok(()));
                assert_eq!(second.assigned().count(), 0, "before it was let go");
                moved_at = Some(answer.sent);
                first.complete_revoke(&taken).unwrap();
            }
            Some(other) => follow(&mut first, &other),
            None => {}
        }
        if let Some(event) = second.poll(TURN) {
            follow(&mut second, &event);
        }
        (second.assigned().count() == 2).then_some(())
    });
    assert!(moved_at.is_some());
    let expected: Vec<_> = taken.iter().collect();
    assert_eq!(second.assigned().collect::<Vec<_>>(), expected);
    assert_eq!(first.assigned().count(), 2);
    let records = read(&mut second, 6);
    assert!(records.iter().all(|r| r.offset >= 7), "{records:?}");
}

#[test]
fn an_answer_to_a_commit_carries_the_time_it_was_sent() {
    let (broker, settings) = broker(&[("t", 1)]);
    fill(&settings, "t", 1, 5);
    let mut consumer = member(&settings, "g", "t");
    read(&mut consumer, 5);
    broker.set_round_trip(Duration::from_millis(100)).unwrap();
    let before = Instant::now();
    let token = consumer.commit_async(&[(tp("t", 0), 3)]).unwrap();
    let answer = until("the answer", || match consumer.poll(TURN) {
        Some(Polled::Committed(answer)) => Some(answer),
        _ => None,
    });
    assert_eq!(answer.token, token);
    assert_eq!(answer.result, Ok(()));
    assert!(answer.sent >= before);
    assert!(answer.sent.elapsed() >= Duration::from_millis(90));
    broker.set_round_trip(Duration::ZERO).unwrap();
    let committed = consumer.committed(&[tp("t", 0)], DEADLINE).unwrap();
    assert_eq!(committed, [(tp("t", 0), Some(3))]);
    // The answer to a synchronous one goes to its caller only.
    consumer.commit_sync(&[(tp("t", 0), 4)]).unwrap();
    let end = Instant::now() + Duration::from_millis(200);
    while Instant::now() < end {
        assert!(consumer.poll(TURN).is_none());
    }
    let committed = consumer.committed(&[tp("t", 0)], DEADLINE).unwrap();
    assert_eq!(committed, [(tp("t", 0), Some(4))]);
}

#[test]
fn a_position_outside_the_log_is_reported_and_can_be_left() {
    let (_broker, settings) = broker(&[("t", 3)]);
    fill(&settings, "t", 3, 10);
    let mut consumer = GroupConsumer::new(&settings, "g").unwrap();
    consumer.subscribe(&["t".to_owned()]).unwrap();
    until("an assignment", || match consumer.poll(TURN) {
        Some(Polled::Assigned(_)) => {
            let from = [
                (tp("t", 0), Some(5)),
                (tp("t", 1), Some(999)),
                (tp("t", 2), Some(11)),
            ];
            consumer.complete_assign(&from).unwrap();
            Some(())
        }
        _ => None,
    });
    let mut records = Vec::new();
    let mut found = Vec::new();
    until(
        "both reports and the records of the other partition",
        || {
            match consumer.poll(TURN)? {
                Polled::Record(record) => records.push(record),
                Polled::OutOfRange {
                    partition,
                    position,
                    low,
                    high,
                } => found.push((partition, position, low, high)),
                other => panic!("{other:?}"),
            }
            (found.len() >= 2 && records.len() >= 5).then_some(())
        },
    );
    let report = |partition, position| (tp("t", partition), Some(position), 0, 10);
    assert_eq!(found, [report(1, 999), report(2, 11)]);
    consumer.seek(&tp("t", 1), 0).unwrap();
    consumer.seek(&tp("t", 2), 8).unwrap();
    let again = read(&mut consumer, 12);
    let of = |partition| {
        let read = again.iter().filter(move |r| r.partition == partition);
        read.map(|r| r.offset).collect::<Vec<_>>()
    };
    assert_eq!(of(1), (0..10).collect::<Vec<_>>());
    assert_eq!(of(2), [8, 9]);
    assert!(consumer.poll(TURN).is_none());
}

#[test]
fn a_partition_without_a_commit_is_reported_as_out_of_range() {
    let (_broker, settings) = broker(&[("t", 1)]);
    fill(&settings, "t", 1, 3);
    let mut consumer = GroupConsumer::new(&settings, "g").unwrap();
    consumer.subscribe(&["t".to_owned()]).unwrap();
    let position = until("the report", || match consumer.poll(TURN)? {
        Polled::Assigned(partitions) => {
            let stored: Vec<_> = partitions.into_iter().map(|tp| (tp, None)).collect();
            consumer.complete_assign(&stored).unwrap();
            None
        }
        Polled::OutOfRange { position, .. } => Some(position),
        other => panic!("{other:?}"),
    });
    assert_eq!(position, None);
}

/// Goal: many partitions out of range at once are as many reports, and nothing
/// that was said about one of them is taken for a failure of another later.
/// Method: each of them is set going as soon as it is reported, while the
/// errors of the others are still to come.
#[test]
fn many_partitions_out_of_range_are_reported_once_each() {
    const PARTITIONS: i32 = 16;
    let (_broker, settings) = broker(&[("t", PARTITIONS)]);
    fill(&settings, "t", PARTITIONS, 3);
    let mut consumer = GroupConsumer::new(&settings, "g").unwrap();
    consumer.subscribe(&["t".to_owned()]).unwrap();
    let (mut reports, mut records) = (Vec::new(), Vec::new());
    until("all reports and all records", || {
        match consumer.poll(TURN)? {
            Polled::Assigned(partitions) => {
                let stored: Vec<_> = partitions.into_iter().map(|tp| (tp, None)).collect();
                consumer.complete_assign(&stored).unwrap();
            }
            Polled::OutOfRange { partition, low, .. } => {
                consumer.seek(&partition, low).unwrap();
                reports.push(partition.partition);
            }
            Polled::Record(record) => records.push((record.partition, record.offset)),
            other => panic!("{other:?}"),
        }
        (records.len() >= 3 * usize::try_from(PARTITIONS).unwrap()).then_some(())
    });
    reports.sort_unstable();
    assert_eq!(reports, (0..PARTITIONS).collect::<Vec<_>>());
    records.sort_unstable();
    records.dedup();
    assert_eq!(records.len(), 3 * usize::try_from(PARTITIONS).unwrap());
}

#[test]
fn a_paused_partition_gives_nothing_until_it_is_resumed() {
    let (_broker, settings) = broker(&[("t", 2)]);
    let mut consumer = member(&settings, "g", "t");
    consumer.pause(&[tp("t", 1)]).unwrap();
    fill(&settings, "t", 2, 5);
    let records = read(&mut consumer, 5);
    assert!(records.iter().all(|r| r.partition == 0));
    consumer.resume(&[tp("t", 1)]).unwrap();
    let records = read(&mut consumer, 5);
    let offsets: Vec<i64> = records.iter().map(|r| r.offset).collect();
    assert_eq!(offsets, [0, 1, 2, 3, 4]);
    assert!(records.iter().all(|r| r.partition == 1));
}

#[test]
fn topics_can_be_added_to_a_subscription() {
    let (_broker, settings) = broker(&[("a", 1), ("b", 1)]);
    fill(&settings, "b", 1, 2);
    let mut consumer = member(&settings, "g", "a");
    consumer
        .subscribe(&["a".to_owned(), "b".to_owned()])
        .unwrap();
    let records = read(&mut consumer, 2);
    assert!(records.iter().all(|r| &*r.topic == "b"));
    let pattern = consumer.subscribe(&["^.*".to_owned()]);
    assert!(matches!(pattern, Err(ConsumerError::TopicName { .. })));
}

/// Dropping a client waits for the application's answer to a rebalance; it
/// must be given.
#[test]
fn closing_in_the_middle_of_a_rebalance_ends() {
    let (_broker, settings) = broker(&[("t", 1)]);
    let mut consumer = GroupConsumer::new(&settings, "g").unwrap();
    consumer.subscribe(&["t".to_owned()]).unwrap();
    until("an assignment", || consumer.poll(TURN));
    assert!(consumer.is_rebalancing());
    assert!(consumer.close(DEADLINE));
}

#[test]
fn closing_gives_up_at_the_deadline() {
    let (broker, settings) = broker(&[("t", 1)]);
    let consumer = member(&settings, "g", "t");
    broker.set_round_trip(Duration::from_secs(3)).unwrap();
    let started = Instant::now();
    let closed = consumer.close(Duration::from_millis(100));
    assert!(started.elapsed() < Duration::from_secs(1));
    assert!(!closed);
}

#[test]
fn watermarks_say_where_the_log_begins_and_ends() {
    let (_broker, settings) = broker(&[("t", 1)]);
    fill(&settings, "t", 1, 6);
    let mut consumer = member(&settings, "g", "t");
    assert_eq!(consumer.watermarks(&tp("t", 0), DEADLINE).unwrap(), (0, 6));
    read(&mut consumer, 6);
    // From the client's statistics, every 5 s.
    let known = until("the statistics", || {
        assert!(consumer.poll(TURN).is_none());
        let known = consumer.high_watermarks();
        (!known.is_empty()).then_some(known)
    });
    assert_eq!(known, [(tp("t", 0), 6)]);
}
