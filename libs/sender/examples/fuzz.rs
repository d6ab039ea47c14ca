//! Fuzzes one target for a while: `fuzz TARGET SECONDS [SEED]`. The short run
//! of all targets is a test. Ends with a panic that shows the input.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a tool for people, made of test code"
)]

#[path = "../tests/it/fuzz/mutate.rs"]
mod mutate;
#[path = "../tests/it/fuzz/targets.rs"]
mod targets;

use std::time::{Duration, Instant};

use mutate::{Inputs, Tally};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let named = arguments.next().unwrap_or_default();
    let Some(target) = targets::TARGETS.iter().find(|it| it.name == named) else {
        let names: Vec<_> = targets::TARGETS.iter().map(|it| it.name).collect();
        println!("targets: {}", names.join(", "));
        return;
    };
    let mut number = |otherwise| match arguments.next() {
        Some(text) => text.parse().expect("seconds and seed are numbers"),
        None => otherwise,
    };
    let (seconds, seed) = (number(60), number(fastrand::u64(..)));
    println!("{named} for {seconds} s, seed {seed}");
    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut inputs, mut tally) = (Inputs::new(target, seed), Tally::default());
    while Instant::now() < end {
        for _ in 0..1_000 {
            inputs.step(target, &mut tally);
        }
    }
    println!("{tally:?}");
}
