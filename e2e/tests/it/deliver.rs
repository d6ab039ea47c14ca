//! Without faults: everything once, nothing else.

use hooklane_test_support::wait_until;
use serde_json::{Value, json};

use crate::harness::{DEADLINE, Event, Pipeline, Wants, subscription_of};

/// Goal: every event reaches every matching subscription exactly once, with
/// its bytes, and the books and metrics say the same.
/// Method: 2,000 events of three tenants, five endpoints, eight subscriptions;
/// matching is worked out again by closures, ids by the id function.
#[test]
fn many_events_reach_several_endpoints_exactly_once() {
    let p = Pipeline::new("once");
    let subscriptions = declare(&p);
    let [ingest, dispatcher, _scheduler] = p.start_all();
    let events: Vec<Event> = (0..2_000).map(event).collect();
    let expected = p.expect(&subscriptions, &events);
    assert!(
        expected.len() > 2_000,
        "the test is about many: {}",
        expected.len()
    );
    p.events.store(&events);
    expected.wait(&p.receiver, DEADLINE);
    let books = p.settled(DEADLINE);
    expected.check_once(&p.receiver);
    for (name, count) in [
        ("matched", expected.len()),
        ("delivered", expected.len()),
        ("dead", 0),
        ("repeats", 0),
    ] {
        assert_eq!(books[name], count, "{name}: {books:#}");
    }
    #[allow(clippy::cast_precision_loss, reason = "a few thousand")]
    let count = expected.len() as f64;
    assert_eq!(
        ingest.metric("hooklane_matched_deliveries_total", &[]),
        count
    );
    assert_eq!(dispatcher.metric("hooklane_delivered_total", &[]), count);
    assert_eq!(dispatcher.metric("hooklane_attempts_total", &[]), count);
    nothing_is_written_for_nothing(&p, &ingest);
}

/// Events that nobody wants leave no trace but in a counter.
fn nothing_is_written_for_nothing(p: &Pipeline, ingest: &crate::harness::Service) {
    let unmatched = [("fate", "unmatched")];
    let before = ingest.metric("hooklane_events_total", &unmatched);
    let ends = p.ends();
    let events: Vec<Event> = (0..50)
        .map(|n| Event::new(format!("n{n}"), "nobody", "order.created"))
        .collect();
    p.events.store(&events);
    ingest.wait_metric("hooklane_events_total", &unmatched, before + 50.0);
    // Their offsets are done, so nothing more will come of them.
    wait_until("no open offsets", DEADLINE, || {
        ingest.metric("hooklane_ingest_open_offsets", &[]) == 0.0
    })
    .unwrap();
    assert_eq!(p.ends(), ends);
}

const COUNTRIES: [&str; 4] = ["de", "dk", "fr", "it"];

fn event(n: usize) -> Event {
    let tenant = ["acme", "globex", "initech"][n % 3];
    let event_type = ["order.created", "order.paid", "user.created", "ping"][n / 3 % 4];
    let country = COUNTRIES[n / 12 % 4];
    let total = n * 7 % 200;
    // Spaces and an odd order of fields: the bytes must survive.
    let payload = format!("{{ \"total\":{total}, \"n\" : {n},\"country\":\"{country}\" }}\n");
    Event::new(format!("e{n}"), tenant, event_type).payload(payload)
}

fn declare(p: &Pipeline) -> Vec<Wants> {
    let data = |event: &Event, field: &str| -> Value {
        serde_json::from_slice::<Value>(&event.payload).unwrap()[field].clone()
    };
    let many = json!({"maxConcurrency": 16});
    let mut manifests = vec![p.source()];
    for (tenant, path) in [
        ("acme", "/erp"),
        ("acme", "/crm"),
        ("globex", "/hub"),
        ("globex", "/log"),
        ("initech", "/one"),
    ] {
        manifests.push(p.endpoint_of(tenant, path, many.clone()));
    }
    let mut wanted = Vec::new();
    let mut add =
        |tenant: &str, name: &str, path: &str, spec: Value, wants: Box<dyn Fn(&Event) -> bool>| {
            manifests.push(subscription_of(tenant, name, path, spec));
            wanted.push(Wants::new((tenant, name), path, wants));
        };
    add(
        "acme",
        "orders",
        "/erp",
        json!({"eventTypes": ["order.*"], "filter": {"data": {"total": [{"numeric": [">", 100]}]}}}),
        Box::new(move |e| {
            e.event_type.starts_with("order.") && data(e, "total").as_u64() > Some(100)
        }),
    );
    // The same endpoint again: one event, two deliveries.
    add(
        "acme",
        "paid",
        "/erp",
        json!({"eventTypes": ["order.paid"]}),
        Box::new(|e| e.event_type == "order.paid"),
    );
    add(
        "acme",
        "all",
        "/crm",
        json!({"eventTypes": ["*"]}),
        Box::new(|_| true),
    );
    add(
        "globex",
        "some",
        "/hub",
        json!({"eventTypes": ["order.created", "user.*"]}),
        Box::new(|e| e.event_type == "order.created" || e.event_type == "user.created"),
    );
    add(
        "globex",
        "danes",
        "/log",
        json!({"filter": {"data": {"country": [{"prefix": "d"}]}}}),
        Box::new(move |e| data(e, "country").as_str().unwrap().starts_with('d')),
    );
    add(
        "globex",
        "either",
        "/log",
        json!({"filter": {"data": {"$or": [{"total": [{"numeric": ["<", 20]}]}, {"country": ["it"]}]}}}),
        Box::new(move |e| data(e, "total").as_u64() < Some(20) || data(e, "country") == "it"),
    );
    add(
        "initech",
        "but",
        "/one",
        json!({"eventTypes": ["order.*", "ping"], "filter": {"data": {"country": [{"anything-but": ["fr"]}]}}}),
        Box::new(move |e| e.event_type != "user.created" && data(e, "country") != "fr"),
    );
    add(
        "initech",
        "none",
        "/one",
        json!({"eventTypes": ["refund.*"]}),
        Box::new(|_| false),
    );
    p.apply(&manifests);
    wanted
}
