//! Metrics by endpoint, bounded: those with most waiting by name, everything
//! else as one.
//!
//! Who has rows keeps them until another has twice as much waiting: an
//! endpoint that comes and goes with each scrape would cost Prometheus a
//! series each time.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hooklane_engine::EndpointView;
use hooklane_model::id::EndpointUid;
use hooklane_model::time::UnixMillis;
use hooklane_service::metrics::{Counter, Gauge, KeyedGauges, MetricsError, Registry};

/// Stands for all endpoints without rows of their own. No tenant and no
/// endpoint can be named so.
const OTHER: &str = "_other";
/// How much more another must have waiting to take a row over.
const CHALLENGE: u64 = 2;

/// The families, and what each worker showed last.
pub(crate) struct EndpointMetrics {
    top: usize,
    waiting: KeyedGauges,
    bytes: KeyedGauges,
    oldest: KeyedGauges,
    drain: KeyedGauges,
    held: KeyedGauges,
    expiry: KeyedGauges,
    failing: Gauge,
    /// Snapshots that had to wait.
    pub(crate) deferred: Counter,
    shown: Mutex<Shown>,
}

struct Shown {
    workers: Vec<Sum>,
    /// Who has rows.
    members: Members,
}

type Members = Arc<HashSet<EndpointUid>>;

/// One endpoint, or many.
#[derive(Clone, Debug, Default, PartialEq)]
struct Row {
    /// `None` for many.
    uid: Option<EndpointUid>,
    tenant: String,
    endpoint: String,
    /// What is waiting, in favour of who has rows already.
    weight: u64,
    waiting: u64,
    bytes: u64,
    oldest: Duration,
    drain: Option<Duration>,
    held: Option<Duration>,
    expiry: Option<Duration>,
}

impl Row {
    /// Without names.
    fn of(view: &EndpointView, now: UnixMillis) -> Self {
        Self {
            waiting: view.waiting(),
            bytes: view.bytes,
            oldest: view.oldest.map_or(Duration::ZERO, |at| now.since(at)),
            drain: view.drain,
            held: view.held_until.map(|at| at.since(now)),
            expiry: view.will_expire_at.map(|at| at.since(now)),
            ..Self::default()
        }
    }

    /// Counts another one in: sums of what adds up, the worst of the rest.
    fn fold(&mut self, other: &Self) {
        self.waiting += other.waiting;
        self.bytes += other.bytes;
        self.oldest = self.oldest.max(other.oldest);
        self.drain = self.drain.max(other.drain);
        self.held = self.held.max(other.held);
        self.expiry = match (self.expiry, other.expiry) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
    }

    fn labels(&self) -> Vec<String> {
        vec![self.tenant.clone(), self.endpoint.clone()]
    }
}

/// What a worker's endpoints come to, added up one by one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sum {
    top: usize,
    members: Members,
    /// Those with most waiting; at most twice as many as are asked for.
    rows: Vec<Row>,
    /// Not worth a row, as far as is known.
    floor: u64,
    other: Row,
    failing: usize,
}

impl Sum {
    fn new(top: usize, members: Members) -> Self {
        Self {
            top,
            members,
            ..Self::default()
        }
    }

    /// Counts an endpoint in.
    pub(crate) fn add(&mut self, view: &EndpointView, now: UnixMillis) {
        self.failing += usize::from(view.failing_since.is_some());
        let uid = view.endpoint.uid();
        let row = Row::of(view, now);
        let weight = match self.members.contains(&uid) {
            true => row.waiting.saturating_mul(CHALLENGE),
            false => row.waiting,
        };
        if weight <= self.floor || self.top == 0 {
            self.other.fold(&row);
            return;
        }
        let meta = &view.endpoint.meta;
        self.rows.push(Row {
            uid: Some(uid),
            tenant: meta.tenant.clone(),
            endpoint: meta.name.clone(),
            weight,
            ..row
        });
        if self.rows.len() >= 2 * self.top {
            self.cut();
        }
    }

    /// Counts another worker's in.
    fn merge(&mut self, other: &Self) {
        self.failing += other.failing;
        self.other.fold(&other.other);
        self.rows.extend(other.rows.iter().cloned());
    }

    /// Leaves as many rows as are asked for.
    fn cut(&mut self) {
        self.rows.sort_by_key(|row| (Reverse(row.weight), row.uid));
        for row in self.rows.iter().skip(self.top) {
            self.other.fold(row);
        }
        self.rows.truncate(self.top);
        if self.rows.len() == self.top {
            self.floor = self.rows.last().map_or(0, |row| row.weight);
        }
    }
}

impl EndpointMetrics {
    pub(super) fn register(r: &Registry, top: usize, workers: usize) -> Result<Self, MetricsError> {
        let labels = ["tenant", "endpoint"];
        let keyed = |name: &str, help: &str| {
            let help = format!(
                "{help} For the dispatcher.top_endpoints with most waiting; tenant and endpoint \
                 `{OTHER}` are all others."
            );
            r.keyed_gauges(name, &help, &labels, top + 1)
        };
        Ok(Self {
            top,
            waiting: keyed(
                "hooklane_endpoint_waiting_deliveries",
                "Deliveries that wait for an endpoint, in memory and, since its lane was claimed, in Kafka.",
            )?,
            bytes: keyed(
                "hooklane_endpoint_waiting_bytes",
                "Bytes of what waits for an endpoint or is on its way.",
            )?,
            oldest: keyed(
                "hooklane_endpoint_oldest_seconds",
                "Age of the oldest event that waits for an endpoint.",
            )?,
            drain: keyed(
                "hooklane_endpoint_drain_seconds",
                "How long what waits for an endpoint takes at its limits; absent while its speed is not known.",
            )?,
            held: keyed(
                "hooklane_endpoint_held_seconds",
                "For how long an endpoint is still held at its own word (429, Retry-After); absent when it is not.",
            )?,
            expiry: keyed(
                "hooklane_endpoint_expiry_seconds",
                "In how long the first delivery passes maxAge before its turn; absent when all make it.",
            )?,
            failing: r.gauge(
                "hooklane_endpoints_failing",
                "Endpoints with work that have done nothing but fail lately.",
            )?,
            deferred: r.counter(
                "hooklane_snapshots_deferred_total",
                "Times that an endpoint's snapshot for the status topic had to wait for the next look: more than 50 a second were due in all.",
            )?,
            shown: Mutex::new(Shown {
                workers: vec![Sum::default(); workers],
                members: Members::default(),
            }),
        })
    }

    /// Where a worker's next sweep is added up.
    pub(crate) fn sum(&self) -> Sum {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        Sum::new(self.top, shown.members.clone())
    }

    /// A worker shows its endpoints.
    pub(crate) fn publish(&self, worker: u16, sum: Sum) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.workers[usize::from(worker)] = sum;
        let mut all = Sum::new(self.top, Members::default());
        for sum in &shown.workers {
            all.merge(sum);
        }
        all.cut();
        shown.members = Arc::new(all.rows.iter().filter_map(|row| row.uid).collect());
        self.failing.set_len(all.failing);
        all.rows.push(Row {
            tenant: OTHER.to_owned(),
            endpoint: OTHER.to_owned(),
            ..all.other
        });
        let rows = &all.rows;
        #[allow(clippy::cast_precision_loss, reason = "gauges of counts")]
        let whole = |of: fn(&Row) -> u64| rows.iter().map(move |r| (r.labels(), of(r) as f64));
        self.waiting.replace(whole(|row| row.waiting));
        self.bytes.replace(whole(|row| row.bytes));
        let seconds = |of: fn(&Row) -> Option<Duration>| {
            let known = rows.iter().filter_map(move |row| Some((row, of(row)?)));
            known.map(|(row, time)| (row.labels(), time.as_secs_f64()))
        };
        self.oldest.replace(seconds(|row| Some(row.oldest)));
        self.drain.replace(seconds(|row| row.drain));
        self.held.replace(seconds(|row| row.held));
        self.expiry.replace(seconds(|row| row.expiry));
    }
}

#[cfg(test)]
mod tests;
