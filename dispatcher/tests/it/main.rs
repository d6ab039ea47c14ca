//! The dispatcher as a whole, against the embedded broker and a receiver with
//! faults. What is said about Kafka itself is tested in e2e, on a real one.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests end a test by panicking, as the tests do"
)]

mod harness;
mod hostile;
mod oauth;
mod panics;
mod signed;
mod stuck;
mod verify;

use std::time::Duration;

use hooklane_model::catalog::Snapshot;
use hooklane_model::envelope::SCHEMA_VERSION;
use hooklane_model::record::NOTE_HEADER;
use hooklane_test_support::{Answer, Script, wait_for};
use serde_json::{Value, json};

use harness::{DEADLINE, Harness};

/// Every delivery of an envelope arrives once, with its id and its bytes, and
/// leaves an entry in the attempts topic; then its offset is committed.
#[test]
fn deliveries_arrive_once_with_their_bytes() {
    let h = Harness::start(&["/a", "/b"]);
    for n in 0..50 {
        h.produce(format!("{{\"n\":{n}}}").as_bytes(), &["/a", "/b"], 1);
    }
    h.receiver.wait_count("/a", 50, DEADLINE).unwrap();
    h.receiver.wait_count("/b", 50, DEADLINE).unwrap();
    h.wait_committed();
    let records = h.scan(&h.names.attempts());
    let attempts: Vec<Value> = records
        .iter()
        .flat_map(|r| serde_json::from_slice::<Vec<Value>>(r.value.as_ref().unwrap()).unwrap())
        .collect();
    assert_eq!(attempts.len(), 100);
    assert!(records.iter().all(|record| record.key.is_none()));
    assert_eq!(attempts[0]["outcome"], "delivered");
    assert_eq!(attempts[0]["attempt"], 1);
    let requests = h.receiver.requests();
    assert_eq!(requests.len(), 100);
    let mut ids: Vec<&str> = requests.iter().map(|r| r.webhook_id()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 100, "one id per event and subscription");
    let first = &requests[0];
    assert!(first.webhook_id().starts_with("dlv_"));
    assert!(
        first
            .header("webhook-timestamp")
            .is_some_and(|t| t.parse::<u64>().is_ok())
    );
    assert_eq!(first.header("content-type"), Some("application/json"));
    assert!(first.body.starts_with(b"{\"n\":"));
    h.stop();
}

/// A delivery that fails to the end of its schedule becomes one terminal
/// record: the original bytes, and the story in a header.
#[test]
fn an_exhausted_delivery_is_dead_with_its_bytes_and_its_story() {
    let h = Harness::start(&["/down"]);
    h.receiver
        .script("/down", Script::always(Answer::status(500)));
    h.produce(b"{\"lost\":false}", &["/down"], 1);
    // The schedule of the harness is one wait of a second.
    let dead = h.wait_records(&h.names.dead(), 1);
    assert_eq!(dead[0].value.as_deref(), Some(&b"{\"lost\":false}"[..]));
    let note = dead[0]
        .headers
        .iter()
        .find(|(name, _)| name == NOTE_HEADER)
        .unwrap();
    let note: Value = serde_json::from_slice(&note.1).unwrap();
    assert_eq!(note["reason"], "exhausted");
    assert_eq!(note["attempts"], 2);
    assert_eq!(note["lastStatus"], 500);
    assert_eq!(note["delivery"], h.receiver.requests()[0].webhook_id());
    assert_eq!(h.receiver.count("/down"), 2);
    h.wait_committed();
    h.stop();
}

/// A wait beyond the queue wait goes to the rung of the ladder, as the same
/// delivery with the next attempt.
#[test]
fn a_long_retry_goes_to_its_rung() {
    let h = Harness::start_with(json!(["30s"]), &["/flaky"]);
    h.receiver
        .script("/flaky", Script::always(Answer::status(503)));
    h.produce(b"{}", &["/flaky"], 1);
    let topic = h.names.delay(hooklane_model::ladder::Rung::S15);
    let delayed = h.wait_records(&topic, 1);
    let value = delayed[0].value.clone().unwrap();
    let (envelope, payload) = hooklane_model::envelope::Envelope::decode(&value).unwrap();
    assert_eq!(payload, "{}");
    assert_eq!(envelope.targets[0].attempt, 2);
    assert_eq!(
        envelope.targets[0].delivery.to_string(),
        h.receiver.requests()[0].webhook_id()
    );
    h.stop();
}

/// An unreadable record goes to the poison topic with its coordinates, and
/// the lane goes on.
#[test]
fn poison_does_not_stop_a_lane() {
    let h = Harness::start(&["/a"]);
    let lane = h.lane("/a");
    h.produce_raw(lane, b"not an envelope");
    h.produce(b"{}", &["/a"], 1);
    h.receiver.wait_count("/a", 1, DEADLINE).unwrap();
    let poison = h.wait_records(&h.names.poison(), 1);
    assert_eq!(poison[0].value.as_deref(), Some(&b"not an envelope"[..]));
    let note: Value = serde_json::from_slice(&poison[0].headers[0].1).unwrap();
    assert_eq!(
        (&note["kind"], &note["offset"]),
        (&json!("poison"), &json!(0))
    );
    assert_eq!(note["topic"], h.names.deliveries());
    h.wait_committed();
    h.stop();
}

/// A record of a newer release stops its lane and no other, and is not
/// poison.
#[test]
fn a_record_of_a_newer_release_stops_its_lane_only() {
    let h = Harness::start(&["/a", "/b"]);
    let (stopped, other) = h.two_lanes("/a", "/b");
    h.produce_raw(stopped, &[0x48, 1, SCHEMA_VERSION + 1, 9, 9]);
    h.produce(b"{}", &["/a"], 1);
    h.produce(b"{}", &["/b"], 1);
    h.receiver.wait_count("/b", 1, DEADLINE).unwrap();
    h.wait_metric("hooklane_lanes_waiting_for_upgrade", 1.0);
    assert_eq!(h.receiver.count("/a"), 0);
    assert_eq!(h.committed(stopped), Some(0));
    assert_eq!(h.committed(other), Some(1));
    assert!(h.scan(&h.names.poison()).is_empty());
    h.stop();
}

/// An orderly end settles what is open; the next process goes on where the
/// last one stopped, without a repeat.
#[test]
fn a_restart_repeats_nothing() {
    let mut h = Harness::start(&["/a"]);
    h.receiver.script(
        "/a",
        Script::always(Answer::status(200).after(Duration::from_millis(20))),
    );
    for n in 0..100 {
        h.produce(n.to_string().as_bytes(), &["/a"], 1);
    }
    h.receiver.wait_count("/a", 10, DEADLINE).unwrap();
    h.restart();
    // What waited in memory went to the tail of the ladder at the end: there
    // is no scheduler here to bring it back, so the two must add up.
    h.wait_committed();
    let parked = h
        .scan(&h.names.delay(hooklane_model::ladder::Rung::Tail))
        .len();
    h.receiver.wait_count("/a", 100 - parked, DEADLINE).unwrap();
    let requests = h.receiver.requests();
    let mut ids: Vec<&str> = requests.iter().map(|r| r.webhook_id()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), requests.len(), "a repeat");
    assert_eq!(ids.len() + parked, 100);
    h.stop();
}

/// 410 disables: the status topic says so, and nothing more is sent.
#[test]
fn gone_disables_the_endpoint() {
    let h = Harness::start(&["/gone"]);
    h.receiver
        .script("/gone", Script::always(Answer::status(410)));
    h.produce(b"1", &["/gone"], 1);
    let status = h.wait_records(&h.names.status(), 1);
    let value: Value = serde_json::from_slice(status[0].value.as_ref().unwrap()).unwrap();
    assert_eq!(value["disabled"]["reason"], "gone");
    assert_eq!(value["observedGeneration"], 1);
    h.produce(b"2", &["/gone"], 1);
    let dead = h.wait_records(&h.names.dead(), 2);
    let reasons: Vec<Value> = dead
        .iter()
        .map(|r| serde_json::from_slice::<Value>(&r.headers[0].1).unwrap()["reason"].clone())
        .collect();
    assert!(reasons.contains(&json!("gone")), "{reasons:?}");
    assert!(reasons.contains(&json!("endpoint_disabled")), "{reasons:?}");
    assert_eq!(h.receiver.count("/gone"), 1);
    h.stop();
}

/// Goal: what keeps an endpoint is shown while it does, under a key of its
/// own, and is gone with the endpoint. Method: a receiver that asks for an
/// hour, and then the endpoint's end.
#[test]
fn a_held_endpoint_has_a_snapshot_until_it_is_deleted() {
    let h = Harness::start(&["/busy"]);
    let wait = Answer::status(429).header("retry-after", "3600");
    h.receiver.script("/busy", Script::always(wait));
    h.produce(b"{}", &["/busy"], 1);
    let status = h.names.status();
    let key = h.snapshot_key("/busy");
    let last = |what: &str, good: &dyn Fn(Option<&[u8]>) -> bool| {
        wait_for(what, DEADLINE, || {
            let records = h.scan(&status).into_iter();
            let ours = records.filter(|r| r.key.as_deref() == Some(key.as_bytes()));
            let last = ours.last()?.value;
            good(last.as_deref()).then_some(last)
        })
        .unwrap()
    };
    let value = last("a snapshot", &|value| value.is_some()).unwrap();
    let snapshot = Snapshot::from_json(&value).unwrap();
    assert_eq!(snapshot.observed_generation, 1);
    assert_eq!(
        (&*snapshot.breaker, snapshot.failing_since),
        ("closed", None)
    );
    assert_eq!((snapshot.waiting(), snapshot.parked), (1, 1));
    let held = snapshot.held_until.unwrap().since(snapshot.as_of.unwrap());
    assert!(held > Duration::from_secs(3_000), "{held:?}");
    h.wait_metric("hooklane_endpoint_waiting_deliveries", 1.0);
    h.delete("/busy");
    last("a tombstone", &|value| value.is_none());
    h.wait_metric("hooklane_endpoint_waiting_deliveries", 0.0);
    h.stop();
}
