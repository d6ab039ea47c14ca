//! The dispatcher's metrics, all registered at start.

pub(crate) mod endpoints;
pub(crate) mod failures;
mod tokens;

use std::sync::Mutex;
use std::time::Duration;

use hooklane_model::ladder::Rung;
use hooklane_model::time::UnixMillis;
use hooklane_sender::{CloseReason, Stats};
use hooklane_service::metrics::{
    By, Counter, Gauge, GaugeF64, Histogram, LabelValue, MetricsError, PartitionGauges, Registry,
    buckets,
};
use hooklane_service::secrets::SecretsSection;

use self::endpoints::EndpointMetrics;
use self::failures::Failures;
use self::tokens::TokenMetrics;
use crate::config::Config;
use hooklane_engine::{
    Action, AttemptEnd, DeadReason, Gauges, Mono, Outcome, ParkReason, SendOrder, Side, VerifyEnd,
};

/// How a request ended, by class of status or side of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndClass {
    Status2xx,
    Status3xx,
    Status4xx,
    Status429,
    Status5xx,
    StatusOther,
    FailedReceiver,
    FailedNetwork,
    FailedUs,
}

impl LabelValue for EndClass {
    const ALL: &'static [Self] = &[
        Self::Status2xx,
        Self::Status3xx,
        Self::Status4xx,
        Self::Status429,
        Self::Status5xx,
        Self::StatusOther,
        Self::FailedReceiver,
        Self::FailedNetwork,
        Self::FailedUs,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Status2xx => "2xx",
            Self::Status3xx => "3xx",
            Self::Status4xx => "4xx",
            Self::Status429 => "429",
            Self::Status5xx => "5xx",
            Self::StatusOther => "other",
            Self::FailedReceiver => "failed_receiver",
            Self::FailedNetwork => "failed_network",
            Self::FailedUs => "failed_us",
        }
    }
}

impl EndClass {
    pub(crate) fn of(end: &AttemptEnd) -> Self {
        match end {
            AttemptEnd::Response { status, .. } => match status {
                200..=299 => Self::Status2xx,
                300..=399 => Self::Status3xx,
                429 => Self::Status429,
                400..=499 => Self::Status4xx,
                500..=599 => Self::Status5xx,
                _ => Self::StatusOther,
            },
            AttemptEnd::Failed { side, .. } | AttemptEnd::Blocked { side, .. } => match side {
                Side::Receiver => Self::FailedReceiver,
                Side::Network => Self::FailedNetwork,
                Side::Us => Self::FailedUs,
            },
            AttemptEnd::NotStarted => Self::FailedUs,
        }
    }
}

/// What asking a receiver for its consent comes to.
const VERIFICATIONS: &[&str] = &[
    "consented",
    "refused",
    "unreachable",
    "blocked",
    "not_started",
];

/// Why endpoints are disabled.
const DISABLED: &[&str] = &["gone", "directive", "failing"];

/// The dispatcher's metrics.
pub(crate) struct Metrics {
    pub(crate) records: Counter,
    pub(crate) poison: Counter,
    pub(crate) lost: Counter,
    pub(crate) commit_errors: Counter,
    pub(crate) produce_errors: Counter,
    pub(crate) consumer_errors: Counter,
    pub(crate) rebalances: Counter,
    pub(crate) hand_over: Histogram,
    pub(crate) config_problems: Counter,
    pub(crate) config_offset: Gauge,
    pub(crate) lanes_too_new: Gauge,
    pub(crate) lag: PartitionGauges,
    pub(crate) lease_seconds: GaugeF64,
    attempts: By<Outcome, Counter>,
    ends: By<EndClass, Counter>,
    failures: Failures,
    duration: Histogram,
    first_attempt: Histogram,
    queue_wait: Histogram,
    delivered: Counter,
    dead: By<DeadReason, Counter>,
    retries: Vec<Counter>,
    parked: By<ParkReason, Counter>,
    disabled: Vec<Counter>,
    abandoned: Counter,
    pub(crate) secrets_unavailable: Counter,
    pub(crate) secret_key_reloads: Counter,
    pub(crate) secret_key_errors: Counter,
    pub(crate) tokens: TokenMetrics,
    limit_waits: Counter,
    lanes: Gauge,
    waiting: Gauge,
    in_flight: Gauge,
    slots_max: Gauge,
    tenants_full: Gauge,
    tenant_waits: Counter,
    queued: Gauge,
    queued_wide: Gauge,
    bytes: Gauge,
    bytes_max: Gauge,
    endpoints_active: Gauge,
    endpoints_known: Gauge,
    endpoints_held: Gauge,
    breakers_open: Gauge,
    endpoints_unverified: Gauge,
    verifications: Vec<Counter>,
    pub(crate) endpoints: EndpointMetrics,
    oldest: GaugeF64,
    connections: Gauge,
    connections_idle: Gauge,
    connections_opened: Counter,
    connections_reused: Counter,
    connections_closed: Vec<Counter>,
    /// What each worker showed last, so that sums can be set and counters of
    /// the workers added up.
    shown: Mutex<Vec<Shown>>,
}

#[derive(Clone, Copy, Default)]
struct Shown {
    gauges: Gauges,
    age: Duration,
    stats: Stats,
}

/// The rungs a failed attempt can wait on; the metric's label values.
fn rung_names() -> Vec<&'static str> {
    Rung::ALL.iter().map(|rung| rung.name()).collect()
}

/// Registers every family, for the reference of all metrics.
///
/// # Errors
/// A name that `registry` has already.
pub fn register_families(registry: &Registry) -> Result<(), MetricsError> {
    let config = Config {
        queue_wait: Duration::ZERO,
        slots: 0,
        tenant_percent: 0,
        retry_percent: 0,
        memory: 0,
        workers: 0,
        user_agent: None,
        origin: None,
        top_endpoints: 0,
        egress: hooklane_sender::EgressPolicy::default(),
        proxy: None,
        dns_servers: Vec::new(),
        secrets: SecretsSection {
            kek_file: None,
            directory: None,
            env_prefix: String::new(),
        },
    };
    Metrics::register(registry, &config).map(drop)
}

impl Metrics {
    pub(crate) fn register(r: &Registry, config: &Config) -> Result<Self, MetricsError> {
        let closed: Vec<&str> = CloseReason::ALL
            .iter()
            .map(|reason| reason.as_str())
            .collect();
        let metrics = Self {
            records: r.counter("hooklane_lane_records_read_total", "Records read from lanes.")?,
            poison: r.counter("hooklane_poison_records_total", "Unreadable records, written to the poison topic.")?,
            lost: r.counter("hooklane_lost_records_total", "Records that retention took before they were read. Must stay 0.")?,
            commit_errors: r.counter("hooklane_commit_errors_total", "Offset commits that failed; the next one repeats them.")?,
            produce_errors: r.counter(
                "hooklane_produce_errors_total",
                "Records that the brokers or the client refused for good.",
            )?,
            consumer_errors: r.counter("hooklane_consumer_errors_total", "Failures that the Kafka consumer reported and goes on after.")?,
            rebalances: r.counter("hooklane_rebalances_total", "Assignments and revocations of lanes.")?,
            hand_over: r.histogram(
                "hooklane_hand_over_seconds",
                "From a request to let lanes go (a rebalance, the end of the process) until they are committed and another may have them. Alert above 7 s.",
                buckets::HAND_OVER_SECONDS,
            )?,
            config_problems: r.counter("hooklane_config_problems_total", "Configuration records that were not applied; the last good value stays.")?,
            config_offset: r.gauge("hooklane_config_applied_offset", "Offset after the last configuration record applied.")?,
            lanes_too_new: r.gauge("hooklane_lanes_waiting_for_upgrade", "Lanes stopped at a record that a newer release wrote. Must be 0.")?,
            lag: r.partition_gauges("hooklane_lane_lag_records", "Records of an owned lane that are not settled: high watermark less watermark.")?,
            lease_seconds: r.gauge_f64("hooklane_lease_seconds", "How long this process may still start requests without another acked commit.")?,
            attempts: r.counter_by("hooklane_attempts_total", "Attempts by what was decided after them.", "outcome")?,
            ends: r.counter_by("hooklane_attempt_ends_total", "Attempts by status class, or by the side of the failure.", "class")?,
            failures: Failures::register(r)?,
            duration: r.histogram("hooklane_attempt_duration_seconds", "Attempts from start to the end of the response or the failure.", buckets::ATTEMPT_SECONDS)?,
            first_attempt: r.histogram("hooklane_event_to_first_attempt_seconds", "From ingest's read of the event to the start of a delivery's first attempt.", buckets::EVENT_SECONDS)?,
            queue_wait: r.histogram("hooklane_queue_wait_seconds", "From the read of a delivery's record to the start of its request.", buckets::WAIT_SECONDS)?,
            delivered: r.counter("hooklane_delivered_total", "Deliveries that a receiver took with a 2xx.")?,
            dead: r.counter_by("hooklane_dead_total", "Deliveries that ended without a 2xx, by reason.", "reason")?,
            retries: r.counter_each("hooklane_retries_total", "Failed attempts written to a delay topic, by rung; the rest of hooklane_attempts_total{outcome=\"retry\"} waits in memory.", "rung", &rung_names())?,
            parked: r.counter_by("hooklane_parked_total", "Deliveries written to a delay topic without an attempt, by reason.", "reason")?,
            disabled: r.counter_each("hooklane_endpoints_disabled_total", "Endpoints disabled, by reason: gone (410), directive (webhook-delivery: disable), failing (nothing but failure for disableAfter).", "reason", DISABLED)?,
            abandoned: r.counter("hooklane_deliveries_abandoned_total", "Deliveries open when their lane was given up at the deadline: the next owner repeats them.")?,
            secrets_unavailable: r.counter("hooklane_secrets_unavailable_total", "Times that a secret of an endpoint could not be opened or read: its key or file is missing here. Deliveries that need it wait; the log names the key.")?,
            secret_key_reloads: r.counter("hooklane_secret_key_reloads_total", "Times that the key file (secrets.kek_file) had changed and was taken into use.")?,
            secret_key_errors: r.counter("hooklane_secret_key_errors_total", "Looks at the key file that failed; the keys loaded before stay in use.")?,
            tokens: TokenMetrics::register(r)?,
            limit_waits: r.counter("hooklane_rate_limit_waits_total", "Starts that an endpoint's rate limit or hold put off.")?,
            lanes: r.gauge("hooklane_lanes_owned", "Lanes that this process owns.")?,
            waiting: r.gauge("hooklane_deliveries_in_memory", "Deliveries in memory, requests included.")?,
            in_flight: r.gauge("hooklane_requests_in_flight", "Requests open.")?,
            slots_max: r.gauge("hooklane_requests_in_flight_max", "Bound of hooklane_requests_in_flight (dispatcher.slots).")?,
            tenants_full: r.gauge("hooklane_tenants_at_share", "Tenants with as many requests open as one may have (dispatcher.tenant_percent) and more to start.")?,
            tenant_waits: r.counter("hooklane_tenant_share_waits_total", "Turns that a tenant did not take because it had its share of the slots.")?,
            queued: r.gauge("hooklane_deliveries_queued", "Deliveries that wait for this process, not for a limit of their own; of each tenant at most 1,024 where there are several. A worker stops reading at 4,096.")?,
            queued_wide: r.gauge("hooklane_deliveries_queued_wide", "The same for events with more than 16 targets in a lane, which have turns of their own. A worker stops reading at 32,768.")?,
            bytes: r.gauge("hooklane_delivery_bytes", "Bytes held: each payload once and 200 B per delivery.")?,
            bytes_max: r.gauge("hooklane_delivery_bytes_max", "Bound of hooklane_delivery_bytes (dispatcher.memory); reading pauses there.")?,
            endpoints_active: r.gauge("hooklane_endpoints_active", "Endpoints with work or with limits that still bind.")?,
            endpoints_known: r.gauge("hooklane_endpoints_known", "Endpoints known to this process, deleted ones included.")?,
            endpoints_held: r.gauge("hooklane_endpoints_held", "Endpoints held at their own word (429, Retry-After).")?,
            endpoints: EndpointMetrics::register(r, config.top_endpoints, usize::from(config.workers))?,
            breakers_open: r.gauge("hooklane_breakers_open", "Endpoints whose breaker is open or half-open.")?,
            endpoints_unverified: r.gauge("hooklane_endpoints_unverified", "Endpoints of owned lanes that send nothing because their receivers have not agreed to it (`verification` of the spec); paused and disabled ones are not counted.")?,
            verifications: r.counter_each("hooklane_verifications_total", "Receivers asked for their consent, by what came of it: consented, refused (an answer that is none), unreachable (no answer), blocked (something of ours is missing, such as dispatcher.origin), not_started.", "result", VERIFICATIONS)?,
            oldest: r.gauge_f64("hooklane_oldest_open_seconds", "Age of the oldest record read and not settled. Alert above queue_wait + timeout + 5 s.")?,
            connections: r.gauge("hooklane_connections_open", "Connections to receivers, idle ones included.")?,
            connections_idle: r.gauge("hooklane_connections_idle", "Idle connections to receivers.")?,
            connections_opened: r.counter("hooklane_connections_opened_total", "Connections made to receivers.")?,
            connections_reused: r.counter("hooklane_connections_reused_total", "Attempts that found a connection.")?,
            connections_closed: r.counter_each("hooklane_connections_closed_total", "Connections closed, by reason.", "reason", &closed)?,
            shown: Mutex::new(vec![Shown::default(); usize::from(config.workers)]),
        };
        metrics.slots_max.set(i64::from(config.slots));
        metrics.bytes_max.set_len(config.memory);
        Ok(metrics)
    }

    /// A request is about to start.
    pub(crate) fn starting(&self, order: &SendOrder, now: UnixMillis) {
        self.queue_wait.observe_duration(order.waited);
        if order.target.attempt == 1 && order.target.spills == 0 {
            let age = now.since(order.envelope.envelope.first_seen);
            self.first_attempt.observe_duration(age);
        }
    }

    /// The core decided something that is written down.
    pub(crate) fn deciding(&self, action: &Action) {
        match action {
            Action::Attempted(entry) => {
                self.attempts.get(entry.outcome).inc();
                self.ends.get(EndClass::of(&entry.result.end)).inc();
                self.failures.count(&entry.result.end);
                self.duration.observe_duration(entry.result.elapsed);
                if entry.outcome == Outcome::Delivered {
                    self.delivered.inc();
                }
            }
            Action::Delay(order) => match order.parked {
                Some(reason) => self.parked.get(reason).inc(),
                None => {
                    let at = Rung::ALL.iter().position(|rung| *rung == order.rung);
                    self.retries[at.expect("every rung is in ALL")].inc();
                }
            },
            Action::Bury(order) if !order.without_bytes => self.dead.get(order.reason).inc(),
            Action::Disable(order) => {
                let at = DISABLED.iter().position(|reason| *reason == order.reason);
                at.into_iter().for_each(|at| self.disabled[at].inc());
            }
            Action::Bury(_) | Action::Send(_) | Action::Health(_) | Action::Released { .. } => {}
            Action::Verify(_) | Action::Consent(_) | Action::Unverified(_) => {}
        }
    }

    /// A receiver was asked for its consent.
    pub(crate) fn verified(&self, end: &VerifyEnd) {
        let result = match end {
            VerifyEnd::Consented { .. } => "consented",
            VerifyEnd::Failed {
                status: Some(_), ..
            } => "refused",
            VerifyEnd::Failed { side: Side::Us, .. } => "blocked",
            VerifyEnd::Failed { .. } => "unreachable",
            VerifyEnd::NotStarted => "not_started",
        };
        let at = VERIFICATIONS.iter().position(|word| *word == result);
        at.into_iter().for_each(|at| self.verifications[at].inc());
    }

    /// Deliveries were open when their lane was given up.
    pub(crate) fn abandoned(&self, deliveries: usize) {
        self.abandoned.add(deliveries as u64);
    }

    /// A worker shows where it stands.
    pub(crate) fn publish(&self, worker: u16, gauges: &Gauges, stats: &Stats, now: Mono) {
        let mut shown = self
            .shown
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let before = shown[usize::from(worker)];
        let age = gauges.oldest.map_or(Duration::ZERO, |at| now.since(at));
        shown[usize::from(worker)] = Shown {
            gauges: *gauges,
            age,
            stats: *stats,
        };
        self.limit_waits
            .add(gauges.limit_waits - before.gauges.limit_waits);
        self.tenant_waits
            .add(gauges.tenant_waits - before.gauges.tenant_waits);
        self.connections_opened
            .add(stats.opened - before.stats.opened);
        self.connections_reused
            .add(stats.reused - before.stats.reused);
        for (counter, reason) in self.connections_closed.iter().zip(CloseReason::ALL) {
            counter.add(stats.closed_for(reason) - before.stats.closed_for(reason));
        }
        let sum = |of: fn(&Shown) -> usize| shown.iter().map(of).sum::<usize>();
        self.lanes.set_len(sum(|s| s.gauges.lanes));
        self.waiting.set_len(sum(|s| s.gauges.deliveries));
        self.in_flight.set_len(sum(|s| s.gauges.in_flight as usize));
        self.tenants_full.set_len(sum(|s| s.gauges.tenants_full));
        self.queued.set_len(sum(|s| s.gauges.queued));
        self.queued_wide.set_len(sum(|s| s.gauges.queued_wide));
        self.bytes.set_len(sum(|s| s.gauges.bytes));
        self.endpoints_active
            .set_len(sum(|s| s.gauges.endpoints_active));
        self.endpoints_known
            .set_len(sum(|s| s.gauges.endpoints_known));
        self.endpoints_held
            .set_len(sum(|s| s.gauges.endpoints_held));
        self.breakers_open.set_len(sum(|s| s.gauges.breakers_open));
        self.endpoints_unverified
            .set_len(sum(|s| s.gauges.endpoints_unverified));
        self.connections
            .set_len(sum(|s| usize::try_from(s.stats.open()).unwrap_or(0)));
        self.connections_idle.set_len(sum(|s| s.stats.idle));
        let oldest = shown.iter().map(|s| s.age).max().unwrap_or_default();
        self.oldest.set_duration(oldest);
    }
}
