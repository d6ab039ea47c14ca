//! Records that can't be read, records that are gone, and brokers that are.

use std::time::Duration;

use bytes::Bytes;
use hooklane_kafka::consumer::{GroupConsumer, Polled};
use hooklane_kafka::record::TopicPartition;
use hooklane_model::ladder::Rung;
use hooklane_model::record::{NOTE_HEADER, PoisonNote};

use crate::support::{DEADLINE, Running, Sink, broker, delivery, names, now, until, write};

fn note(record: &hooklane_kafka::record::Record) -> PoisonNote {
    serde_json::from_slice(record.header(NOTE_HEADER).unwrap()).unwrap()
}

#[test]
fn unreadable_records_go_to_poison_and_newer_ones_wait() {
    let (broker, settings) = broker();
    let topic = names().delay(Rung::Tail);
    let mut newer = delivery(1, now()).to_vec();
    newer[2] += 1;
    let junk = Bytes::from_static(b"not a frame");
    write(
        &settings,
        &[
            (topic.clone(), 5, junk.clone(), now()),
            (topic.clone(), 5, delivery(2, now()), now()),
            (topic.clone(), 6, newer.into(), now()),
            (topic.clone(), 6, delivery(3, now()), now()),
        ],
    );
    let scheduler = Running::start(&broker);
    let poison = Sink::new(&settings, &names().poison()).read(1).remove(0);
    assert_eq!(poison.value, Some(junk));
    let note = note(&poison);
    assert_eq!(
        (note.kind.as_str(), note.topic, note.partition, note.offset),
        ("poison", topic, 5, 0)
    );
    Sink::new(&settings, &names().deliveries()).read(1);
    scheduler.wait_for_metric("hooklane_retry_partitions_waiting_for_upgrade", 1.0);
    assert_eq!(scheduler.metric("hooklane_poison_records_total"), 1.0);
    assert_eq!(scheduler.metric("hooklane_retry_released_total"), 1.0);
    scheduler.stop();
}

/// The embedded broker drops the oldest of a partition beyond 5 MiB, as
/// retention does.
#[test]
fn what_retention_took_is_noted_and_the_rest_goes_on() {
    let (broker, settings) = broker();
    let topic = names().delay(Rung::H10);
    // Random, or compression makes it small; and no frame, so that what is
    // left of it is poison.
    let mut bytes = vec![0; 900_000];
    fastrand::Rng::with_seed(7).fill(&mut bytes);
    bytes[0] = 0;
    let big = Bytes::from(bytes);
    for _ in 0..8 {
        write(&settings, &[(topic.clone(), 2, big.clone(), now())]);
    }
    let due = now();
    write(&settings, &[(topic.clone(), 2, delivery(1, due), due)]);
    let scheduler = Running::start(&broker);
    Sink::new(&settings, &names().deliveries()).read(1);
    scheduler.wait_for_metric("hooklane_lost_records_total", 1.0);
    let lost = scheduler.metric("hooklane_lost_records_total");
    let mut poison = Sink::new(&settings, &names().poison());
    let noted = until("the note", || {
        let note = note(&poison.next()?);
        (note.kind == "lost").then_some(note)
    });
    assert_eq!((noted.topic, noted.partition, noted.offset), (topic, 2, 0));
    let until = noted.until.unwrap();
    assert!((1..8).contains(&until), "{until}");
    assert_eq!(lost, f64::from(i32::try_from(until).unwrap()));
    scheduler.stop();
}

#[test]
fn a_committed_offset_beyond_the_end_starts_over_and_loses_nothing() {
    let (broker, settings) = broker();
    let topic = names().delay(Rung::Tail);
    let group = format!("{}retry-scheduler", names().prefix());
    let mut member = GroupConsumer::new(&settings, &group).unwrap();
    member.subscribe(std::slice::from_ref(&topic)).unwrap();
    until("an assignment", || {
        let Some(Polled::Assigned(partitions)) = member.poll(Duration::from_millis(20)) else {
            return None;
        };
        let from: Vec<_> = partitions.into_iter().map(|tp| (tp, Some(0))).collect();
        member.complete_assign(&from).unwrap();
        Some(())
    });
    let beyond = [(TopicPartition::new(topic.as_str(), 4), 500)];
    member.commit_sync(&beyond).unwrap();
    assert!(member.close(DEADLINE));

    write(&settings, &[(topic, 4, delivery(1, now()), now())]);
    let scheduler = Running::start(&broker);
    Sink::new(&settings, &names().deliveries()).read(1);
    scheduler.wait_for_metric("hooklane_retry_position_resets_total", 1.0);
    scheduler.stop();
}

/// Goal: an outage of the brokers delays and loses nothing. Method: away while
/// records become due.
#[test]
fn brokers_that_are_away_for_a_while_lose_nothing() {
    let (broker, settings) = broker();
    let scheduler = Running::start(&broker);
    scheduler.wait_for_metric("hooklane_retry_partitions", 96.0);
    let topic = names().delay(Rung::Tail);
    let due = now().after(Duration::from_secs(2));
    let records: Vec<_> = (0..50u64)
        .map(|id| {
            let partition = i32::try_from(id % 12).unwrap();
            (topic.clone(), partition, delivery(id, due), now())
        })
        .collect();
    write(&settings, &records);
    scheduler.wait_for_metric("hooklane_retry_tail_records", 50.0);
    broker.set_up(false).unwrap();
    scheduler.wait_for_metric("hooklane_retry_in_flight_records", 50.0);
    scheduler.wait_for_metric("hooklane_retry_overdue_seconds", 1.0);
    broker.set_up(true).unwrap();
    scheduler.wait_for_metric("hooklane_retry_released_total", 50.0);
    Sink::new(&settings, &names().deliveries()).read(50);
    scheduler.stop();
}
