//! What matching one event costs at 100, 1,000 and 10,000 subscriptions.
//!
//! `cargo run --release -p hooklane-model --example match_cost`
//!
//! Subscriptions and events stay alike while their number grows, as they do
//! when a platform grows: most subscriptions name a type and a customer of
//! their own, some a type and a region with a bound on the total, some a type
//! prefix. How many match an event stays the same, because what has to be
//! delivered costs what it costs: tenants have 20 subscriptions each, and on
//! the shared source there is an event type for every 5. Every event is parsed
//! anew, as it comes from Kafka.

#![allow(clippy::print_stdout, reason = "printing figures is what this is for")]

use std::time::Instant;

use hooklane_model::envelope::EventHead;
use hooklane_model::filter::{Data, Document, EventTypePattern, Filter};
use hooklane_model::id::{EndpointUid, SourceUid, SubscriptionUid};
use hooklane_model::matching::{Interest, InterestIndex};
use serde_json::json;

const SOURCE: SourceUid = SourceUid(1);
/// One run; the best of [`RUNS`] counts, since others use the machine too.
const EVENTS: usize = 40_000;
const RUNS: usize = 7;
/// Subscriptions for each event type.
const PER_TYPE: usize = 5;
/// Subscriptions of one tenant on average.
const PER_TENANT: usize = 20;

fn interest(n: usize, subscriptions: usize) -> Interest {
    let kind = n % (subscriptions / PER_TYPE);
    let exact = format!("order.kind{kind}");
    let (pattern, filter) = match n % 10 {
        0..=5 => (
            exact,
            Some(json!({"data": {"customer": {"id": [format!("c{n}")]}}})),
        ),
        6 | 7 => {
            let bound = (n % 50) * 10;
            let region = format!("r{}", n % 5);
            (
                exact,
                Some(json!({"data": {"region": [region], "total": [{"numeric": [">", bound]}]}})),
            )
        }
        8 => (exact, None),
        _ => (
            "invoice.*".to_owned(),
            Some(json!({"data": {"total": [{"numeric": ["<", 20]}]}})),
        ),
    };
    Interest {
        subscription: SubscriptionUid(n as u128),
        endpoint: EndpointUid(n as u128),
        source: SOURCE,
        tenant: format!("t{}", n / PER_TENANT),
        event_types: vec![EventTypePattern::parse(&pattern).expect("a pattern")],
        filter: filter.map(|f| Filter::parse(&f).expect("a filter")),
    }
}

fn event(n: usize, subscriptions: usize, shared: bool) -> (EventHead, Vec<u8>) {
    let customer = n % subscriptions;
    let head = EventHead {
        tenant: (!shared).then(|| format!("t{}", customer / PER_TENANT)),
        source: "/shop".to_owned(),
        id: format!("e{n}"),
        event_type: format!("order.kind{}", customer % (subscriptions / PER_TYPE)),
        ..EventHead::default()
    };
    let payload = json!({
        "customer": {"id": format!("c{customer}"), "name": "Somebody", "since": "2020-01-01"},
        "region": format!("r{}", n % 5),
        "total": n % 500,
        "currency": "EUR",
        "lines": [{"sku": "a-1", "count": 2}, {"sku": "b-2", "count": 1}],
        "note": "x".repeat(200),
    });
    (head, payload.to_string().into_bytes())
}

fn measure(subscriptions: usize, shared: bool) -> f64 {
    let mut index = InterestIndex::default();
    (0..subscriptions).for_each(|n| index.insert(interest(n, subscriptions)));
    // Spread over all subscriptions, few enough to be made beforehand.
    let events: Vec<_> = (0..1000)
        .map(|n| event(n * 7919, subscriptions, shared))
        .collect();
    let (mut matched, mut candidates) = (0, 0);
    let mut run = |count: usize| {
        for (head, payload) in events.iter().cycle().take(count) {
            let data = Data::json(payload);
            let found = index.find(SOURCE, &Document::new(head, &data));
            matched += found.interests.len();
            candidates += found.candidates;
        }
    };
    let mut nanos = f64::INFINITY;
    for _ in 0..RUNS {
        let started = Instant::now();
        run(EVENTS);
        nanos = nanos.min(started.elapsed().as_secs_f64() * 1e9 / EVENTS as f64);
    }
    let events = (EVENTS * RUNS) as f64;
    println!(
        "{:>8} {:>13} {nanos:>10.0} {:>12.2} {:>10.2}",
        if shared { "shared" } else { "tenant" },
        subscriptions,
        candidates as f64 / events,
        matched as f64 / events,
    );
    nanos
}

fn main() {
    println!("  source subscriptions   ns/event   candidates    matched");
    for shared in [false, true] {
        let cost: Vec<f64> = [100, 1_000, 10_000].map(|n| measure(n, shared)).to_vec();
        println!("10,000 cost {:.2} times what 100 cost", cost[2] / cost[0]);
    }
}
