//! Large backlogs, and endpoints that are paused.

use hooklane_model::envelope::Target;
use serde_json::json;

use super::bench::*;
use super::drive::{Answer, Drive};

const MINUTE: u64 = 60_000;

fn fine(_: u64, _: Target) -> Answer {
    (20, status(200))
}

/// Goal: a backlog comes back at the drain rate: the endpoint is never idle
/// while something waits, what returns is not a herd, and arrival order is
/// kept roughly. Method: 20,000 deliveries at once, 10 a second.
#[test]
fn a_backlog_returns_spread_at_the_drain_rate() {
    let mut limited = spec();
    limited["rateLimit"] = json!({"perSecond": 10, "burst": 10});
    let mut drive = Drive::new(limited);
    drive.now = 2_000;
    for id in 0..20_000 {
        drive.now = 2_000 + u64::try_from(id / 10).unwrap();
        drive.event(vec![target(id, 1)], &mut fine);
    }
    for minute in 1..=40 {
        drive.run_until(minute * MINUTE, &mut fine);
    }
    // 2,000 s of work: at 30 minutes it must be nearly through.
    let late = drive.starts.iter().filter(|(at, _)| *at > 34 * MINUTE);
    assert!(late.count() < 1_000, "{}", drive.delivered);
    assert_eq!(drive.delivered, 20_000);
    for minute in 1..30 {
        let started = |(at, _): &&(u64, Target)| at / MINUTE == minute;
        let count = drive.starts.iter().filter(started).count();
        assert!((540..=601).contains(&count), "{count} in minute {minute}");
    }
    let hops = drive.parked.len();
    assert!(hops < 20_000 * 10, "{hops} hops");
}

#[test]
fn pause_and_resume_lose_nothing() {
    let mut drive = Drive::new(spec());
    let mut paused = spec();
    paused["paused"] = json!(true);
    for id in 0..50 {
        drive.event(vec![target(id, 1)], &mut fine);
    }
    drive.configure(2, &paused, &mut fine);
    for id in 50..1_000 {
        drive.event(vec![target(id, 1)], &mut fine);
    }
    drive.run_until(60 * MINUTE, &mut fine);
    let before = drive.starts.len();
    assert!(before <= 50);
    drive.configure(3, &spec(), &mut fine);
    drive.run_until(60 * MINUTE + 6 * MINUTE, &mut fine);
    assert_eq!(drive.delivered, 1_000);
    assert!(
        drive
            .parked
            .iter()
            .all(|(_, reason, t)| *reason == ParkReason::Paused && t.attempt == 1)
    );
    assert_eq!(drive.bench.watermark(), drive.bench.offset);
}

#[test]
fn what_waits_for_a_paused_endpoint_expires_with_a_record() {
    let mut paused = spec();
    paused["paused"] = json!(true);
    paused["retry"]["maxAge"] = json!("10m");
    let mut drive = Drive::new(paused);
    for id in 0..30 {
        drive.event(vec![target(id, 1)], &mut fine);
    }
    let view = drive.bench.view(0);
    assert_eq!(
        view.will_expire_at.map(|at| at.0 / 2_000),
        Some((T0.0 + 10 * MINUTE) / 2_000)
    );
    drive.run_until(20 * MINUTE, &mut fine);
    assert_eq!(drive.dead, vec![DeadReason::Expired; 30]);
    assert!(drive.starts.is_empty());
}
