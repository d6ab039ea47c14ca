//! Retries: their budget, their jitter, and what comes after an outage.

use std::collections::BTreeMap;

use hooklane_model::envelope::Target;
use hooklane_model::time::UnixMillis;
use serde_json::json;

use super::bench::*;
use super::drive::{Answer, Drive};

const MINUTE: u64 = 60_000;

fn fine(_: u64, _: Target) -> Answer {
    (20, status(200))
}

/// Goal: an endpoint that fails half of what it gets is not given twice as
/// much for it. Method: a hundred new deliveries a second, every other of
/// which fails, for some minutes; then all is well.
#[test]
fn an_endpoint_that_half_fails_gets_a_share_of_retries_and_all_once_it_is_well() {
    let mut spec = spec();
    spec["breaker"] = json!("none");
    spec["maxConcurrency"] = json!(50);
    spec["retry"]["schedule"] = json!(["1s", "2s", "5s", "10s", "10s", "10s", "10s", "10s"]);
    let mut drive = Drive::new(spec);
    let mut half = |_: u64, target: Target| {
        let code = if target.delivery.0.is_multiple_of(2) {
            200
        } else {
            503
        };
        (20, status(code))
    };
    let mut id = 0;
    for second in 0..150_u64 {
        for part in 0..100 {
            drive.run_until(second * 1_000 + part * 10, &mut half);
            id += 1;
            drive.event(vec![target(id, 1)], &mut half);
        }
    }
    let mut retries: BTreeMap<u64, u32> = BTreeMap::new();
    for (at, _) in drive.starts.iter().filter(|(_, t)| t.attempt > 1) {
        *retries.entry(at / 10_000).or_default() += 1;
    }
    // Ten seconds: 1,000 first attempts, so 200 retries, and 100 besides.
    let most = retries.values().skip(1).max().copied().unwrap_or(0);
    assert!(most <= 310, "{retries:?}");
    assert!(
        retries.values().skip(5).all(|count| *count > 250),
        "{retries:?}"
    );
    let put_off = |p: &&(u64, ParkReason, Target)| p.1 == ParkReason::RetryBudget;
    assert!(drive.parked.iter().filter(put_off).count() > 1_000);
    assert!(drive.dead.is_empty(), "none has had all its attempts");

    // It is well: nothing is put off any more, and all is delivered.
    drive.run_until(152_000, &mut fine);
    let from = drive.parked.len();
    drive.run_until(150_000 + 6 * MINUTE, &mut fine);
    assert_eq!(drive.delivered, 15_000);
    let late = drive.parked[from..].iter().filter(put_off).count();
    assert_eq!(late, 0);
}

/// Goal: what failed together does not come back together, nor early.
/// Method: three thousand that fail at once, and a jitter of a fifth.
#[test]
fn retries_are_spread_over_the_whole_jitter() {
    let mut spec = spec();
    spec["breaker"] = json!("none");
    spec["maxConcurrency"] = json!(30);
    spec["retry"] = json!({"schedule": ["100s"], "jitter": 0.2});
    let mut bench = Bench::new(spec);
    let mut due = Vec::new();
    for id in 0..3_000 {
        for work in sends(&bench.read(0, vec![target(id, 1)])) {
            let actions = bench.finish(0, work, status(500));
            due.extend(delays(&actions).iter().map(|o| o.target.due));
        }
    }
    assert_eq!(due.len(), 3_000);
    let mut tenths = [0_u32; 10];
    for due in due {
        let after = due.since(UnixMillis(T0.0 + 100_000)).as_millis();
        assert!(due >= UnixMillis(T0.0 + 100_000), "never early");
        tenths[usize::try_from(after / 2_000).unwrap().min(9)] += 1;
    }
    assert!(tenths.iter().all(|n| (200..400).contains(n)), "{tenths:?}");
}

/// Goal: recovery is no herd: what piled up in an outage goes out at the
/// limit, never beyond it, and without a pause once it is back. Method: ten
/// minutes of nothing but failure at 20 a second, which is the limit, too.
#[test]
fn after_an_outage_the_backlog_goes_out_at_the_limit() {
    let mut limited = spec();
    limited["rateLimit"] = json!({"perSecond": 20, "burst": 10});
    limited["maxConcurrency"] = json!(50);
    limited["retry"]["jitter"] = json!(0.2);
    let mut drive = Drive::new(limited);
    let mut failing = |_: u64, _: Target| (5, status(500));
    let outage = 10 * MINUTE;
    let mut id = 0;
    for tick in 0..outage / 50 {
        drive.run_until(tick * 50, &mut failing);
        id += 1;
        drive.event(vec![target(id, 1)], &mut failing);
    }
    drive.starts.clear();
    let all = usize::try_from(id).unwrap();
    drive.run_until(outage + 30 * MINUTE, &mut fine);
    assert_eq!(drive.delivered, all);
    let mut by_second: BTreeMap<u64, u32> = BTreeMap::new();
    for (at, _) in &drive.starts {
        *by_second.entry(at / 1_000).or_default() += 1;
    }
    let most = by_second.values().max().copied().unwrap_or(0);
    assert!(most <= 30, "{most} in a second");
    // What waits is away for five minutes at most: from then on it is busy.
    let first = *by_second.keys().next().unwrap();
    let busy = (first + 300..first + 450).map(|s| by_second.get(&s).copied().unwrap_or(0));
    let started: u32 = busy.sum();
    assert!(started > 150 * 16, "{started}");
}
