//! An endpoint that fails altogether, and comes back.

use std::time::Duration;

use hooklane_model::envelope::Target;
use serde_json::json;

use super::bench::*;
use super::drive::{Answer, Drive};

const HOUR: u64 = 3_600_000;

fn failing(_: u64, _: Target) -> Answer {
    (5, status(500))
}

fn fine(_: u64, _: Target) -> Answer {
    (20, status(200))
}

/// A drive whose breaker has just opened, with deliveries 1 to 10 behind it.
fn opened() -> Drive {
    let mut drive = Drive::new(spec());
    for id in 1..=10 {
        drive.event(vec![target(id, 1)], &mut failing);
    }
    drive.run_until(50, &mut failing);
    assert_eq!(drive.bench.view(50).breaker, BreakerState::Open);
    drive
}

#[test]
fn what_comes_while_it_is_open_is_parked_and_nothing_starts() {
    let mut drive = opened();
    let before = drive.starts.len();
    for id in 100..200 {
        drive.event(vec![target(id, 1)], &mut failing);
    }
    assert_eq!(drive.starts.len(), before);
    let parked = drive.parked.iter().filter(|p| p.1 == ParkReason::Breaker);
    assert!(parked.count() >= 99, "all but the next probe");
    assert!(drive.parked.iter().all(|p| p.2.attempt == 1));
    assert_eq!(drive.bench.core.gauges().breakers_open, 1);
}

/// Goal: a dead endpoint is asked for ever, by one probe at a time, and no
/// delivery spends an attempt on that. Method: a day of nothing but failure.
#[test]
fn probes_go_on_one_by_one_and_spend_no_attempt() {
    let mut spec = spec();
    spec["disableAfter"] = json!("none");
    let mut drive = Drive::new(spec);
    for id in 1..=60 {
        drive.event(vec![target(id, 1)], &mut failing);
    }
    drive.run_until(HOUR, &mut failing);
    let attempts: Vec<u16> = drive.starts.iter().map(|(_, t)| t.attempt).collect();
    drive.starts.clear();
    drive.open_max = 0;
    drive.run_until(24 * HOUR, &mut failing);
    assert_eq!(drive.open_max, 1);
    assert!(
        drive
            .starts
            .iter()
            .all(|(_, t)| t.attempt <= *attempts.iter().max().unwrap())
    );
    let gaps = drive.starts.windows(2).map(|pair| pair[1].0 - pair[0].0);
    let longest = gaps.max().unwrap();
    assert!(longest <= 2 * 300_000, "probes {longest} ms apart");
    assert!(drive.dead.is_empty());
}

/// Goal: recovery is prompt, and no herd. Method: 60 wait for a dead endpoint
/// that then takes everything.
#[test]
fn it_closes_by_doubling_and_all_that_waits_is_delivered() {
    let mut drive = opened();
    for id in 100..150 {
        drive.event(vec![target(id, 1)], &mut failing);
    }
    drive.run_until(10 * 60_000, &mut failing);
    drive.open_max = 0;
    let from = drive.starts.len();
    drive.run_until(20 * 60_000, &mut fine);
    assert_eq!(drive.delivered, 60);
    assert_eq!(drive.bench.core.gauges().breakers_open, 0);
    assert!(drive.open_max <= 8, "{}", drive.open_max);
    let first = drive.starts[from].0;
    let beside = drive.starts[from + 1..].iter().filter(|s| s.0 < first + 20);
    assert_eq!(beside.count(), 0, "the probe goes alone");
}

#[test]
fn refusals_and_requests_to_wait_open_nothing_and_neither_does_our_own_side() {
    for end in [
        status(404),
        AttemptEnd::Response {
            status: 429,
            retry_after: Some(Duration::ZERO),
            directive: None,
        },
        AttemptEnd::Failed {
            reason: "dns",
            side: Side::Us,
        },
    ] {
        let mut drive = Drive::new(spec());
        let mut answer = |_: u64, _: Target| (5, end.clone());
        for id in 1..=40 {
            drive.event(vec![target(id, 1)], &mut answer);
        }
        drive.run_until(1_000, &mut answer);
        assert_eq!(drive.bench.core.gauges().breakers_open, 0, "{end:?}");
    }
}

#[test]
fn without_a_breaker_every_failure_is_its_own() {
    let mut spec = spec();
    spec["breaker"] = json!("none");
    let mut drive = Drive::new(spec);
    for id in 1..=40 {
        drive.event(vec![target(id, 1)], &mut failing);
    }
    drive.run_until(1_000, &mut failing);
    assert_eq!(drive.starts.len(), 40);
    assert_eq!(drive.bench.core.gauges().breakers_open, 0);
}

#[test]
fn a_new_spec_is_tried_at_once() {
    let mut drive = opened();
    drive.configure(2, &spec(), &mut fine);
    drive.now = 61;
    drive.event(vec![target(300, 1)], &mut fine);
    drive.run_until(200, &mut fine);
    assert!(drive.delivered > 0);
    assert_eq!(drive.bench.core.gauges().breakers_open, 0);
}

/// What has waited too long for a dead endpoint ends, with a record.
#[test]
fn what_is_parked_expires_when_it_comes_back() {
    let mut spec = spec();
    spec["retry"]["maxAge"] = json!("1h");
    let mut drive = Drive::new(spec);
    for id in 1..=50 {
        drive.event(vec![target(id, 1)], &mut failing);
    }
    drive.run_until(2 * HOUR, &mut failing);
    assert_eq!(drive.dead, vec![DeadReason::Expired; 50]);
    assert_eq!(drive.bench.watermark(), drive.bench.offset);
}
