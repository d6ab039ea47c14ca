//! The configuration: tables read whole, followed, and written by one writer.

use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use hooklane_kafka::config_feed::{ConfigFeed, FeedEvent};
use hooklane_kafka::config_writer::{ConfigWriter, Entry};
use hooklane_kafka::embedded::EmbeddedBroker;
use hooklane_kafka::error::ErrorKind;
use hooklane_kafka::producer::Outgoing;
use hooklane_kafka::settings::{ClientSettings, Profile};
use hooklane_kafka::table::{TableEvent, TableReader};
use hooklane_model::catalog::Change;
use hooklane_model::topic::TopicNames;

use crate::support::{DEADLINE, broker, fill, producer, until};

const TURN: Duration = Duration::from_millis(50);

pub(crate) fn endpoint(name: &str, generation: u64) -> Entry {
    let value = format!(
        r#"{{"apiVersion":"hooklane/v1","kind":"Endpoint","metadata":{{"tenant":"acme",
        "name":"{name}","uid":"ep_{:032x}","generation":{generation}}},
        "spec":{{"url":"https://erp.example/hooks"}}}}"#,
        1
    );
    let key = format!("Endpoint/acme/{name}");
    (key.into_bytes(), Some(value.into_bytes()))
}

fn config_broker() -> (EmbeddedBroker, ClientSettings, TopicNames) {
    let names = TopicNames::default();
    let (broker, settings) = broker(&[(&names.config(), 1), (&names.status(), 1)]);
    (broker, settings, names)
}

/// Events up to the one that says that all was read.
fn load(reader: &mut TableReader) -> Vec<TableEvent> {
    let mut events = Vec::new();
    until("caught up", || {
        events.push(reader.poll(TURN)?);
        matches!(events.last(), Some(TableEvent::CaughtUp)).then_some(())
    });
    events
}

#[test]
fn tables_are_read_whole_and_then_followed() {
    let (_broker, settings) = broker(&[("a", 1), ("b", 1), ("empty", 1)]);
    fill(&settings, "a", 1, 50);
    fill(&settings, "b", 1, 5);
    let topics = ["a", "b", "empty"].map(str::to_owned);
    let mut reader = TableReader::new(&settings, "reader", &topics).unwrap();
    let events = load(&mut reader);
    let read = |topic| {
        let of = |e: &&TableEvent| matches!(e, TableEvent::Record(r) if &*r.topic == topic);
        events.iter().filter(of).count()
    };
    assert_eq!((read("a"), read("b"), events.len()), (50, 5, 56));
    assert_eq!(reader.positions(), [Some(50), Some(5), None]);
    assert_eq!(reader.ends().unwrap(), [50, 5, 0]);
    fill(&settings, "empty", 1, 1);
    let event = until("the next record", || reader.poll(TURN));
    assert!(matches!(event, TableEvent::Record(r) if &*r.topic == "empty"));
}

#[test]
fn a_table_that_is_missing_is_waited_for() {
    let (broker, settings) = broker(&[]);
    let mut reader = TableReader::new(&settings, "reader", &["late".to_owned()]).unwrap();
    let kind = until("the failure", || match reader.poll(TURN)? {
        TableEvent::Error(error) => Some(error.kind()),
        other => panic!("{other:?}"),
    });
    assert_eq!(kind, ErrorKind::UnknownTopic);
    broker.create_topic("late", 1).unwrap();
    fill(&settings, "late", 1, 3);
    let events = load(&mut reader);
    let records = events.iter().filter(|e| matches!(e, TableEvent::Record(_)));
    assert_eq!(records.count(), 3);
}

#[test]
fn a_table_goes_on_after_brokers_were_away() {
    let (broker, settings) = broker(&[("a", 1)]);
    fill(&settings, "a", 1, 2);
    let mut reader = TableReader::new(&settings, "reader", &["a".to_owned()]).unwrap();
    load(&mut reader);
    broker.set_up(false).unwrap();
    until("a failure", || {
        reader
            .poll(TURN)
            .filter(|e| matches!(e, TableEvent::Error(_)))
    });
    broker.set_up(true).unwrap();
    fill(&settings, "a", 1, 1);
    let offset = until("the next record", || match reader.poll(TURN)? {
        TableEvent::Record(record) => Some(record.offset),
        _ => None,
    });
    assert_eq!(offset, 2);
}

fn feed(settings: &ClientSettings, names: &TopicNames) -> (ConfigFeed, Receiver<FeedEvent>) {
    // More than any test makes.
    let (events, received) = sync_channel(100);
    let feed = ConfigFeed::start(settings, names, move |event| {
        events.send(event).unwrap();
    });
    (feed.unwrap(), received)
}

fn changes(event: FeedEvent) -> Vec<Change> {
    match event {
        FeedEvent::Loaded { changes, .. } | FeedEvent::Changed { changes, .. } => changes,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_feed_hands_on_everything_and_then_what_changes() {
    let (_broker, settings, names) = config_broker();
    let mut writer = ConfigWriter::open(&settings, &names, DEADLINE).unwrap();
    let written = writer
        .write(&[endpoint("erp", 1), endpoint("crm", 1)])
        .unwrap();
    assert_eq!(written, Some(1));

    let (feed, events) = feed(&settings, &names);
    let loaded = events.recv_timeout(DEADLINE).unwrap();
    let FeedEvent::Loaded {
        changes: all,
        stamp,
    } = loaded
    else {
        panic!("{loaded:?}");
    };
    assert_eq!((all.len(), stamp.offset), (2, 2));
    until("loaded", || feed.stats().is_loaded().then_some(()));

    let started = Instant::now();
    writer.write(&[endpoint("erp", 2)]).unwrap();
    let changed = changes(events.recv_timeout(DEADLINE).unwrap());
    assert!(
        started.elapsed() < Duration::from_secs(1),
        "{:?}",
        started.elapsed()
    );
    let [Change::Endpoint(erp)] = &changed[..] else {
        panic!("{changed:?}");
    };
    assert_eq!(erp.meta.generation, 2);

    writer.write(&[(endpoint("erp", 2).0, None)]).unwrap();
    let gone = changes(events.recv_timeout(DEADLINE).unwrap());
    assert!(matches!(gone[..], [Change::EndpointGone(_)]), "{gone:?}");
    until("applied", || {
        (feed.stats().applied_offset() == 4).then_some(())
    });
    feed.stop();
    assert!(events.recv_timeout(TURN).is_err());
}

#[test]
fn a_broken_record_is_a_problem_and_changes_nothing() {
    let (_broker, settings, names) = config_broker();
    let mut writer = ConfigWriter::open(&settings, &names, DEADLINE).unwrap();
    let broken = |value: &[u8]| (endpoint("erp", 1).0, Some(value.to_vec()));
    writer.write(&[endpoint("erp", 1), broken(b"{")]).unwrap();
    let (feed, events) = feed(&settings, &names);
    let next = || events.recv_timeout(DEADLINE).unwrap();
    assert_eq!(changes(next()).len(), 1);
    assert!(matches!(next(), FeedEvent::Problem(_)));
    writer.write(&[broken(b"[]")]).unwrap();
    assert!(matches!(next(), FeedEvent::Problem(_)));
    assert!(changes(next()).is_empty());
    assert_eq!(feed.stats().broken_records(), 2);
}

#[test]
fn a_writer_reads_back_what_it_wrote_and_what_others_wrote_before() {
    let (_broker, settings, names) = config_broker();
    let mut writer = ConfigWriter::open(&settings, &names, DEADLINE).unwrap();
    assert_eq!(writer.write(&[]).unwrap(), None);
    writer.write(&[endpoint("erp", 1)]).unwrap();
    assert_eq!(writer.catalog().documents().len(), 1);
    drop(writer);
    let mut writer = ConfigWriter::open(&settings, &names, DEADLINE).unwrap();
    assert_eq!(writer.catalog().documents().len(), 1);
    let started = Instant::now();
    assert_eq!(writer.write(&[endpoint("crm", 1)]).unwrap(), Some(1));
    assert!(
        started.elapsed() < Duration::from_secs(1),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(writer.catalog().documents().len(), 2);
}

/// Whoever writes without a transaction, a status for example, is read too.
#[test]
fn a_status_reaches_the_feed() {
    let (_broker, settings, names) = config_broker();
    let (feed, events) = feed(&settings, &names);
    assert!(changes(events.recv_timeout(DEADLINE).unwrap()).is_empty());
    let (producer, _reports) = producer(&settings, &Profile::default());
    let record = Outgoing {
        topic: &names.status(),
        partition: Some(0),
        key: Some(b"no uid"),
        value: Some(b"{}"),
        headers: &[],
        timestamp: None,
    };
    producer.send(&record, 0).unwrap();
    assert!(producer.flush(DEADLINE));
    let problem = events.recv_timeout(DEADLINE).unwrap();
    assert!(matches!(problem, FeedEvent::Problem(_)), "{problem:?}");
    assert_eq!(feed.stats().broken_records(), 1);
}
