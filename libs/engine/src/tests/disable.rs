//! Endpoints that are given up for failing all the time.

use hooklane_model::catalog::{Change, EndpointStatus};
use hooklane_model::envelope::Target;
use hooklane_model::id::EndpointUid;
use serde_json::{Value, json};

use super::bench::*;
use super::drive::{Answer, Drive};

const HOUR: u64 = 3_600_000;

fn failing(_: u64, _: Target) -> Answer {
    (5, status(500))
}

fn day() -> Value {
    let mut spec = spec();
    spec["disableAfter"] = json!("24h");
    spec
}

#[test]
fn a_day_of_nothing_but_failure_disables_and_ends_what_waits() {
    let mut drive = Drive::new(day());
    for id in 1..=50 {
        drive.event(vec![target(id, 1)], &mut failing);
    }
    drive.run_until(24 * HOUR - 1, &mut failing);
    assert!(drive.disabled.is_empty());
    drive.run_until(25 * HOUR, &mut failing);
    let [(at, "failing")] = drive.disabled[..] else {
        panic!("{:?}", drive.disabled)
    };
    assert!(at >= 24 * HOUR);
    assert_eq!(drive.dead, vec![DeadReason::EndpointDisabled; 50]);
    assert_eq!(drive.bench.watermark(), drive.bench.offset);
}

#[test]
fn one_success_in_between_begins_the_time_anew() {
    let mut drive = Drive::new(day());
    let mut once = |at: u64, _: Target| {
        let good = (12 * HOUR..13 * HOUR).contains(&at);
        (5, status(if good { 200 } else { 500 }))
    };
    for hour in 0..36 {
        drive.event(vec![target(hour.into(), 1)], &mut once);
        drive.run_until((hour + 1) * HOUR, &mut once);
    }
    assert!(drive.disabled.is_empty(), "23 h since the success");
}

/// A token server that gives no token is the receiver's to mend; a key that we
/// lack is ours. Neither spends an attempt.
#[test]
fn a_day_without_what_requests_need_disables_where_it_is_not_our_fault() {
    for (side, verdicts) in [(Side::Receiver, 1), (Side::Network, 1), (Side::Us, 0)] {
        let mut drive = Drive::new(day());
        let reason = "blocked";
        let mut blocked = |_: u64, _: Target| (5, AttemptEnd::Blocked { reason, side });
        drive.event(vec![target(1, 1)], &mut blocked);
        drive.run_until(25 * HOUR, &mut blocked);
        assert_eq!(drive.disabled.len(), verdicts, "{side:?}");
        assert!(drive.starts.len() > 1_000, "looked at again: {side:?}");
        let attempts = drive.starts.iter().map(|(_, target)| target.attempt);
        assert_eq!(attempts.max(), Some(1), "{side:?}");
    }
}

/// Few failures far apart are no verdict, however long they last.
#[test]
fn failures_must_be_spread_over_the_time() {
    let mut rare = day();
    rare["retry"]["schedule"] = json!(["1s"]);
    let mut drive = Drive::new(rare);
    for (i, hour) in [0, 1, 2, 25, 26].into_iter().enumerate() {
        drive.run_until(hour * HOUR, &mut failing);
        drive.event(vec![target(i as u128, 1)], &mut failing);
    }
    drive.run_until(27 * HOUR, &mut failing);
    assert!(drive.disabled.is_empty());
}

/// Goal: the time goes on across owners. Method: half of it under one, the
/// rest under another that reads what the first one wrote.
#[test]
fn the_time_survives_an_owner() {
    let mut drive = Drive::new(day());
    for id in 1..=20 {
        drive.event(vec![target(id, 1)], &mut failing);
    }
    drive.run_until(15 * HOUR, &mut failing);
    let health = drive.health.expect("written down");
    assert!(health.failed_in >= 7, "{health:?}");
    let mut next = Drive::new(day());
    next.now = 15 * HOUR;
    let found = EndpointStatus {
        health: Some(health),
        ..EndpointStatus::default()
    };
    let change = Change::Status(EndpointUid(1), found.into());
    next.bench.configure(15 * HOUR, vec![change]);
    for id in 30..=50 {
        next.event(vec![target(id, 1)], &mut failing);
    }
    next.run_until(23 * HOUR, &mut failing);
    assert!(next.disabled.is_empty());
    next.run_until(25 * HOUR, &mut failing);
    assert_eq!(next.disabled.len(), 1);
}

#[test]
fn none_means_never() {
    let mut never = day();
    never["disableAfter"] = json!("none");
    let mut drive = Drive::new(never);
    for id in 1..=5 {
        drive.event(vec![target(id, 1)], &mut failing);
    }
    drive.run_until(70 * HOUR, &mut failing);
    assert!(drive.disabled.is_empty());
}
