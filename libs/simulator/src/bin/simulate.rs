//! Runs worlds and says what came of them.

use std::io::Write;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use hooklane_simulator::{Options, run};

const USAGE: &str = "usage: simulate [--seed N | --seeds A..B] [--steps M] [--trace]

  --seed N      one world (default 0)
  --seeds A..B  the worlds A to B - 1, one after the other
  --steps M     happenings before each world comes to rest (default 100000)
  --trace       print everything that happens
";

struct Asked {
    seeds: std::ops::Range<u64>,
    steps: u64,
    trace: bool,
}

fn parse(mut words: impl Iterator<Item = String>) -> Option<Asked> {
    let mut asked = Asked {
        seeds: 0..1,
        steps: 100_000,
        trace: false,
    };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--seed" => {
                let seed: u64 = words.next()?.parse().ok()?;
                asked.seeds = seed..seed.checked_add(1)?;
            }
            "--seeds" => {
                let range = words.next()?;
                let (from, until) = range.split_once("..")?;
                asked.seeds = from.parse().ok()?..until.parse().ok()?;
            }
            "--steps" => asked.steps = words.next()?.parse().ok()?,
            "--trace" => asked.trace = true,
            _ => return None,
        }
    }
    Some(asked)
}

/// The world that runs now, for a panic's message.
static SEED: AtomicU64 = AtomicU64::new(0);

fn main() -> ExitCode {
    let mut out = std::io::stdout().lock();
    match simulate(&mut out) {
        Ok(code) => code,
        // Nobody reads any more.
        Err(_) => ExitCode::FAILURE,
    }
}

fn simulate(out: &mut impl Write) -> std::io::Result<ExitCode> {
    let Some(asked) = parse(std::env::args().skip(1)) else {
        std::io::stderr().write_all(USAGE.as_bytes())?;
        return Ok(ExitCode::from(64));
    };
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        before(info);
        let seed = SEED.load(Ordering::Relaxed);
        // Whatever comes of it: the panic itself has been told.
        drop(writeln!(
            std::io::stderr(),
            "rule panic broken by seed {seed}"
        ));
    }));
    let begun = Instant::now();
    let (mut steps, mut requests, mut worlds) = (0, 0, 0);
    for seed in asked.seeds {
        SEED.store(seed, Ordering::Relaxed);
        let options = Options {
            seed,
            steps: asked.steps,
        };
        let mut print = |line: &hooklane_simulator::Line| {
            drop(writeln!(std::io::stderr(), "{line}"));
        };
        let trace: Option<&mut dyn FnMut(&hooklane_simulator::Line)> =
            if asked.trace { Some(&mut print) } else { None };
        match run(options, trace) {
            Ok(summary) => {
                steps += summary.steps;
                requests += summary.requests;
                worlds += 1;
                writeln!(out, "seed {seed}: {summary:?}")?;
            }
            Err(failure) => {
                writeln!(out, "{failure}")?;
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    let seconds = begun.elapsed().as_secs_f64().max(1e-9);
    #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
    let millions = steps as f64 / seconds * 60.0 / 1e6;
    writeln!(
        out,
        "{worlds} worlds, {steps} steps, {requests} requests: no rule broken; {millions:.1} million steps a minute"
    )?;
    Ok(ExitCode::SUCCESS)
}
