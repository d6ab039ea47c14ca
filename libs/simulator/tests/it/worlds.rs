//! Many seeds: what is promised holds in every world.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use hooklane_simulator::{Options, Summary, run};

/// Worlds of a run; about a quarter of them without faults.
const SEEDS: u64 = 64;
/// Besides, of those in which requests are made again within their attempt.
const REFUSALS: std::ops::Range<u64> = (1 << 20)..(1 << 20) + 24;
/// And of those in which receivers must agree first.
const CONSENT: std::ops::Range<u64> = (1 << 21)..(1 << 21) + 40;
/// Happenings before each comes to rest; the rest is about as much again.
const STEPS: u64 = 6_000;

/// Goal: no rule is broken in any world. Method: the simulator, seed by seed,
/// on every core; the first broken rule is printed with its history.
#[test]
fn no_rule_is_broken_in_any_world() {
    let begun = Instant::now();
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut sums = Summary::default();
        loop {
            let nth = next.fetch_add(1, Ordering::Relaxed);
            let Some(seed) = (0..SEEDS).chain(REFUSALS).chain(CONSENT).nth(nth) else {
                return sums;
            };
            let options = Options { seed, steps: STEPS };
            let summary = run(options, None).unwrap_or_else(|failure| panic!("{failure}"));
            sums.steps += summary.steps;
            sums.matched += summary.matched;
            sums.requests += summary.requests;
            sums.dead += summary.dead;
            sums.faults += summary.faults;
        }
    };
    let threads = thread::available_parallelism().map_or(1, |n| n.get());
    let all: Vec<Summary> = thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        running
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let steps: u64 = all.iter().map(|s| s.steps).sum();
    println!(
        "{SEEDS} worlds, {steps} steps, {:.0} steps/s",
        steps as f64 / begun.elapsed().as_secs_f64()
    );
    // A world in which nothing happens keeps every promise.
    let sum = |of: fn(&Summary) -> u64| all.iter().map(of).sum::<u64>();
    assert!(sum(|s| s.matched) > 50_000, "{all:?}");
    assert!(sum(|s| s.requests) > 50_000, "{all:?}");
    assert!(sum(|s| s.dead) > 500 && sum(|s| s.faults) > 20, "{all:?}");
}

/// Goal: a seed is one history. Method: the same world twice, line by line.
#[test]
fn a_seed_is_one_history() {
    for seed in [1, 5, 30] {
        let history = || {
            let mut lines = Vec::new();
            let mut keep = |line: &hooklane_simulator::Line| lines.push(line.to_string());
            run(Options { seed, steps: 3_000 }, Some(&mut keep)).unwrap();
            lines
        };
        let first = history();
        assert!(first.len() > 1_000, "seed {seed}: {} lines", first.len());
        assert!(first == history(), "seed {seed}: two histories");
    }
}
