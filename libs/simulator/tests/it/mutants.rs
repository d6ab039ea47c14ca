//! Faults planted in the engine: the oracle must see every one of them.
//!
//! An oracle that has never seen a fault may be blind. The entries of
//! `mutants.yaml` are planted in a copy of the engine, each behind a switch;
//! the simulator is built against it once, and runs once for each, with that
//! one on.

mod copy;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use serde::Deserialize;

use self::copy::{Copy, Ran};

/// Happenings of a world before it comes to rest.
const STEPS: u64 = 6_000;
/// Worlds that a fault is looked for in when its own does not show it any
/// more: every change of the engine or of the worlds makes other histories.
const WORLDS: u64 = 1_000;
/// What came later has its own worlds, each kind from a multiple of this on.
const KIND: u64 = 1 << 20;

/// A fault to plant.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mutant {
    /// What it breaks.
    name: String,
    /// Which file of the engine.
    file: String,
    /// A text that stands there once.
    find: String,
    /// What stands there instead.
    replace: String,
    /// The world that is tried first.
    seed: u64,
    /// The rules that see it, by name.
    rules: BTreeSet<String>,
}

fn mutants() -> Vec<Mutant> {
    let text = include_str!("../../mutants.yaml");
    let mutants: Vec<Mutant> = serde_norway::from_str(text).unwrap();
    let names: BTreeSet<&str> = mutants.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(names.len(), mutants.len(), "two mutants with one name");
    mutants
}

/// Goal: no planted fault goes unseen, and nothing is seen without one.
/// Method: plant all, build, run each, and the same worlds with all of them
/// off; whatever is wrong with the list is reported at once for all of it.
#[test]
fn every_planted_fault_is_seen() {
    let mutants = mutants();
    assert!(mutants.len() >= 24, "{} are too few", mutants.len());
    let begun = Instant::now();
    let mut copy = Copy::new();
    let mut wrong = Vec::new();
    let mut planted = Vec::new();
    for (mutant, number) in mutants.iter().zip(1..) {
        match copy.plant(number, &mutant.file, &mutant.find, &mutant.replace) {
            Ok(()) => planted.push((number, mutant)),
            Err(why) => wrong.push(format!("{}: {why}", mutant.name)),
        }
    }
    copy.build();
    println!("built in {:.1?}", begun.elapsed());

    let seen = each(&planted, |(number, mutant)| look(&copy, *number, mutant));
    let mut worlds: BTreeMap<u64, &str> = BTreeMap::new();
    for ((_, mutant), seen) in planted.iter().zip(seen) {
        match seen {
            Ok((rule, seed)) => {
                let moved = if seed == mutant.seed { "" } else { ", moved" };
                println!("{}: {rule} in world {seed}{moved}", mutant.name);
                worlds.insert(seed, &mutant.name);
            }
            Err(why) => wrong.push(format!("{}: {why}", mutant.name)),
        }
    }
    let worlds: Vec<(u64, &str)> = worlds.into_iter().collect();
    let clean = each(&worlds, |(seed, _)| copy.run(None, *seed, STEPS));
    for ((seed, name), ran) in worlds.iter().zip(clean) {
        if ran != Ran::Clean {
            wrong.push(format!("{name}: world {seed} without any fault: {ran:?}"));
        }
    }
    println!("{} faults in {:.1?}", mutants.len(), begun.elapsed());
    assert!(
        wrong.is_empty(),
        "{} wrong, of libs/simulator/mutants.yaml:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// The rule that saw a fault and the world that it was seen in, or what is
/// wrong.
fn look(copy: &Copy, number: u32, mutant: &Mutant) -> Result<(String, u64), String> {
    let mut others = BTreeSet::new();
    let first = mutant.seed - mutant.seed % KIND;
    let worlds = first..first + WORLDS;
    for seed in std::iter::once(mutant.seed).chain(worlds.clone()) {
        match copy.run(Some(number), seed, STEPS) {
            Ran::Clean => {}
            Ran::Broken(rule) if mutant.rules.contains(&rule) => return Ok((rule, seed)),
            Ran::Broken(rule) => {
                others.insert(rule);
            }
            Ran::Failed(error) => return Err(error),
        }
    }
    let rules = &mutant.rules;
    Err(format!(
        "not seen by {rules:?} in the worlds {worlds:?}, but by {others:?}: sharpen the oracle, \
         or name the rule that sees it"
    ))
}

/// Does something for each, on every core; the results in the given order.
fn each<T: Sync, R: Send>(all: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            let Some(one) = all.get(n) else { return done };
            done.push((n, work(one)));
        }
    };
    let threads = thread::available_parallelism().map_or(1, |n| n.get());
    let mut done: Vec<(usize, R)> = thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        let ended = running.into_iter().map(|thread| thread.join().unwrap());
        ended.flatten().collect()
    });
    done.sort_by_key(|(n, _)| *n);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Goal: a list that does not fit the engine is found out, not passed over.
/// Method: plant texts that stand there never, and more than once.
#[test]
fn a_text_that_is_not_there_once_is_an_error() {
    let planted = |find: &str, replace: &str| copy::planted("one\n two two", 7, find, replace);
    assert_eq!(
        planted("onet", "if PLANTED {x} ORIGINAL;"),
        Ok("if crate::planted(7) {x} one\n t;wo two".to_owned())
    );
    for (find, replace, error) in [
        ("three", "PLANTED", "does not stand"),
        ("two", "PLANTED", "stands 2 times"),
        ("one", "two", "no PLANTED"),
    ] {
        let found = planted(find, replace).unwrap_err();
        assert!(found.contains(error), "{found}");
    }
}
