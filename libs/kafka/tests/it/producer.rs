//! Records go where they should, and every one is reported once.

use std::time::{Duration, Instant};

use hooklane_kafka::consumer::GroupConsumer;
use hooklane_kafka::producer::{Outgoing, ProduceErrorKind, SendError, Stored};
use hooklane_kafka::record::TimestampKind;
use hooklane_kafka::settings::{Compression, Profile};
use hooklane_model::lane::stable_hash;

use crate::support::{DEADLINE, broker, member, outgoing, producer, read, tp, until};

#[test]
fn a_record_comes_back_as_it_was_sent() {
    let (_broker, settings) = broker(&[("t", 3)]);
    let (producer, reports) = producer(&settings, &Profile::default());
    let record = Outgoing {
        topic: "t",
        partition: Some(2),
        key: Some(b"acme"),
        value: Some(b"\x00\xffbytes"),
        headers: &[("tenant", b"acme"), ("empty", b"")],
        timestamp: Some(1_700_000_000_123),
    };
    producer.send(&record, 77).unwrap();
    producer
        .send(
            &Outgoing {
                value: None,
                headers: &[],
                ..record
            },
            78,
        )
        .unwrap();
    assert!(producer.flush(DEADLINE));
    let stored = |token, offset| {
        (
            token,
            Ok(Stored {
                partition: 2,
                offset,
            }),
        )
    };
    let found: Vec<_> = reports
        .take()
        .into_iter()
        .map(|r| (r.token, r.result))
        .collect();
    assert_eq!(found, [stored(77, 0), stored(78, 1)]);

    let records = read(&mut member(&settings, "g", "t"), 2);
    let first = &records[0];
    assert_eq!((&*first.topic, first.partition, first.offset), ("t", 2, 0));
    assert_eq!(first.key.as_deref(), Some(&b"acme"[..]));
    assert_eq!(first.value.as_deref(), Some(&b"\x00\xffbytes"[..]));
    assert_eq!(first.header("tenant").map(|v| &v[..]), Some(&b"acme"[..]));
    assert_eq!(first.header("empty").map(|v| &v[..]), Some(&b""[..]));
    assert_eq!(first.timestamp.kind, TimestampKind::CreateTime);
    assert_eq!(first.timestamp.millis, 1_700_000_000_123);
    assert_eq!(records[1].value, None);
    assert!(records[1].headers.is_empty());
}

#[test]
fn a_record_without_a_partition_goes_by_the_hash_of_its_key() {
    let (_broker, settings) = broker(&[("t", 12)]);
    let (producer, reports) = producer(&settings, &Profile::default());
    let keyed = |key| Outgoing {
        topic: "t",
        partition: None,
        key: Some(key),
        value: None,
        headers: &[],
        timestamp: None,
    };
    let refused = producer.send(&keyed(b"a"), 0);
    assert!(matches!(refused, Err(SendError::Refused(_))), "{refused:?}");
    assert_eq!(producer.partition_count("t", DEADLINE).unwrap(), 12);
    for (token, key) in [b"a", b"b", b"c", b"d"].into_iter().enumerate() {
        producer.send(&keyed(key), token).unwrap();
    }
    assert!(producer.flush(DEADLINE));
    for report in reports.take() {
        let key = [b"a", b"b", b"c", b"d"][report.token];
        let expected = i32::try_from(stable_hash(key) % 12).unwrap();
        assert_eq!(report.result.unwrap().partition, expected);
    }
}

#[test]
fn a_full_queue_is_an_answer_and_not_a_wait() {
    let (broker, settings) = broker(&[("t", 1)]);
    broker.set_up(false).unwrap();
    let profile = Profile {
        queue_bytes_max: 64 << 10,
        ..Profile::default()
    };
    let (producer, _reports) = producer(&settings, &profile);
    let value = vec![7; 16 << 10];
    let started = Instant::now();
    let refused = (0..100).find_map(|n| producer.send(&outgoing("t", 0, &value), n).err());
    assert_eq!(refused, Some(SendError::QueueFull));
    assert!(started.elapsed() < Duration::from_secs(1));
    assert!(producer.in_flight() >= 3);
    assert!(!producer.flush(Duration::from_millis(20)));
}

#[test]
fn a_record_that_is_too_large_is_refused_for_itself_alone() {
    let (_broker, settings) = broker(&[("t", 1)]);
    let profile = Profile {
        record_bytes_max: 64 << 10,
        compression: Compression::Zstd,
        ..Profile::default()
    };
    let (producer, reports) = producer(&settings, &profile);
    let large = vec![0; 65 << 10];
    let Err(SendError::Refused(error)) = producer.send(&outgoing("t", 0, &large), 1) else {
        panic!("taken");
    };
    assert_eq!(error.kind, ProduceErrorKind::TooLarge);
    producer.send(&outgoing("t", 0, b"small"), 2).unwrap();
    assert!(producer.flush(DEADLINE));
    assert_eq!(reports.take().len(), 1);
}

#[test]
fn a_record_is_given_up_only_after_the_time_of_the_profile() {
    let (broker, settings) = broker(&[("t", 1)]);
    broker.set_up(false).unwrap();
    let impatient = Profile {
        message_timeout: Some(Duration::from_millis(300)),
        ..Profile::default()
    };
    let (producer, reports) = producer(&settings, &impatient);
    producer.send(&outgoing("t", 0, b"x"), 1).unwrap();
    assert!(producer.flush(DEADLINE));
    let error = reports.take().remove(0).result.unwrap_err();
    assert_eq!(error.kind, ProduceErrorKind::TimedOut, "{error}");
}

/// The library's own flush waits 100 ms as soon as one record is open.
#[test]
fn a_flush_takes_as_long_as_the_broker_does() {
    let (_broker, settings) = broker(&[("t", 1)]);
    let (producer, _reports) = producer(&settings, &Profile::default());
    producer.send(&outgoing("t", 0, b"first"), 0).unwrap();
    assert!(producer.flush(DEADLINE));
    let mut quickest = DEADLINE;
    for token in 0..10 {
        let started = Instant::now();
        producer.send(&outgoing("t", 0, b"x"), token).unwrap();
        assert!(producer.flush(DEADLINE));
        quickest = quickest.min(started.elapsed());
    }
    assert!(quickest < Duration::from_millis(50), "{quickest:?}");
}

/// The library serves one event a call when there is no time left.
#[test]
fn a_poll_without_a_timeout_gives_every_report_there_is() {
    let (_broker, settings) = broker(&[("t", 8)]);
    let (producer, reports) = producer(&settings, &Profile::default());
    let consumer = GroupConsumer::new(&settings, "g").unwrap();
    for partition in 0..8 {
        producer.send(&outgoing("t", partition, b"x"), 0).unwrap();
    }
    for partition in 0..8 {
        until("stored", || {
            let (_, high) = consumer.watermarks(&tp("t", partition), DEADLINE).unwrap();
            (high == 1).then_some(())
        });
    }
    producer.poll(Duration::ZERO);
    let at_once = reports.take().len();
    assert!(at_once > 1, "one report of eight");
    assert!(producer.flush(DEADLINE));
    assert_eq!(at_once + reports.take().len(), 8);
    assert_eq!(producer.in_flight(), 0);
}

#[test]
fn a_thread_gives_reports_until_it_is_dropped() {
    let (_broker, settings) = broker(&[("t", 1)]);
    let (producer, reports) = producer(&settings, &Profile::default());
    let thread = producer.poll_on_thread("reports").unwrap();
    producer.send(&outgoing("t", 0, b"x"), 5).unwrap();
    until("the report", || {
        reports.take().pop().filter(|r| r.token == 5)
    });
    drop(thread);
}
