//! The sender without a dispatcher: what making a request costs, and what an
//! attempt costs on a connection that is there and on one that is made for it.
//!
//! All cases take turns in slices of a few milliseconds, in another order each
//! round, so that what else the machine does falls on all alike. CPU is that
//! of the one thread that makes the requests, to the nanosecond; the receiver
//! is another process.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use hooklane_model::envelope::EventHead;
use hooklane_model::time::{Clock, UnixMillis};
use hooklane_sender::tls::TlsDefaults;
use hooklane_sender::{
    Delivery, DnsResolver, DnsTimeouts, EgressPolicy, Event, Recipient, Sender, SenderConfig,
};
use hooklane_service::clock::SystemClock;
use hooklane_test_support::DnsServer;
use tokio::runtime::Runtime;
use tokio::task::{JoinSet, LocalSet};

use super::cases::{CASES, Case};
use crate::figures::{Spread, float};
use crate::sink::SinkProcess;
use crate::{cpu, events, load};

/// Requests of a slice over connections that are there: about 4 ms.
const KEPT_REQUESTS: u64 = 320;
/// And over new ones. Each leaves a port behind for a while.
const NEW_REQUESTS: u64 = 48;
/// Requests that are made and not sent, of a slice.
const BUILT: u64 = 500;
/// Attempts at a time, as 16 endpoints of a dispatcher have them.
const CONCURRENCY: u64 = 16;
/// Connections are made new in every so manieth round only.
const NEW_EVERY: u32 = 4;
/// Addresses judged, of a slice.
const JUDGED: u64 = 500;

/// Microseconds of CPU, a value a round.
#[derive(Default)]
pub(super) struct Figures {
    /// To make a request from an event, signature included; nothing is sent.
    pub(super) built: Spread,
    /// To make it and send it over a connection that is there.
    pub(super) kept: Spread,
    /// Its ratio to the first case of the same round.
    pub(super) kept_ratio: Spread,
    /// To make it and send it over a connection that is made for it.
    pub(super) new: Spread,
    pub(super) new_ratio: Spread,
}

/// The sender of a case, with and without connections that stay.
struct Bench {
    case: Case,
    kept: Way,
    new: Option<Way>,
    figures: Figures,
}

struct Way {
    sender: Rc<Sender>,
    recipient: Rc<Recipient>,
}

/// The event that is sent over and over.
struct Sample {
    head: EventHead,
    payload: Bytes,
}

impl Sample {
    fn event(&self, now: UnixMillis) -> Event<'_> {
        Event {
            head: &self.head,
            payload: &self.payload,
            first_seen: now,
        }
    }
}

/// Measures all cases with events of `size` bytes.
pub(super) fn measure(
    size: usize,
    rounds: u32,
    sink: &SinkProcess,
    names: &DnsServer,
) -> anyhow::Result<Vec<(Case, Figures)>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let sample = Rc::new(Sample {
        head: load::event_head(1),
        payload: Bytes::from(events::payload(0, size)),
    });
    let mut benches = Vec::new();
    for case in CASES {
        let new = case.is_of_connections();
        benches.push(Bench {
            case,
            kept: Way::try_new(case, sink.addr(), names, None)?,
            new: new
                .then(|| Way::try_new(case, sink.addr(), names, Some(Duration::ZERO)))
                .transpose()?,
            figures: Figures::default(),
        });
    }
    // The first round makes the connections, and is not counted.
    round(0, &runtime, &sample, &mut benches)?;
    for bench in &mut benches {
        bench.figures = Figures::default();
    }
    for number in 1..=rounds {
        round(number, &runtime, &sample, &mut benches)?;
    }
    Ok(benches.into_iter().map(|b| (b.case, b.figures)).collect())
}

fn round(
    number: u32,
    runtime: &Runtime,
    sample: &Rc<Sample>,
    benches: &mut [Bench],
) -> anyhow::Result<()> {
    let count = benches.len();
    let with_new = number.is_multiple_of(NEW_EVERY);
    let mut taken = vec![None; count];
    for turn in 0..count {
        let at = (turn + number as usize) % count;
        let bench = &benches[at];
        let built = bench.kept.build(sample)?;
        let kept = bench.kept.send(runtime, sample, KEPT_REQUESTS)?;
        let new = match &bench.new {
            Some(way) if with_new => Some(way.send(runtime, sample, NEW_REQUESTS)?),
            _ => None,
        };
        taken[at] = Some((built, kept, new));
    }
    let taken: Vec<_> = taken.into_iter().flatten().collect();
    let (_, first_kept, first_new) = taken[0];
    for (bench, (built, kept, new)) in benches.iter_mut().zip(taken) {
        bench.figures.built.add(built);
        bench.figures.kept.add(kept);
        bench.figures.kept_ratio.add(kept / first_kept);
        if let (Some(new), Some(first)) = (new, first_new) {
            bench.figures.new.add(new);
            bench.figures.new_ratio.add(new / first);
        }
    }
    Ok(())
}

impl Way {
    /// `age` is how old a connection may get; `None` is as in a service.
    fn try_new(
        case: Case,
        receiver: SocketAddr,
        names: &DnsServer,
        age: Option<Duration>,
    ) -> anyhow::Result<Self> {
        let defaults = SenderConfig::default();
        let config = SenderConfig {
            egress: case.policy(),
            connection_age_max: age.unwrap_or(defaults.connection_age_max),
            ..defaults
        };
        let resolver = DnsResolver::try_new(&[names.addr()], DnsTimeouts::default())?;
        let sender = Sender::new(config, TlsDefaults::load(&[])?, Arc::new(resolver));
        let recipient = Recipient::try_new(&sender, &case.spec(receiver)?, &case.secrets())?;
        Ok(Self {
            sender: Rc::new(sender),
            recipient: Rc::new(recipient),
        })
    }

    /// Microseconds to make a request.
    fn build(&self, sample: &Sample) -> anyhow::Result<f64> {
        let now = SystemClock.now();
        let begun = cpu::thread();
        for n in 0..BUILT {
            let delivery = Delivery {
                id: &delivery_id(n),
                attempt: 1,
                event: sample.event(now),
            };
            black_box(self.recipient.request(black_box(&delivery), now)?);
        }
        Ok((cpu::thread() - begun) * 1e6 / float(BUILT))
    }

    /// Microseconds to make a request and to send it.
    fn send(&self, runtime: &Runtime, sample: &Rc<Sample>, requests: u64) -> anyhow::Result<f64> {
        let local = LocalSet::new();
        let begun = cpu::thread();
        runtime.block_on(local.run_until(async {
            let mut tasks = JoinSet::new();
            for _ in 0..CONCURRENCY {
                let sender = Rc::clone(&self.sender);
                let recipient = Rc::clone(&self.recipient);
                let sample = Rc::clone(sample);
                tasks.spawn_local(async move {
                    for n in 0..requests / CONCURRENCY {
                        attempt(&sender, &recipient, &sample, n).await?;
                    }
                    anyhow::Ok(())
                });
            }
            while let Some(done) = tasks.join_next().await {
                done??;
            }
            anyhow::Ok(())
        }))?;
        Ok((cpu::thread() - begun) * 1e6 / float(requests))
    }
}

async fn attempt(
    sender: &Sender,
    recipient: &Recipient,
    sample: &Sample,
    n: u64,
) -> anyhow::Result<()> {
    let now = SystemClock.now();
    let delivery = Delivery {
        id: &delivery_id(n),
        attempt: 1,
        event: sample.event(now),
    };
    let request = recipient.request(&delivery, now)?;
    let report = sender
        .attempt(recipient.destination(), request, || true)
        .await;
    match report.result.context("a request of the bench")?.status {
        200 => Ok(()),
        other => bail!("the sink answered {other}"),
    }
}

fn delivery_id(n: u64) -> String {
    format!("dlv_{n:032x}")
}

/// What one judgement of the guard costs, in microseconds, by what is judged.
/// The receiver of a bench is on the loopback and so has to be allowed; here
/// is what the default policy does with addresses of others.
pub(super) fn judge(rounds: u32) -> Vec<(&'static str, Spread)> {
    let policy = EgressPolicy::default();
    let public: Vec<IpAddr> = (1..=4)
        .map(|n| Ipv4Addr::new(93, 184, 216, n).into())
        .collect();
    let private = Ipv4Addr::new(192, 168, 0, 1).into();
    let cases: [(&str, &dyn Fn() -> bool); 3] = [
        ("a public address is let through", &|| {
            policy.check(public[0]).is_ok()
        }),
        ("a name with four public addresses", &|| {
            policy.check_answers("hooks.bench.example", &public).is_ok()
        }),
        ("a private address is refused", &|| {
            policy.check(private).is_err()
        }),
    ];
    let mut figures = cases.map(|(name, _)| (name, Spread::default()));
    for _ in 0..rounds {
        for ((_, judged), (_, figure)) in cases.iter().zip(&mut figures) {
            let begun = cpu::thread();
            let as_meant = (0..JUDGED).filter(|_| black_box(judged())).count();
            let used = cpu::thread() - begun;
            assert_eq!(as_meant as u64, JUDGED, "the guard judges otherwise");
            figure.add(used * 1e6 / float(JUDGED));
        }
    }
    figures.into()
}
