//! What is said of an endpoint, and what is written down for its next owner.

use std::sync::Arc;
use std::time::Duration;

use hooklane_model::catalog::{Change, EndpointStatus, Health};
use hooklane_model::envelope::Target;
use hooklane_model::id::EndpointUid;
use hooklane_model::time::UnixMillis;
use serde_json::json;

use super::bench::*;

fn healths(actions: &[Action]) -> Vec<Health> {
    let health = |action: &Action| match action {
        Action::Health(order) => Some(order.health),
        _ => None,
    };
    actions.iter().filter_map(health).collect()
}

/// Goal: the forecast of a backlog is right. Method: 100 deliveries at once
/// for an endpoint of one per second; then they come back.
#[test]
fn a_backlog_is_counted_where_it_waits_and_its_end_is_foreseen() {
    let mut limited = spec();
    limited["rateLimit"] = json!({"perSecond": 1, "burst": 1});
    limited["retry"]["maxAge"] = json!("60s");
    let mut bench = Bench::new(limited);
    let mut parked = Vec::new();
    for id in 0..100 {
        let actions = bench.read(2_000, vec![target(id, 1)]);
        parked.extend(delays(&actions).iter().map(|order| order.target));
    }
    let view = bench.view(2_000);
    assert_eq!(view.waiting() + u64::from(view.in_flight), 100);
    assert_eq!((view.parked, view.retrying), (parked.len() as u64, 0));
    assert_eq!(
        view.oldest.map(|at| T0.since(at) < Duration::from_secs(2)),
        Some(true)
    );
    let drain = view.drain.unwrap();
    assert!((98..=100).contains(&drain.as_secs()), "{drain:?}");
    // First seen at T0, and 60 of 100 make it in a minute.
    let expires = view.will_expire_at.unwrap();
    assert!(
        expires <= UnixMillis(T0.0 + 60_000) && expires.0 > T0.0 + 58_000,
        "{expires}"
    );
    for target in parked {
        bench.read(11_000, vec![target]);
    }
    let view = bench.view(11_000);
    assert!(
        view.parked < 90,
        "what came back and was parked again: {}",
        view.parked
    );
    let seen = bench.core.gauges().deliveries as u64;
    assert!(seen >= view.in_memory);
}

/// Goal: slots leave nobody out and show nobody twice; a deleted endpoint is
/// not shown, whatever still waits for it.
#[test]
fn every_endpoint_is_in_one_slot_until_it_is_deleted() {
    let mut bench = Bench::new(spec());
    let others = (2..=9).map(|uid| Change::Endpoint(endpoint(uid, 1, spec())));
    bench.configure(0, others.collect());
    for uid in 1..=9 {
        bench.read(0, vec![target(uid, uid)]);
    }
    let slots = bench.core.slots();
    let seen = |bench: &Bench, parts: &[std::ops::Range<usize>]| {
        let views = parts.iter().flat_map(|part| {
            let views = bench.core.views(at(1), part.clone());
            views.map(|view| view.endpoint.uid().0)
        });
        let mut seen: Vec<u128> = views.collect();
        seen.sort_unstable();
        seen
    };
    let parts = [0..4, 4..5, 5..slots, slots..slots + 7];
    assert_eq!(seen(&bench, &parts), (1..=9).collect::<Vec<_>>());
    bench.configure(1, vec![Change::EndpointGone(EndpointUid(4))]);
    assert!(!seen(&bench, &parts).contains(&4));
    assert_eq!(seen(&bench, &parts).len(), 8);
}

#[test]
fn what_failed_is_counted_on_its_rung_until_it_comes_back() {
    let mut bench = Bench::new(spec());
    let third = Target {
        attempt: 3,
        ..target(1, 1)
    };
    let sent = sends(&bench.read(0, vec![third]));
    let actions = bench.finish(1, sent[0], status(500));
    let back = delays(&actions)[0].target;
    let view = bench.view(2);
    assert_eq!((view.retrying, view.parked, view.in_memory), (1, 0, 0));
    assert_eq!(view.failing_since, Some(UnixMillis(T0.0 + 1)));
    let sent = sends(&bench.read(400_000, vec![back]));
    let view = bench.view(400_000);
    assert_eq!((view.retrying, view.in_flight, view.in_memory), (0, 1, 0));
    bench.finish(400_001, sent[0], status(200));
    assert_eq!(bench.view(400_002).failing_since, None);
}

/// Goal: what must survive the owner is written on a change, not per attempt.
/// Method: a failure of hours, then a success; then the same at a hand-over.
#[test]
fn failing_is_written_down_once_and_taken_back_once() {
    let mut bench = Bench::new(spec());
    let mut written = Vec::new();
    let mut fail = |bench: &mut Bench, millis: u64, id: u128, code| {
        let sent = sends(&bench.read(millis, vec![target(id, 1)]));
        for work in sent {
            let actions = bench.finish(millis, work, status(code));
            written.extend(healths(&actions).iter().map(|h| h.failing_since));
        }
    };
    for minute in 0..20 {
        fail(&mut bench, minute * 60_000, u128::from(minute), 500);
    }
    fail(&mut bench, 20 * 60_000, 100, 200);
    fail(&mut bench, 21 * 60_000, 101, 200);
    assert_eq!(written, [Some(T0), None]);
    let sent = sends(&bench.read(22 * 60_000, vec![target(200, 1)]));
    assert!(healths(&bench.finish(22 * 60_000, sent[0], status(500))).is_empty());
    let actions = bench.step(
        22 * 60_000,
        Event::LaneRevoked {
            lane: LANE,
            deadline: at(22 * 60_000 + 3_000).mono,
        },
    );
    let [health] = healths(&actions)[..] else {
        panic!("{actions:?}")
    };
    assert_eq!(health.failing_since, Some(UnixMillis(T0.0 + 22 * 60_000)));
    // The next owner goes on from there, under the same spec only.
    for (generation, since) in [
        (1, health.failing_since),
        (2, Some(UnixMillis(T0.0 + 90_000))),
    ] {
        let mut next = Bench::new(spec());
        next.configure(0, vec![Change::Endpoint(endpoint(1, generation, spec()))]);
        let found = EndpointStatus {
            health: Some(health),
            ..EndpointStatus::default()
        };
        next.configure(0, vec![Change::Status(EndpointUid(1), Arc::new(found))]);
        let sent = sends(&next.read(90_000, vec![target(1, 1)]));
        next.finish(90_000, sent[0], status(500));
        assert_eq!(next.view(90_000).failing_since, since, "{generation}");
    }
}
