//! Whose turn it is: between tenants, endpoints, and events of any width.

use std::collections::VecDeque;

use hooklane_model::catalog::Change;
use hooklane_model::envelope::{Chunk, TARGETS_MAX, Target};
use hooklane_model::id::EndpointUid;
use serde_json::json;

use super::bench::*;
use super::model::endpoint_of;

/// Endpoints of the tenant that floods; from 1 on.
const LOUD: u128 = 1_000;
/// The endpoint of another tenant.
const QUIET: u128 = 5_000;

/// A core with so many slots, a thousand endpoints of one tenant and, if
/// asked for, one of another.
fn bench(slots: u32, others: bool) -> Bench {
    let mut bench = Bench::with(slots);
    let mut changes: Vec<Change> = (1..=LOUD)
        .map(|uid| Change::Endpoint(endpoint_of("loud", uid, 1, spec())))
        .collect();
    if others {
        let quiet = endpoint_of("quiet", QUIET, 1, spec());
        changes.push(Change::Endpoint(quiet));
    }
    bench.configure(0, changes);
    bench
}

/// Starts as they come while every request ends at once, up to so many.
fn starts(bench: &mut Bench, first: Vec<Action>, most: usize) -> Vec<EndpointUid> {
    let mut seen = Vec::new();
    let mut open: VecDeque<Action> = first.into();
    while let Some(action) = open.pop_front() {
        if let Action::Send(order) = action {
            seen.push(order.target.endpoint);
            if seen.len() == most {
                break;
            }
            open.extend(bench.finish(1, order.work, status(200)));
        }
    }
    seen
}

fn place_of(uid: u128, starts: &[EndpointUid]) -> usize {
    let is = |started: &EndpointUid| started.0 == uid;
    starts.iter().position(is).expect("it starts")
}

/// One event for many endpoints, in as many envelopes as it takes.
fn wide(bench: &mut Bench, endpoints: impl Iterator<Item = u128>) -> Vec<Action> {
    let targets: Vec<Target> = endpoints.map(|uid| target(1 << 64 | uid, uid)).collect();
    let chunks = targets.chunks(TARGETS_MAX);
    let count = u16::try_from(chunks.len()).unwrap();
    let mut actions = Vec::new();
    for (index, targets) in (0..count).zip(chunks) {
        let chunk = Chunk { index, count };
        actions.extend(bench.read_chunk(0, chunk, targets.to_vec()));
    }
    actions
}

/// Goal: a tenant's share of the turns does not grow with its endpoints.
/// Method: two thousand deliveries at a thousand endpoints of one tenant wait
/// when five come for another, and requests go out one at a time.
#[test]
fn a_thousand_endpoints_of_one_tenant_leave_another_every_other_turn() {
    let mut bench = bench(1, true);
    let mut actions = Vec::new();
    for id in 0..2 * LOUD {
        actions.extend(bench.read(0, vec![target(id, 1 + id % LOUD)]));
    }
    for id in 0..5 {
        actions.extend(bench.read(0, vec![target(10_000 + id, QUIET)]));
    }
    let starts = starts(&mut bench, actions, 40);
    let quiet = starts.iter().take(12).filter(|uid| uid.0 == QUIET);
    assert_eq!(quiet.count(), 5, "{starts:?}");
    // And among its own, each endpoint has its turn before any has two.
    let mut loud: Vec<_> = starts.iter().filter(|uid| uid.0 != QUIET).collect();
    loud.dedup();
    assert_eq!(loud.len(), 35);
}

#[test]
fn a_tenant_has_its_share_of_the_slots_and_no_more_unless_it_is_alone() {
    for (others, open) in [(true, 50), (false, 100)] {
        let mut bench = bench(100, others);
        let mut sent = Vec::new();
        for id in 0..300 {
            sent.extend(sends(&bench.read(0, vec![target(id, 1 + id)])));
        }
        assert_eq!(sent.len(), open);
        assert_eq!(bench.core.gauges().tenants_full, usize::from(others));
        if others {
            let quiet = bench.read(0, vec![target(1_000, QUIET)]);
            assert_eq!(sends(&quiet).len(), 1, "its share is free");
            // The share moves on with the end of a request.
            assert_eq!(sends(&bench.finish(1, sent[0], status(200))).len(), 1);
            assert!(bench.core.gauges().tenant_waits > 0);
        }
    }
}

/// A tenant that comes last makes the one before it share, and lets it go
/// when it is gone.
#[test]
fn the_cap_comes_and_goes_with_other_tenants() {
    let mut bench = bench(100, false);
    let quiet = endpoint_of("quiet", QUIET, 1, spec());
    bench.configure(0, vec![Change::Endpoint(quiet.clone())]);
    let mut sent = Vec::new();
    for id in 0..300 {
        sent.extend(sends(&bench.read(0, vec![target(id, 1 + id)])));
    }
    assert_eq!(sent.len(), 50);
    let gone = Change::EndpointGone(quiet.uid());
    assert_eq!(sends(&bench.configure(0, vec![gone])).len(), 50);
}

/// Goal: what comes behind an event for ten thousand endpoints does not wait
/// for it. Method: such an event waits whole, when one more event comes for
/// another endpoint of the same tenant, and one for an endpoint that the wide
/// event is for as well.
#[test]
fn what_comes_behind_a_wide_event_has_every_other_turn() {
    let mut bench = bench(1, true);
    let mut actions = wide(&mut bench, 1..=900);
    assert!(bench.core.has_room(), "it is read past");
    actions.extend(bench.read(0, vec![target(1, 950)]));
    actions.extend(bench.read(0, vec![target(2, 700)]));
    let starts = starts(&mut bench, actions, 905);
    assert!(place_of(950, &starts) <= 4, "{:?}", &starts[..10]);
    // First what it was sent before, then what came behind.
    assert!(place_of(700, &starts) <= 6, "{:?}", &starts[..10]);
    let twice = starts.iter().take(10).filter(|uid| uid.0 == 700);
    assert_eq!(twice.count(), 2, "{:?}", &starts[..10]);
    // Nor does the wide event wait for ever.
    assert_eq!(starts.len(), 902);
}

/// A wide event waits for the other turns only, however many events come.
#[test]
fn a_wide_event_is_not_starved_by_narrow_ones() {
    let mut bench = bench(1, true);
    let mut actions = wide(&mut bench, 1..=20);
    for id in 0..500 {
        actions.extend(bench.read(0, vec![target(id, 100 + id % 300)]));
    }
    let starts = starts(&mut bench, actions, 50);
    let wide = starts.iter().filter(|uid| uid.0 <= 20);
    assert_eq!(wide.count(), 20, "{starts:?}");
}

/// Goal: a flood of one tenant, or a wide event, is read past; a process that
/// all of them keep busy is not fed more. Method: what waits for a slot.
#[test]
fn reading_goes_on_past_a_flood_of_one_tenant_and_past_a_wide_event() {
    let flood = |bench: &mut Bench| {
        for id in 0..6_000 {
            bench.read(0, vec![target(id, 1 + id % LOUD)]);
        }
        bench.core.has_room()
    };
    assert!(flood(&mut bench(1, true)), "others may be behind it");
    assert!(!flood(&mut bench(1, false)), "nobody else is");

    let mut wide_bench = bench(1, true);
    let mut changes = Vec::new();
    for uid in 10_000..46_000 {
        changes.push(Change::Endpoint(endpoint_of("wide", uid, 1, spec())));
    }
    wide_bench.configure(0, changes);
    wide(&mut wide_bench, 10_000..20_000);
    assert!(wide_bench.core.has_room());
    assert_eq!(wide_bench.core.gauges().queued_wide, 9_999);
    wide(&mut wide_bench, 20_000..46_000);
    assert!(!wide_bench.core.has_room(), "memory is bounded");
}

/// Reading that was stopped by many goes on although one of them still has
/// more than its share.
#[test]
fn a_flood_does_not_keep_the_reading_stopped() {
    let mut bench = bench(1, true);
    let mut changes = Vec::new();
    for tenant in 0..4_u128 {
        let uid = 10_000 + tenant;
        changes.push(Change::Endpoint(endpoint_of(
            &format!("t{tenant}"),
            uid,
            1,
            json!({"url": "https://r.example/", "maxConcurrency": 1}),
        )));
    }
    bench.configure(0, changes);
    let mut actions = Vec::new();
    for id in 0..3_000 {
        actions.extend(bench.read(0, vec![target(id, 1 + id % LOUD)]));
    }
    for id in 0..4_000 {
        let uid = 10_000 + id % 4;
        actions.extend(bench.read(0, vec![target(100_000 + id, uid)]));
    }
    assert!(!bench.core.has_room());
    starts(&mut bench, actions, 4_500);
    assert!(bench.core.gauges().deliveries > 2_000);
    assert!(bench.core.has_room());
}
