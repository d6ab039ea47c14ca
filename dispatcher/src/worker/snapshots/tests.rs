//! What is written about endpoints, how often, and what is taken back.

use std::collections::HashSet;

use hooklane_engine::{AttemptEnd, Outcome, Side};

use super::*;
use crate::testing::{endpoint, entry, view_in};

const LANES: NonZeroU16 = NonZeroU16::new(4).unwrap();

fn at(seconds: u64) -> Now {
    Now {
        mono: Mono((1_000 + seconds) * 1_000_000_000),
        wall: UnixMillis(1_700_000_000_000 + seconds * 1_000),
    }
}

fn view(uid: u128, in_memory: u64) -> EndpointView {
    view_in(lane(uid), uid, in_memory)
}

fn lane(uid: u128) -> Lane {
    lane_of(EndpointUid(uid), LANES)
}

/// The owner of every lane.
fn claimed() -> Snapshots {
    let mut snapshots = Snapshots::new(LANES);
    (0..LANES.get()).for_each(|lane| snapshots.claimed(Lane(lane), at(0).wall));
    snapshots
}

/// A sweep over a few endpoints.
fn sweep(snapshots: &mut Snapshots, now: Now, views: &[EndpointView]) -> Pass {
    let pass = snapshots.look_at(now, views);
    snapshots.swept();
    pass
}

/// Who is written (`+`) and deleted (`-`).
fn marks(pass: &Pass) -> Vec<(u128, char)> {
    let mark = |(uid, snapshot): &Write| (uid.0, if snapshot.is_some() { '+' } else { '-' });
    let mut marks: Vec<_> = pass.writes.iter().map(mark).collect();
    marks.sort_unstable();
    marks
}

#[test]
fn what_has_nothing_to_say_is_not_written() {
    let mut snapshots = claimed();
    let pass = sweep(&mut snapshots, at(1), &[view(1, 99), view(2, 100)]);
    assert_eq!(marks(&pass), [(2, '+')]);
    let snapshot = pass.writes[0].1.as_ref().unwrap();
    let shown = (
        snapshot.observed_generation,
        snapshot.waiting(),
        snapshot.as_of,
        snapshot.claimed_at,
    );
    assert_eq!(shown, (3, 100, Some(at(1).wall), Some(at(0).wall)));
}

/// Goal: one endpoint costs a write per five seconds at most while it changes,
/// and one a minute while it does not. Method: the same trouble over time.
#[test]
fn an_endpoint_is_written_now_and_then() {
    let mut snapshots = claimed();
    let mut written = |second, waiting| {
        let pass = sweep(&mut snapshots, at(second), &[view(1, waiting)]);
        pass.writes.len()
    };
    assert_eq!(written(1, 100), 1);
    assert_eq!(written(5, 200), 0, "changed too soon");
    assert_eq!(written(6, 200), 1);
    assert_eq!(written(12, 200), 0, "the same");
    assert_eq!(written(65, 200), 0, "still the same");
    assert_eq!(written(66, 200), 1, "a sign of life");
}

/// Goal: an endpoint whose trouble comes and goes costs no more than one in
/// trouble. Method: trouble on every second look.
#[test]
fn when_the_trouble_is_over_the_record_is_deleted() {
    let mut snapshots = claimed();
    let held = || EndpointView {
        held_until: Some(at(600).wall),
        ..view(1, 1)
    };
    assert_eq!(marks(&sweep(&mut snapshots, at(1), &[held()])), [(1, '+')]);
    assert_eq!(sweep(&mut snapshots, at(3), &[view(1, 1)]).writes, []);
    assert_eq!(sweep(&mut snapshots, at(5), &[]).writes, [], "too soon");
    assert_eq!(marks(&sweep(&mut snapshots, at(7), &[])), [(1, '-')]);
    assert_eq!(sweep(&mut snapshots, at(9), &[held()]).writes, []);
    assert_eq!(marks(&sweep(&mut snapshots, at(12), &[held()])), [(1, '+')]);
    // A record that is about to be deleted is not, if there is news.
    sweep(&mut snapshots, at(16), &[]);
    assert_eq!(marks(&sweep(&mut snapshots, at(17), &[held()])), [(1, '-')]);
    assert_eq!(marks(&sweep(&mut snapshots, at(22), &[held()])), [(1, '+')]);
    for second in 23..60 {
        assert_eq!(sweep(&mut snapshots, at(second), &[held()]).writes, []);
    }
}

/// Goal: what a worker wrote comes back late and is not taken for news.
#[test]
fn echoes_of_its_own_records_change_nothing() {
    let mut snapshots = claimed();
    let busy = [view(1, 500)];
    assert_eq!(marks(&sweep(&mut snapshots, at(1), &busy)), [(1, '+')]);
    snapshots.seen(EndpointUid(1), true);
    sweep(&mut snapshots, at(2), &[]);
    assert_eq!(marks(&sweep(&mut snapshots, at(6), &[])), [(1, '-')]);
    assert_eq!(marks(&sweep(&mut snapshots, at(11), &busy)), [(1, '+')]);
    // The deletion's echo comes after the next record was written.
    snapshots.seen(EndpointUid(1), false);
    assert_eq!(sweep(&mut snapshots, at(12), &busy).writes, []);
    sweep(&mut snapshots, at(20), &[]);
    assert_eq!(marks(&sweep(&mut snapshots, at(21), &[])), [(1, '-')]);
    snapshots.seen(EndpointUid(1), false);
    for second in 22..40 {
        assert_eq!(sweep(&mut snapshots, at(second), &[]).writes, []);
    }
    assert!(snapshots.shown.is_empty() && snapshots.deletions.is_empty());
}

/// Goal: what a former owner left is overwritten or deleted by the owner, and
/// by nobody else. Method: the same record seen before, under and after a
/// claim.
#[test]
fn only_the_owner_clears_up_after_a_former_one() {
    let mut snapshots = Snapshots::new(LANES);
    for uid in [1, 2] {
        snapshots.seen(EndpointUid(uid), true);
    }
    let busy = [view(2, 500)];
    assert_eq!(sweep(&mut snapshots, at(1), &busy).writes, [], "not ours");
    for uid in [1, 2] {
        snapshots.claimed(lane(uid), at(2).wall);
    }
    assert_eq!(marks(&sweep(&mut snapshots, at(2), &busy)), [(2, '+')]);
    assert_eq!(marks(&sweep(&mut snapshots, at(3), &busy)), [(1, '-')]);
    // A zombie writes once more: it is seen, and deleted again.
    snapshots.seen(EndpointUid(1), true);
    sweep(&mut snapshots, at(7), &busy);
    assert_eq!(marks(&sweep(&mut snapshots, at(8), &busy)), [(1, '-')]);
    for uid in [1, 2] {
        snapshots.let_go(lane(uid));
    }
    sweep(&mut snapshots, at(30), &[]);
    assert_eq!(sweep(&mut snapshots, at(40), &[]).writes, [], "given up");
    for uid in [1, 2] {
        snapshots.claimed(lane(uid), at(41).wall);
    }
    sweep(&mut snapshots, at(41), &[]);
    assert_eq!(marks(&sweep(&mut snapshots, at(42), &[])), [(2, '-')]);
}

/// Goal: however many endpoints are in trouble, writes are bounded and all of
/// them have their turn. Method: a thousand, looked at every two seconds.
#[test]
fn all_together_are_bounded_and_none_starves() {
    let mut snapshots = claimed();
    sweep(&mut snapshots, at(0), &[]);
    snapshots.credit.saved = 0;
    let mut seen = HashSet::new();
    let mut views: Vec<_> = (0..1_000).map(|uid| view(uid, 100)).collect();
    for turn in 1..=11 {
        views.iter_mut().for_each(|view| view.in_memory += 1);
        let pass = sweep(&mut snapshots, at(turn * 2), &views);
        assert_eq!(pass.writes.len(), 100);
        assert!(pass.deferred > 0);
        seen.extend(pass.writes.iter().map(|(uid, _)| *uid));
    }
    assert_eq!(seen.len(), 1_000);
}

/// Goal: the bound is the whole fleet's. Method: the owner of one lane of
/// four, for a hundred seconds.
#[test]
fn who_owns_a_part_of_the_lanes_writes_that_part() {
    let mut snapshots = Snapshots::new(LANES);
    snapshots.claimed(Lane(0), at(0).wall);
    let ours = (0..1_000).filter(|uid| lane(*uid) == Lane(0));
    let mut views: Vec<_> = ours.map(|uid| view(uid, 100)).collect();
    sweep(&mut snapshots, at(0), &[]);
    snapshots.credit.saved = 0;
    let mut writes = 0;
    for second in 1..=100 {
        views.iter_mut().for_each(|view| view.in_memory += 1);
        writes += sweep(&mut snapshots, at(second), &views).writes.len();
    }
    assert_eq!(writes, 100 * 50 / 4);
}

/// Goal: people see what the last attempt met with, in the words for tenants,
/// until one succeeds, the spec changes or the lane goes; and an endpoint that
/// fails the same way again and again is not written more often for it.
#[test]
fn the_last_failure_is_told_until_it_is_over() {
    let mut snapshots = claimed();
    let attempt = |snapshots: &mut Snapshots, n, end, outcome| {
        let mut made = entry(n, &endpoint(1), false, 1);
        (made.result.end, made.outcome) = (end, outcome);
        made.result.started_at = UnixMillis(u64::from(n));
        snapshots.failures.attempted(&made);
    };
    let forbidden = || AttemptEnd::Failed {
        reason: "forbidden_address",
        side: Side::Receiver,
    };
    let told = |snapshots: &mut Snapshots, second| {
        let mut pass = sweep(snapshots, at(second), &[view(1, 100)]);
        let failure = pass.writes.pop()?.1?.last_failure;
        Some(failure.map(|it| (it.at.unwrap().0, it.failure, it.side, it.status)))
    };
    attempt(&mut snapshots, 1, forbidden(), Outcome::Retry);
    let expected = (1, Some("unreachable".into()), Some("network".into()), None);
    assert_eq!(told(&mut snapshots, 1), Some(Some(expected)));
    attempt(&mut snapshots, 2, forbidden(), Outcome::Parked);
    attempt(
        &mut snapshots,
        3,
        AttemptEnd::NotStarted,
        Outcome::NotStarted,
    );
    assert_eq!(told(&mut snapshots, 7), None, "the same again");
    let busy = AttemptEnd::Response {
        status: 503,
        retry_after: None,
        directive: None,
    };
    attempt(&mut snapshots, 4, busy.clone(), Outcome::Retry);
    let expected = (4, None, None, Some(503));
    assert_eq!(told(&mut snapshots, 13), Some(Some(expected)));
    let fine = AttemptEnd::Response {
        status: 200,
        retry_after: None,
        directive: None,
    };
    attempt(&mut snapshots, 5, fine, Outcome::Delivered);
    assert_eq!(told(&mut snapshots, 19), Some(None));
    attempt(&mut snapshots, 6, busy, Outcome::Retry);
    assert!(snapshots.failures.of(EndpointUid(1), 3).is_some());
    assert_eq!(snapshots.failures.of(EndpointUid(1), 4), None, "edited");
    snapshots.let_go(lane(1));
    assert_eq!(snapshots.failures.of(EndpointUid(1), 3), None, "given up");
}
