//! The dispatcher as it ships, with endpoints of each kind.
//!
//! The envelopes are stored once; before each run the endpoints that they name
//! are written anew as the case has them. Before and after each run of a case
//! stands one of the first case, because what else a machine does changes
//! within seconds.

use std::num::NonZeroU16;

use anyhow::{Context, ensure};
use hooklane_test_support::DnsServer;
use serde_json::Value;

use super::Args;
use super::cases::{CASES, Case};
use crate::bed::{Bed, Brokers};
use crate::figures::{Spread, float};
use crate::load::Deliveries;
use crate::sink::SinkProcess;
use crate::{dispatching, output};

const ENDPOINTS: usize = 16;
const CONCURRENCY: u32 = 4;
/// `hooklane topics create` makes 64; fewer start faster, and what signing
/// costs has nothing to do with them.
const LANES: NonZeroU16 = NonZeroU16::new(16).expect("not zero");
/// How often a run is made again that was not the work that was meant.
const TRIES: u32 = 3;

/// Microseconds of the dispatcher's CPU per delivery, a value a run.
#[derive(Default)]
pub(super) struct Figures {
    pub(super) micros: Spread,
    /// To the first case, right before and after.
    pub(super) ratio: Spread,
    /// Deliveries of each connection.
    pub(super) per_connection: Spread,
}

/// What one run took.
struct Taken {
    micros: f64,
    per_connection: f64,
}

impl Figures {
    fn add(&mut self, taken: &Taken, plain: f64) {
        self.micros.add(taken.micros);
        self.ratio.add(taken.micros / plain);
        self.per_connection.add(taken.per_connection);
    }
}

/// Measures the cases with events of `size` bytes, `sink` being the receiver.
pub(super) fn measure(
    args: &Args,
    size: usize,
    (brokers, names): (&Brokers, &DnsServer),
    (sink, only_connections): (&SinkProcess, bool),
) -> anyhow::Result<Vec<(Case, Figures)>> {
    let bed = Bed::create(brokers, LANES)?;
    let cases = CASES
        .into_iter()
        .filter(|case| !only_connections || case.is_of_connections());
    let mut figures: Vec<_> = cases.map(|case| (case, Figures::default())).collect();
    let manifests = |case: &Case| -> Vec<Value> {
        let endpoint = |n| case.manifest(&format!("e{n}"), sink.addr(), CONCURRENCY);
        (0..ENDPOINTS).map(endpoint).collect()
    };
    let endpoints = bed.apply(&manifests(&figures[0].0))?;
    let load = Deliveries {
        topic: bed.names.deliveries(),
        lanes: LANES,
        endpoints: &endpoints,
        fanout: 1,
        deliveries: args.deliveries,
        payload: size,
    };
    let (_, deliveries) = load.store(&bed.settings)?;
    let (plain, others) = figures.split_first_mut().context("no case")?;
    let (plain_case, plain) = (plain.0, &mut plain.1);
    let go = |case: &Case| -> anyhow::Result<Taken> {
        bed.apply(&manifests(case))?;
        run(&bed, case, deliveries, sink, names)
    };
    for round in 1..=args.rounds {
        output::progress(format!(
            "{size} B, round {round} of {}, {} runs of a dispatcher",
            args.rounds,
            2 * others.len() + 1
        ));
        let mut before = go(&plain_case)?;
        plain.add(&before, before.micros);
        let count = others.len();
        for turn in 0..count {
            let (case, figures) = &mut others[(turn + round as usize) % count];
            let taken = go(case)?;
            let after = go(&plain_case)?;
            figures.add(&taken, f64::midpoint(before.micros, after.micros));
            plain.add(&after, after.micros);
            before = after;
        }
    }
    Ok(figures)
}

fn run(
    bed: &Bed,
    case: &Case,
    deliveries: u64,
    sink: &SinkProcess,
    names: &DnsServer,
) -> anyhow::Result<Taken> {
    let environment = case.environment(names);
    let mut tries = 1;
    let run = loop {
        match dispatching::run(bed, deliveries, sink, &environment) {
            Ok(run) => break run,
            Err(error) if tries < TRIES => {
                output::progress(format!("{}: once more, because {error:#}", case.name));
                tries += 1;
            }
            Err(error) => return Err(error.context(case.name)),
        }
    };
    ensure!(run.sink.requests > 0, "nothing came");
    let came = float(run.sink.requests);
    Ok(Taken {
        micros: run.cpu_seconds * 1e6 / came,
        per_connection: came / float(run.sink.connections),
    })
}
