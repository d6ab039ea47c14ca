//! What matching one event costs at 100, 1,000 and 10,000 subscriptions.
//!
//! Subscriptions and events stay alike while their number grows, as they do
//! when a platform grows: most subscriptions name a type and a customer of
//! their own, some a type and a region with a bound on the total, some a type
//! prefix. How many match an event stays the same, because what has to be
//! delivered costs what it costs: tenants have 20 subscriptions each, and on
//! the shared source there is an event type for every 5. Every event is parsed
//! anew, as it comes from Kafka. All sizes are measured by turns, so that
//! whatever else the machine does meets all of them.

use std::time::Instant;

use hooklane_model::envelope::EventHead;
use hooklane_model::filter::{Data, Document, EventTypePattern, Filter};
use hooklane_model::id::{EndpointUid, SourceUid, SubscriptionUid};
use hooklane_model::matching::{Interest, InterestIndex};
use serde_json::json;

use crate::figures::{Spread, float};
use crate::{output, service};

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Subscriptions to measure with; the first is what the others are compared to
    #[arg(long, value_delimiter = ',', default_value = "100,1000,10000")]
    subscriptions: Vec<usize>,
    /// Events of each run
    #[arg(long, default_value_t = 40_000)]
    events: usize,
    /// How often everything is measured
    #[arg(long, default_value_t = 7)]
    rounds: u32,
}

const SOURCE: SourceUid = SourceUid(1);
/// Subscriptions for each event type.
const PER_TYPE: usize = 5;
/// Subscriptions of one tenant on average.
const PER_TENANT: usize = 20;
/// Different events; few enough to be made beforehand.
const EVENTS: usize = 1_000;
/// A prime, so that the events are spread over all subscriptions.
const STRIDE: usize = 7_919;

/// One size: its index, its events, and what was measured so far.
struct Case {
    subscriptions: usize,
    shared: bool,
    index: InterestIndex,
    events: Vec<(EventHead, Vec<u8>)>,
    nanos: Spread,
    /// A value a round: to the first size in the same round.
    ratio: Spread,
    candidates: u64,
    matched: u64,
    seen: u64,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    service::ensure_release(&[])?;
    anyhow::ensure!(
        !args.subscriptions.is_empty() && args.subscriptions.iter().all(|n| *n >= PER_TENANT),
        "give sizes of at least {PER_TENANT} subscriptions"
    );
    for shared in [false, true] {
        let sizes = args.subscriptions.iter();
        let mut cases: Vec<Case> = sizes
            .map(|n| Case::new(*n, shared))
            .collect::<anyhow::Result<_>>()?;
        for _ in 0..args.rounds {
            let mut first = None;
            for case in &mut cases {
                let nanos = case.measure(args.events);
                case.ratio.add(nanos / *first.get_or_insert(nanos));
            }
        }
        show(&cases);
    }
    Ok(())
}

fn show(cases: &[Case]) {
    let Some(first) = cases.first() else { return };
    let tenants = if first.shared {
        "one shared source"
    } else {
        "a tenant for every 20 subscriptions"
    };
    output::line(format!("match: {tenants}; median (min-max)"));
    output::line(format!(
        "{:>13} {:>24} {:>10} {:>9}   to {}",
        "subscriptions", "ns per event", "candidates", "matched", first.subscriptions
    ));
    for case in cases {
        output::line(format!(
            "{:>13} {:>24} {:>10.2} {:>9.2}   {}",
            case.subscriptions,
            case.nanos.to_string(),
            float(case.candidates) / float(case.seen),
            float(case.matched) / float(case.seen),
            case.ratio,
        ));
    }
    output::line("");
}

impl Case {
    fn new(subscriptions: usize, shared: bool) -> anyhow::Result<Self> {
        let mut index = InterestIndex::default();
        for n in 0..subscriptions {
            index.insert(interest(n, subscriptions)?);
        }
        let event = |n: usize| event(n * STRIDE, subscriptions, shared);
        Ok(Self {
            subscriptions,
            shared,
            index,
            events: (0..EVENTS).map(event).collect(),
            nanos: Spread::default(),
            ratio: Spread::default(),
            candidates: 0,
            matched: 0,
            seen: 0,
        })
    }

    /// Nanoseconds per event of one run.
    fn measure(&mut self, count: usize) -> f64 {
        let begun = Instant::now();
        for (head, payload) in self.events.iter().cycle().take(count) {
            let data = Data::json(payload);
            let found = self.index.find(SOURCE, &Document::new(head, &data));
            self.matched += found.interests.len() as u64;
            self.candidates += found.candidates as u64;
        }
        self.seen += count as u64;
        let nanos = begun.elapsed().as_secs_f64() * 1e9 / float(count as u64);
        self.nanos.add(nanos);
        nanos
    }
}

fn interest(n: usize, subscriptions: usize) -> anyhow::Result<Interest> {
    let kind = n % (subscriptions / PER_TYPE);
    let exact = format!("order.kind{kind}");
    let (pattern, filter) = match n % 10 {
        0..=5 => (
            exact,
            Some(json!({"data": {"customer": {"id": [format!("c{n}")]}}})),
        ),
        6 | 7 => {
            let bound = (n % 50) * 10;
            let region = format!("r{}", n % 5);
            (
                exact,
                Some(json!({"data": {"region": [region], "total": [{"numeric": [">", bound]}]}})),
            )
        }
        8 => (exact, None),
        _ => (
            "invoice.*".to_owned(),
            Some(json!({"data": {"total": [{"numeric": ["<", 20]}]}})),
        ),
    };
    let filter = filter.map(|f| Filter::parse(&f)).transpose();
    Ok(Interest {
        subscription: SubscriptionUid(n as u128),
        endpoint: EndpointUid(n as u128),
        source: SOURCE,
        tenant: format!("t{}", n / PER_TENANT),
        event_types: vec![EventTypePattern::parse(&pattern).map_err(|e| anyhow::anyhow!("{e:?}"))?],
        filter: filter.map_err(|e| anyhow::anyhow!("{e:?}"))?,
    })
}

fn event(n: usize, subscriptions: usize, shared: bool) -> (EventHead, Vec<u8>) {
    let customer = n % subscriptions;
    let head = EventHead {
        tenant: (!shared).then(|| format!("t{}", customer / PER_TENANT)),
        source: "/shop".to_owned(),
        id: format!("e{n}"),
        event_type: format!("order.kind{}", customer % (subscriptions / PER_TYPE)),
        ..EventHead::default()
    };
    let payload = json!({
        "customer": {"id": format!("c{customer}"), "name": "Somebody", "since": "2020-01-01"},
        "region": format!("r{}", n % 5),
        "total": n % 500,
        "currency": "EUR",
        "lines": [{"sku": "a-1", "count": 2}, {"sku": "b-2", "count": 1}],
        "note": "x".repeat(200),
    });
    (head, payload.to_string().into_bytes())
}
