//! Records that cannot be passed on, and offsets that are gone.

use serde_json::json;

use crate::fixture::Fixture;

const JSON: (&str, &str) = ("content-type", "application/json");

fn prepared(start_offsets: Option<serde_json::Value>, start: &str) -> Fixture {
    let fixture = Fixture::new();
    let rules = json!({"format": "json", "tenant": {"jsonPointer": "/tenant"}, "startFrom": start});
    fixture.source(start_offsets, rules);
    fixture.endpoint(1);
    fixture.subscription(1, &["*"], None);
    fixture
}

/// A record that cannot be read lands in the poison topic with its bytes, and
/// those behind it go on.
#[test]
fn poison_does_not_stop_what_comes_after() {
    let mut fixture = prepared(None, "earliest");
    fixture.send("shop", 0, &[], b"{\"tenant\"");
    fixture.send("shop", 0, &[], b"{\"tenant\": 5.5, \"n\": {}}");
    fixture.send("shop", 0, &[], b"{\"other\": \"acme\"}");
    fixture.send("shop", 0, &[], b"{\"tenant\": \"acme\"}");
    let running = fixture.start();
    let stored = fixture.stored(1).remove(0);
    assert_eq!(stored.envelope.position.offset, 3);
    let poison = fixture.poison(2);
    for ((note, value), (offset, bytes, reason)) in poison.iter().zip([
        (0, &b"{\"tenant\""[..], "not JSON"),
        (2, b"{\"other\": \"acme\"}", "tenant"),
    ]) {
        assert_eq!(
            (note.kind.as_str(), note.topic.as_str()),
            ("poison", "shop")
        );
        assert_eq!(
            (note.partition, note.offset, value.as_slice()),
            (0, offset, bytes)
        );
        assert!(
            note.reason.contains(reason) && note.reason.contains("source shop"),
            "{note:?}"
        );
    }
    running.until_metric("hooklane_events_total{fate=\"poison\"}", 2.0);
    running.until_metric("hooklane_events_total{fate=\"unmatched\"}", 1.0);
    running.stop();
    assert_eq!(fixture.committed()[&0], Some(4));
}

/// The group's offset is not in the log: noted, counted, and on from the start.
#[test]
fn lost_offsets_are_noted_and_reading_goes_on() {
    let mut fixture = prepared(Some(json!({"0": 50, "1": 0})), "latest");
    fixture.send("shop", 0, &[], b"{\"tenant\": \"acme\"}");
    let running = fixture.start();
    let (note, value) = fixture.poison(1).remove(0);
    assert_eq!(
        (note.kind.as_str(), note.partition, note.offset),
        ("lost", 0, 50)
    );
    assert!(value.is_empty());
    assert_eq!(fixture.stored(1)[0].envelope.position.offset, 0);
    running.until_metric("hooklane_lost_records_total", 1.0);
    running.stop();
    // Partition 1 has no record: its first offset was committed all the same.
    let committed = [(0, Some(1)), (1, Some(0))].into_iter().collect();
    assert_eq!(fixture.committed(), committed);
}

/// An event that is larger than the topics allow becomes a note of where it
/// lies; a legal one of a megabyte passes.
#[test]
fn what_is_too_large_is_noted_with_its_place() {
    let mut fixture = prepared(None, "earliest");
    let event = |size: usize| format!("{{\"tenant\": \"acme\", \"x\": \"{}\"}}", "y".repeat(size));
    let legal = event((1 << 20) - 100);
    fixture.send("shop", 0, &[JSON], legal.as_bytes());
    let running = fixture.start();
    assert_eq!(fixture.stored(1)[0].payload, legal.as_bytes());
    running.stop();

    fixture.config.source_record_bytes_max = 16 << 10;
    fixture.send("shop", 0, &[JSON], event(500 << 10).as_bytes());
    fixture.send("shop", 0, &[JSON], event(10).as_bytes());
    let running = fixture.start();
    let (note, value) = fixture.poison(1).remove(0);
    assert_eq!((note.kind.as_str(), note.offset), ("poison", 1));
    assert!(
        note.reason.contains("too_large") && value.is_empty(),
        "{note:?}"
    );
    assert_eq!(fixture.stored(1)[0].envelope.position.offset, 2);
    running.stop();
    assert_eq!(fixture.committed()[&0], Some(3));
}
