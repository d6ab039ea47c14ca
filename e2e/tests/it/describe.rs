//! What a person is told of endpoints, by those that own them.

use hooklane_test_support::{Answer, Script, wait_for, wait_until};
use serde_json::{Value, json};

use crate::harness::{DEADLINE, Event, Kind, Pipeline, subscription};

/// Enough failures to open any breaker of a default endpoint.
const EVENTS: usize = 50;

/// Goal: `hooklane describe endpoint` tells what keeps an endpoint and what
/// waits for it, also after another dispatcher has taken over, and nothing of
/// one that is well.
/// Method: a receiver that asks for an hour, one that is dead and one that is
/// well; the dispatcher is killed and another started; the endpoints go.
#[test]
fn an_endpoint_in_trouble_is_described_until_it_is_gone() {
    let p = Pipeline::new("describe").with_short_sessions();
    let busy = Answer::status(429).header("retry-after", "3600");
    p.receiver.script("/busy", Script::always(busy));
    p.receiver
        .script("/dead", Script::always(Answer::status(500)));
    let paths = ["/busy", "/dead", "/well"];
    let subscriptions = paths.map(|path| subscription(&path[1..], path, json!({})));
    let endpoints = paths.map(|path| p.endpoint(path, json!({})));
    p.apply(&[&[p.source()][..], &endpoints, &subscriptions].concat());
    let [ingest, dispatcher, scheduler] = p.start_all();
    let events: Vec<Event> = (0..EVENTS)
        .map(|n| Event::new(format!("e{n}"), "acme", "order"))
        .collect();
    p.events.store(&events);
    p.receiver.wait_count("/well", EVENTS, DEADLINE).unwrap();

    let all = |snapshot: &Value| {
        let parts = ["inMemory", "inFlight", "parked", "retrying"];
        let parts = parts.map(|part| snapshot[part].as_u64().unwrap_or(0));
        parts.iter().sum::<u64>() == EVENTS as u64
    };
    let held = snapshot(&p, "busy", |s| s["heldUntil"].is_string() && all(s));
    assert_eq!(held["breaker"], "closed", "{held:#}");
    assert_eq!(held["stale"], false, "{held:#}");
    let dead = snapshot(&p, "dead", |s| s["breaker"] != "closed" && all(s));
    assert!(dead["failingSince"].is_string(), "{dead:#}");
    let well = p.get("endpoint", "acme", "well");
    assert_eq!(well["status"], json!({"state": "active"}));
    let shown = p.command(&["describe", "endpoint", "busy", "--tenant", "acme"]);
    assert!(
        shown.contains("\nHold:        until ") && shown.contains("\nWaiting:     50 deliveries"),
        "{shown}"
    );
    for name in ["held_seconds", "waiting_deliveries", "expiry_seconds"] {
        let scrape = dispatcher.scrape();
        let labels = [("tenant", "acme"), ("endpoint", "busy")];
        let value = scrape.value(&format!("hooklane_endpoint_{name}"), &labels);
        // What expires is absent: an hour is less than the default maxAge.
        assert_eq!(
            value.is_some(),
            name != "expiry_seconds",
            "{name} {value:?}"
        );
    }

    drop(dispatcher);
    let [dispatcher] = p.start([Kind::Dispatcher]);
    // What the first one parked may be away for minutes yet.
    p.events.store(&[Event::new("another", "acme", "order")]);
    let next = snapshot(&p, "dead", |s| s["claimedAt"] != dead["claimedAt"]);
    assert!(next["failingSince"].is_string(), "{next:#}");

    let names = ["busy", "dead"];
    for name in names {
        for kind in ["subscription", "endpoint"] {
            p.command(&["delete", kind, name, "--tenant", "acme"]);
        }
    }
    wait_until("no snapshot in the status topic", DEADLINE, || {
        let mut stands = std::collections::BTreeMap::new();
        for record in p.records(&p.names.status()) {
            let key = String::from_utf8(record.key.unwrap().to_vec()).unwrap();
            stands.insert(key, record.value.is_some());
        }
        let snapshots = stands.iter().filter(|(key, _)| key.ends_with("/snapshot"));
        snapshots.clone().count() > 0 && snapshots.clone().all(|(_, stands)| !stands)
    })
    .unwrap();
    for service in [ingest, dispatcher, scheduler] {
        service.stop();
    }
}

/// An endpoint's snapshot, once it is as wanted.
fn snapshot(p: &Pipeline, name: &str, good: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    let found = wait_for(&format!("a snapshot of {name}"), DEADLINE, || {
        last = p.get("endpoint", "acme", name)["status"]["snapshot"].clone();
        good(&last).then(|| last.clone())
    });
    found.unwrap_or_else(|error| panic!("{error}: {last:#}"))
}
