//! A short run of every fuzz target, the same each time. For a long one:
//! `cargo run --release -p hooklane-sender --example fuzz -- url_policy 600`.

use crate::mutate::{Inputs, Tally};
use crate::targets::TARGETS;

/// Inputs a target: a second or two in a debug build.
const STEPS: usize = 20_000;

#[test]
fn every_target_holds_for_inputs_that_are_nearly_right() {
    for target in TARGETS {
        let (mut inputs, mut tally) = (Inputs::new(target, 1), Tally::default());
        for _ in 0..STEPS {
            inputs.step(target, &mut tally);
        }
        // Both ways, or the run shows nothing.
        let least = tally.taken.min(tally.refused);
        assert!(least > 500, "{}: {tally:?}", target.name);
    }
}
