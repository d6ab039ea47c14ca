//! An endpoint that fails altogether, and comes back.

use std::time::Duration;

use hooklane_model::catalog::Change;
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

/// Goal: whoever gives an endpoint another URL has it judged by what that one
/// answers. Method: twenty requests to the old one fail after the edit, and
/// one succeeds after the new one has failed.
#[test]
fn late_answers_of_an_earlier_spec_say_nothing_of_the_new_one() {
    let mut spec = spec();
    spec["maxConcurrency"] = json!(30);
    let mut bench = Bench::new(spec.clone());
    let targets = |ids: std::ops::Range<u128>| ids.map(|id| target(id, 1)).collect();
    let old = sends(&bench.read(0, targets(0..21)));
    assert_eq!(old.len(), 21);
    bench.configure(1, vec![Change::Endpoint(endpoint(1, 2, spec))]);
    for work in &old[..20] {
        let actions = bench.finish(2, *work, status(500));
        let entry = actions.iter().find_map(|action| match action {
            Action::Attempted(entry) => Some(entry.outcome),
            _ => None,
        });
        assert_eq!(entry, Some(Outcome::Retry));
    }
    assert_eq!(bench.core.gauges().breakers_open, 0);
    assert_eq!(bench.view(2).failing_since, None);
    let new = sends(&bench.read(3, targets(30..31)));
    bench.finish(4, new[0], status(500));
    let since = Some(at(4).wall);
    assert_eq!(bench.view(4).failing_since, since);
    bench.finish(5, old[20], status(200));
    assert_eq!(bench.view(5).failing_since, since);
}
