//! Events that find their way.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU16;

use hooklane_model::id::{DeliveryId, EndpointUid, SubscriptionUid};
use hooklane_model::lane::lane_of;
use serde_json::json;

use crate::fixture::{Fixture, LANES, until};

const JSON: (&str, &str) = ("content-type", "application/json");
const TENANT: (&str, &str) = ("tenant", "acme");

fn binary<'a>(id: &'a str, event_type: &'a str) -> Vec<(&'a str, &'a str)> {
    let ce = [
        ("ce_specversion", "1.0"),
        ("ce_source", "/shop"),
        ("ce_id", id),
        ("ce_type", event_type),
    ];
    ce.into_iter().chain([JSON, TENANT]).collect()
}

const SMALL: &[u8] = br#"{"total": 7}"#;
const LARGE: &[u8] = br#"{"total":  700, "who": "acme"}"#;
const STRUCTURED: &[u8] = br#"{"specversion": "1.0", "id": "b", "source": "/shop",
    "type": "order.paid", "data": {"total": 101}}"#;

/// Six subscriptions, the last of them for large totals only, and six events.
fn prepared() -> Fixture {
    let fixture = Fixture::new();
    let rules = json!({
        "tenant": {"header": "tenant"}, "type": {"header": "x-type"}, "startFrom": "earliest",
    });
    fixture.source(None, rules);
    for n in 1..=6 {
        fixture.endpoint(n);
        let filter = (n == 6).then(|| json!({"data": {"total": [{"numeric": [">", 100]}]}}));
        fixture.subscription(n, &["order.*"], filter);
    }
    let ce_json = [
        (
            "content-type",
            "application/cloudevents+json; charset=utf-8",
        ),
        TENANT,
    ];
    fixture.send("shop", 0, &binary("a", "order.created"), SMALL);
    fixture.send("shop", 0, &binary("x", "user.created"), SMALL);
    fixture.send("shop", 0, &ce_json, STRUCTURED);
    fixture.send("shop", 0, &[("x-type", "order.sent"), TENANT], LARGE);
    fixture.send(
        "shop",
        0,
        &[("x-type", "order.sent"), ("tenant", "bolt")],
        LARGE,
    );
    fixture.send("shop", 1, &binary("last", "order.created"), SMALL);
    fixture
}

/// Both CloudEvents modes and plain JSON, with a filter on the payload: each
/// match is one target in its endpoint's lane with the record's own bytes, and
/// what nobody wants is written nowhere.
#[test]
fn events_reach_the_lanes_of_who_wants_them() {
    let mut fixture = prepared();
    let running = fixture.start();
    // 5 targets for small totals, 6 for large ones; grouped by lane.
    let lanes = NonZeroU16::new(LANES).unwrap();
    let lane = |endpoint| lane_of(endpoint, lanes).partition();
    let lanes_of = |count: u128| {
        (1..=count)
            .map(|n| lane(EndpointUid(n)))
            .collect::<BTreeSet<_>>()
    };
    let envelopes = 2 * lanes_of(5).len() + 2 * lanes_of(6).len();
    let mut found: BTreeMap<String, BTreeSet<u128>> = BTreeMap::new();
    for stored in fixture.stored(envelopes) {
        let event = &stored.envelope.event;
        let (expected, source) = match event.id.as_str() {
            "a" | "last" => (SMALL, "/shop"),
            "b" => (STRUCTURED, "/shop"),
            _ => (LARGE, "shop"),
        };
        assert_eq!(stored.payload, expected, "the bytes as they were");
        assert_eq!(event.tenant.as_deref(), Some("acme"));
        let is_dated = event.attributes.iter().any(|(name, _)| name == "time");
        assert!(is_dated, "by its record: {event:?}");
        for target in &stored.envelope.targets {
            let subscription = target.subscription;
            assert_eq!(lane(target.endpoint), stored.lane);
            let delivery = DeliveryId::derive("acme", source, &event.id, subscription);
            assert_eq!(target.delivery, delivery);
            let of_event = found.entry(event.id.clone()).or_default();
            assert!(of_event.insert(subscription.0));
        }
        let applied = stored.envelope.config.offset;
        assert_eq!(applied, 13, "one source, six endpoints, six subscriptions");
    }
    let all = |n: u128| (1..=n).collect::<BTreeSet<u128>>();
    let expected = [("a", 5), ("b", 6), ("last", 5), ("shop/0/3", 6)];
    let expected = expected.map(|(id, n)| (id.to_owned(), all(n)));
    assert_eq!(found, expected.into_iter().collect());
    running.until_metric("hooklane_matched_deliveries_total", 22.0);
    running.until_metric("hooklane_envelopes_total", envelopes as f64);
    running.until_metric("hooklane_events_total{fate=\"unmatched\"}", 2.0);
    running.stop();
    let committed = [(0, Some(5)), (1, Some(1))].into_iter().collect();
    assert_eq!(fixture.committed(), committed);
}

/// Stopped in the middle and started again, twice: every event once.
#[test]
fn a_restart_continues_where_it_stopped() {
    let mut fixture = Fixture::new();
    fixture.source(
        None,
        json!({"tenant": {"fixed": "acme"}, "startFrom": "earliest"}),
    );
    fixture.endpoint(1);
    fixture.subscription(1, &["*"], None);
    let mut sent = 0;
    let mut send = |fixture: &Fixture, count: usize| {
        for _ in 0..count {
            let partition = i32::from(sent % 2 == 1);
            fixture.send(
                "shop",
                partition,
                &[JSON],
                format!("{{\"n\": {sent}}}").as_bytes(),
            );
            sent += 1;
        }
    };
    let mut ids = Vec::new();
    for _ in 0..3 {
        send(&fixture, 60);
        let running = fixture.start();
        ids.extend(
            fixture
                .stored(20)
                .into_iter()
                .map(|stored| stored.envelope.event.id),
        );
        send(&fixture, 30);
        running.stop();
    }
    let running = fixture.start();
    let rest = 270 - ids.len();
    ids.extend(
        fixture
            .stored(rest)
            .into_iter()
            .map(|stored| stored.envelope.event.id),
    );
    running.stop();
    let distinct: BTreeSet<&String> = ids.iter().collect();
    assert_eq!(
        distinct.len(),
        270,
        "each once: nothing lost, nothing repeated"
    );
    assert_eq!(
        fixture.committed(),
        [(0, Some(135)), (1, Some(135))].into_iter().collect()
    );
}

/// Subscriptions, endpoints' statuses and sources change while it runs.
#[test]
fn changes_reach_a_running_ingest() {
    let mut fixture = Fixture::new();
    let running = fixture.start();
    fixture.send("shop", 0, &[JSON], b"{\"before\": 1}");
    fixture.endpoint(1);
    fixture.endpoint(2);
    fixture.subscription(1, &["*"], None);
    // One event was there when the source was made; the next one counts.
    fixture.source(
        Some(json!({"0": 1, "1": 0})),
        json!({"tenant": {"fixed": "acme"}}),
    );
    fixture.send("shop", 0, &[JSON], b"{\"n\": 1}");
    let stored = fixture.stored(1).remove(0);
    assert_eq!(
        (stored.envelope.position.offset, stored.payload.as_slice()),
        (1, &b"{\"n\": 1}"[..])
    );

    fixture.subscription(2, &["*"], Some(json!({"data": {"n": [2]}})));
    running.until_metric("hooklane_subscriptions", 2.0);
    let disabled = json!({
        "observedGeneration": 1, "disabled": {"reason": "gone", "at": "2026-01-01T00:00:00Z"},
    });
    fixture.status(1, &disabled);
    // The status topic has no stamp: events are sent until one shows it.
    let mut sent = 0;
    until("the endpoint is disabled", || {
        fixture.send("shop", 1, &[JSON], b"{\"n\": 3}");
        sent += 1;
        running.metric("hooklane_disabled_deliveries_total") > 0.5
    });
    fixture.send("shop", 1, &[JSON], b"{\"n\": 2}");
    loop {
        let stored = fixture.stored(1).remove(0);
        let to = stored.envelope.targets[0].subscription;
        if stored.payload == b"{\"n\": 2}" {
            assert_eq!(to, SubscriptionUid(2));
            assert_eq!(stored.envelope.position.offset, sent);
            break;
        }
        assert_eq!(to, SubscriptionUid(1));
    }
    running.stop();
}
