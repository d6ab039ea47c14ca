//! The core under a seeded model of everything around it.

mod backlog;
mod bench;
mod breaker;
mod disable;
mod drive;
mod fairness;
mod forget;
mod found;
mod handover;
mod limits;
mod model;
mod retries;
mod rules;
mod share;
mod verify;
mod view;

use self::model::{Faults, World};

/// Seeds a run covers; each is some thousand steps of a different history.
const SEEDS: u64 = 40;

/// Without crashes: every delivery ends exactly once, in order of the rules.
#[test]
fn without_faults_every_delivery_ends_exactly_once() {
    for seed in 0..SEEDS {
        World::new(seed, Faults::NONE).run();
    }
}

/// With crashes, lost acks and revokes at random points: nothing is lost, no
/// limit is exceeded, nothing starts early, and the state stays bounded.
#[test]
fn with_faults_nothing_is_lost_early_or_over_the_limit() {
    for seed in 0..SEEDS {
        World::new(seed, Faults::ALL).run();
    }
}
