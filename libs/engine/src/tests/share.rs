//! What one tenant may hold in memory, and what gives way.

use std::rc::Rc;

use bytes::Bytes;
use hooklane_model::catalog::Change;
use hooklane_model::envelope::Target;
use hooklane_model::id::EndpointUid;

use super::bench::*;
use super::model::endpoint_of;

/// Endpoints of the tenant that floods.
const FLOODED: u128 = 1;
const SHORT: u128 = 2;
/// The endpoint of another tenant.
const QUIET: u128 = 3;

/// One request at a time, two tenants, and so many bytes.
fn bench(slots: u32, bytes: usize, others: bool) -> Bench {
    let mut bench = Bench::with(slots);
    bench.core.limits.bytes = bytes;
    let mut changes = vec![
        Change::Endpoint(endpoint_of("loud", FLOODED, 1, spec())),
        Change::Endpoint(endpoint_of("loud", SHORT, 1, spec())),
    ];
    if others {
        changes.push(Change::Endpoint(endpoint_of("quiet", QUIET, 1, spec())));
    }
    bench.configure(0, changes);
    bench
}

/// Reads deliveries one by one while there is room; returns what was parked
/// and how many were read. Whatever is to be stored is.
fn flood(bench: &mut Bench, millis: u64, ids: std::ops::Range<u128>) -> (Vec<Target>, usize) {
    let mut parked = Vec::new();
    let mut count = 0;
    for id in ids {
        if !bench.core.has_room() {
            break;
        }
        parked.extend(read(bench, millis, target(id, FLOODED)).1);
        count += 1;
    }
    (parked, count)
}

/// Reads one; returns what started and what gave way to it.
fn read(bench: &mut Bench, millis: u64, target: Target) -> (Vec<WorkId>, Vec<Target>) {
    let actions = bench.read(millis, vec![target]);
    let mut parked = Vec::new();
    for order in delays(&actions) {
        assert_eq!(order.parked, Some(ParkReason::Memory));
        parked.push(order.target);
        let (work, what) = (order.work, Stored::Delay);
        let result = Ok(());
        bench.step(millis, Event::Stored { work, what, result });
    }
    (sends(&actions), parked)
}

/// The request that starts.
fn started(actions: &[Action]) -> (WorkId, u128) {
    let start = |action: &Action| match action {
        Action::Send(order) => Some((order.work, order.target.endpoint.0)),
        _ => None,
    };
    actions.iter().find_map(start).expect("one starts")
}

/// Goal: a flood of one tenant seven times the size of the memory is read past,
/// and what comes behind it for another tenant starts; of the flood it is the
/// long queue's end that gives way, without an attempt spent, and comes back.
#[test]
fn a_flood_is_parked_beyond_its_share_of_the_memory() {
    let mut bench = bench(1, 200_000, true);
    let first = started(&bench.read(0, vec![target(1, SHORT)]));
    for id in 2..=3 {
        assert!(read(&mut bench, 0, target(id, SHORT)).1.is_empty());
    }
    let (parked, _) = flood(&mut bench, 0, 10..7_000);
    assert!(bench.core.has_room(), "others may be behind it");
    let held = bench.core.gauges().bytes;
    assert!((99_000..100_202).contains(&held), "{held}");
    assert_eq!(parked.len() + bench.core.gauges().deliveries, 6_993);
    for target in &parked {
        assert_eq!(target.endpoint.0, FLOODED, "the short queue has its turn");
        assert_eq!((target.attempt, target.spills), (1, 1));
        let wait = target.due.since(T0);
        assert!(wait >= std::time::Duration::from_secs(2), "{wait:?}");
    }
    assert!(parked.iter().all(|t| t.delivery.0 > 400), "the end of it");

    let (_, given) = read(&mut bench, 0, target(9_000, QUIET));
    assert!(given.is_empty(), "its own share is free");
    // Behind the one request that is open, and the one before it in its turn.
    let mut open = first;
    let mut turns = 0;
    while open.1 != QUIET {
        let next = bench.finish(1, open.0, status(200));
        open = started(&next);
        turns += 1;
    }
    assert!(turns <= 3, "{turns}");
    // What gave way is no repeat when it comes back.
    flood(&mut bench, 3_000, 7_000..7_010);
    let (_, again) = read(&mut bench, 3_000, parked[0]);
    assert_eq!((again[0].attempt, again[0].spills), (1, 2));
}

/// What is for a tenant without others is not parked for its share.
#[test]
fn a_tenant_alone_may_fill_the_memory() {
    let mut bench = bench(1, 200_000, false);
    let (parked, read) = flood(&mut bench, 0, 0..2_000);
    assert!(parked.is_empty());
    assert_eq!(read, 991, "and stops the reading then");
}

/// Goal: a tenant whose queues are all short keeps to its share as well.
/// Method: a thousand endpoints, and one delivery for each.
#[test]
fn short_queues_keep_to_the_share_too() {
    let mut bench = bench(1, 100_000, true);
    let many = 1_000..2_000;
    let changes = many.clone().map(|uid| endpoint_of("loud", uid, 1, spec()));
    bench.configure(0, changes.map(Change::Endpoint).collect());
    for uid in many {
        read(&mut bench, 0, target(uid, uid));
        assert!(bench.core.gauges().bytes < 50_202);
    }
    assert!(bench.core.has_room());
}

/// Goal: it is the longest queue that gives way, whoever comes. Method: two
/// long queues and a short one; deliveries come for the short one.
#[test]
fn the_longest_queue_gives_way() {
    let mut bench = bench(1, 200_000, true);
    let changes = (10..12).map(|uid| endpoint_of("loud", uid, 1, spec()));
    bench.configure(0, changes.map(Change::Endpoint).collect());
    for uid in [10, 11] {
        for id in 0..20 {
            read(&mut bench, 0, target(uid << 64 | id, uid));
        }
    }
    let (given, _) = flood(&mut bench, 0, 1_000..2_000);
    assert!(given.iter().all(|target| target.endpoint.0 == FLOODED));
    for id in 0..5 {
        let (_, given) = read(&mut bench, 0, target(id, SHORT));
        assert_eq!(given.len(), 1);
        assert_eq!(given[0].endpoint.0, FLOODED);
    }
}

/// Goal: memory being short does not take its next probe from an endpoint.
/// Method: a breaker opens while its tenant holds too much.
#[test]
fn the_next_probe_does_not_give_way() {
    let mut bench = bench(100, 200_000, true);
    let mut open = Vec::new();
    for id in 0..10 {
        open.extend(read(&mut bench, 0, target(id, SHORT)).0);
    }
    bench.core.limits.bytes = 2_000;
    while let Some(work) = open.pop() {
        let actions = bench.finish(1, work, status(500));
        open.extend(sends(&actions));
        let memory = |order: &&DelayOrder| order.parked == Some(ParkReason::Memory);
        assert!(!delays(&actions).iter().any(memory));
    }
    assert_eq!(bench.core.gauges().breakers_open, 1);
}

/// What is larger than the share has its turn as well, if only one at a time.
#[test]
fn an_event_larger_than_the_share_is_sent() {
    let mut bench = bench(1, 200_000, true);
    let large = Rc::new(OpenEnvelope {
        envelope: envelope(0, T0, vec![target(1, SHORT)]),
        payload: Bytes::from(vec![b'1'; 150_000]),
    });
    let event = Event::Record {
        lane: LANE,
        epoch: Epoch(1),
        offset: 0,
        record: large,
    };
    bench.offset = 1;
    assert_eq!(sends(&bench.step(0, event)).len(), 1);
    assert_eq!(read(&mut bench, 0, target(2, SHORT)).1.len(), 1);
    assert!(read(&mut bench, 0, target(3, QUIET)).1.is_empty());
}

/// Goal: memory that is full of what waits for its endpoint does not stop the
/// reading either. Method: an endpoint that does not answer, of the only
/// tenant, and one behind it.
#[test]
fn what_waits_for_a_dead_endpoint_gives_way_before_memory_is_full() {
    let mut bench = bench(100, 200_000, false);
    // What has gone out counts no more.
    for id in 0..400 {
        let open = read(&mut bench, 0, target(10_000 + id, SHORT)).0;
        let actions = bench.finish(0, open[0], status(200));
        assert!(matches!(actions[..], [Action::Attempted(_)]));
        let (work, what) = (open[0], Stored::Attempt);
        let result = Ok(());
        bench.step(0, Event::Stored { work, what, result });
    }
    let (parked, _) = flood(&mut bench, 0, 0..800);
    assert!(parked.is_empty());
    bench.step(1_001, Event::Time);
    assert!(flood(&mut bench, 1_001, 900..910).0.is_empty());
    let (parked, _) = flood(&mut bench, 1_001, 1_000..5_000);
    assert!(parked.len() > 3_000, "{}", parked.len());
    assert!(bench.core.has_room());
    assert_eq!(read(&mut bench, 1_001, target(9_000, SHORT)).0.len(), 1);
}

/// Goal: to give way is bounded, in a second and for one delivery. Method: a
/// flood within a millisecond fills the memory after all; a second later each
/// delivery that comes makes room again.
#[test]
fn what_gives_way_is_bounded() {
    let mut bench = bench(1, 1_000_000, true);
    let (parked, count) = flood(&mut bench, 0, 0..40_000);
    assert_eq!(parked.len(), 8_192);
    assert!(count < 14_000, "then the reading stops: {count}");
    assert_eq!(read(&mut bench, 500, target(50_000, FLOODED)).1.len(), 0);
    assert_eq!(read(&mut bench, 1_000, target(50_001, FLOODED)).1.len(), 64);
}

/// Goal: a tenant at its share does not keep reading stopped that others
/// stopped. Method: two tenants and a little of a third fill the memory; then
/// one of the two is gone.
#[test]
fn a_tenant_at_its_share_does_not_keep_the_reading_stopped() {
    let mut bench = bench(1, 200_000, true);
    let third = Change::Endpoint(endpoint_of("third", 4, 1, spec()));
    bench.configure(0, vec![third]);
    for id in 0..5 {
        read(&mut bench, 0, target(id, 4));
    }
    flood(&mut bench, 0, 10..1_000);
    for id in 1_000..2_000 {
        read(&mut bench, 0, target(id, QUIET));
    }
    assert!(!bench.core.has_room());
    let gone = Change::EndpointGone(EndpointUid(QUIET));
    let mut left = 0;
    for action in bench.configure(0, vec![gone]) {
        if let Action::Bury(order) = action {
            let (work, what) = (order.work, Stored::Dead);
            let result = Ok(());
            bench.step(0, Event::Stored { work, what, result });
            left += 1;
        }
    }
    assert!(left > 400, "{left}");
    assert!(bench.core.gauges().bytes > 100_000, "more than half");
    assert!(bench.core.has_room());
}
