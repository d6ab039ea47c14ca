//! The retry-scheduler's metrics, all registered at start.

use hooklane_kafka::producer::ProduceErrorKind;
use hooklane_model::ladder::Rung;
use hooklane_service::metrics::{
    Counter, Gauge, GaugeF64, Histogram, MetricsError, Registry, buckets,
};

use crate::schedule::{Limits, Snapshot, Tally};

const PRODUCE_ERRORS: [ProduceErrorKind; 6] = [
    ProduceErrorKind::TooLarge,
    ProduceErrorKind::Unauthorized,
    ProduceErrorKind::UnknownTopic,
    ProduceErrorKind::Fatal,
    ProduceErrorKind::TimedOut,
    ProduceErrorKind::Other,
];

/// One handle per rung, in the order of [`Rung::ALL`].
type ByRung<H> = Vec<H>;

/// The retry-scheduler's metrics.
pub(crate) struct Metrics {
    read: ByRung<Counter>,
    released: ByRung<Counter>,
    hopped: ByRung<Counter>,
    lateness: ByRung<Histogram>,
    overdue: ByRung<Gauge>,
    overdue_seconds: ByRung<GaugeF64>,
    waiting: ByRung<Gauge>,
    held: ByRung<Gauge>,
    partitions: ByRung<Gauge>,
    paused: ByRung<Gauge>,
    blocked: ByRung<Gauge>,
    tail: [Gauge; 2],
    in_flight: [Gauge; 2],
    rewaits: Counter,
    overflows: Counter,
    repeats: Counter,
    shown: Tally,
    produce_errors: Vec<Counter>,
    pub(crate) poison: Counter,
    pub(crate) lost: Counter,
    pub(crate) resets: Counter,
    pub(crate) pauses: Counter,
    pub(crate) commit_errors: Counter,
    pub(crate) consumer_errors: Counter,
    pub(crate) rebalances: Counter,
    pub(crate) create_time: Counter,
    pub(crate) lanes_changed: Gauge,
}

/// Registers every family, for the reference of all metrics.
///
/// # Errors
/// A name that `registry` has already.
pub fn register_families(registry: &Registry) -> Result<(), MetricsError> {
    Metrics::register(registry, &Limits::default()).map(drop)
}

impl Metrics {
    /// Registers everything; the bounds of `limits` are set once.
    pub(crate) fn register(r: &Registry, limits: &Limits) -> Result<Self, MetricsError> {
        let bound = |name: &str, help: &str, value: usize| {
            r.gauge(name, help).map(|gauge| gauge.set_len(value))
        };
        bound(
            "hooklane_retry_tail_records_max",
            "Bound of hooklane_retry_tail_records; beyond it deliveries take the 15 s rung.",
            limits.tail_entries,
        )?;
        bound(
            "hooklane_retry_tail_bytes_max",
            "Bound of hooklane_retry_tail_bytes (retry_scheduler.tail_memory).",
            limits.tail_bytes,
        )?;
        bound(
            "hooklane_retry_in_flight_records_max",
            "Bound of hooklane_retry_in_flight_records; reading pauses there.",
            limits.flights,
        )?;
        bound(
            "hooklane_retry_in_flight_bytes_max",
            "Bound of hooklane_retry_in_flight_bytes; reading pauses there.",
            limits.flight_bytes,
        )?;
        let rungs = Rung::ALL.map(Rung::name);
        let counters = |name: &str, help: &str| r.counter_each(name, help, "rung", &rungs);
        let gauges = |name: &str, help: &str| r.gauge_each(name, help, "rung", &rungs);
        let kinds = PRODUCE_ERRORS.map(ProduceErrorKind::as_str);
        Ok(Self {
            read: counters("hooklane_retry_records_read_total", "Records read from delay topics, by rung.")?,
            released: counters("hooklane_retry_released_total", "Deliveries written back to their lane, by the rung they came from.")?,
            hopped: counters("hooklane_retry_hops_total", "Deliveries written to another rung, by the rung they went to.")?,
            lateness: r.histogram_each("hooklane_retry_lateness_seconds", "From a delivery's due time to its release, by the rung it came from. The promise is p99 <= max(1 s, 10 % of the delay).", buckets::LATENESS_SECONDS, "rung", &rungs)?,
            overdue: gauges("hooklane_retry_overdue_records", "Deliveries read whose time has come and that are not written yet, by rung.")?,
            overdue_seconds: r.gauge_f64_each("hooklane_retry_overdue_seconds", "How long the oldest of hooklane_retry_overdue_records has been so. Alert above 10 s.", "rung", &rungs)?,
            waiting: gauges("hooklane_retry_waiting_records", "About how many records wait on the rung: high watermark less committed, of the partitions owned.")?,
            held: gauges("hooklane_retry_held_records", "Deliveries read ahead of their time, at most 256 per partition, by rung.")?,
            partitions: gauges("hooklane_retry_partitions", "Partitions owned, by rung.")?,
            paused: gauges("hooklane_retry_partitions_paused", "Partitions paused because enough of them was read ahead, by rung.")?,
            blocked: gauges("hooklane_retry_partitions_waiting_for_upgrade", "Partitions stopped at a record that a newer release wrote, by rung. Must be 0.")?,
            tail: [
                r.gauge("hooklane_retry_tail_records", "Deliveries in memory for their last 15 seconds.")?,
                r.gauge("hooklane_retry_tail_bytes", "Bytes of hooklane_retry_tail_records.")?,
            ],
            in_flight: [
                r.gauge("hooklane_retry_in_flight_records", "Records sent and not acknowledged yet.")?,
                r.gauge("hooklane_retry_in_flight_bytes", "Bytes of hooklane_retry_in_flight_records.")?,
            ],
            rewaits: r.counter("hooklane_retry_early_rewaits_total", "Deliveries whose rung ended less than 1 s before their due time and that wait on: mostly clocks that differ.")?,
            overflows: r.counter("hooklane_retry_tail_overflows_total", "Deliveries that took the 15 s rung because the tail was full.")?,
            repeats: r.counter("hooklane_retry_repeated_reads_total", "Records that the client handed out twice, ignored.")?,
            shown: Tally::default(),
            produce_errors: r.counter_each("hooklane_produce_errors_total", "Records that were not written, by kind; all but too_large are tried again.", "kind", &kinds)?,
            poison: r.counter("hooklane_poison_records_total", "Unreadable records, written to the poison topic.")?,
            lost: r.counter("hooklane_lost_records_total", "Records that retention took before they were read. Must stay 0.")?,
            resets: r.counter("hooklane_retry_position_resets_total", "Partitions whose committed offset lay beyond their end, read again from their start. Must stay 0.")?,
            pauses: r.counter("hooklane_retry_pauses_total", "Partitions paused because enough of them was read ahead.")?,
            commit_errors: r.counter("hooklane_commit_errors_total", "Offset commits that failed; the next one repeats them.")?,
            consumer_errors: r.counter("hooklane_consumer_errors_total", "Failures that the Kafka consumer reported and goes on after.")?,
            rebalances: r.counter("hooklane_rebalances_total", "Assignments and revocations of partitions.")?,
            create_time: r.counter("hooklane_retry_create_time_records_total", "Records stamped by their producer although the topics should be stamped by the broker. Must stay 0 outside the embedded broker.")?,
            lanes_changed: r.gauge("hooklane_retry_lanes_changed", "1 when the deliveries topic no longer has the number of partitions it had at start. Must be 0.")?,
        })
    }

    pub(crate) fn read(&self, rung: Rung) {
        self.read[rung as usize].inc();
    }

    pub(crate) fn released(&self, from: Rung) {
        self.released[from as usize].inc();
    }

    pub(crate) fn hopped(&self, to: Rung) {
        self.hopped[to as usize].inc();
    }

    pub(crate) fn late(&self, from: Rung, late: std::time::Duration) {
        self.lateness[from as usize].observe_duration(late);
    }

    pub(crate) fn produce_error(&self, kind: ProduceErrorKind) {
        let index = PRODUCE_ERRORS.iter().position(|k| *k == kind);
        self.produce_errors[index.unwrap_or(PRODUCE_ERRORS.len() - 1)].inc();
    }

    /// Sets all gauges; `waiting` is in the order of [`Rung::ALL`].
    pub(crate) fn show(&mut self, state: &Snapshot, tally: Tally, waiting: &[usize]) {
        for (i, rung) in state.rungs.iter().enumerate() {
            self.overdue[i].set_len(rung.overdue);
            self.overdue_seconds[i].set_duration(rung.overdue_age);
            self.held[i].set_len(rung.held);
            self.partitions[i].set_len(rung.partitions);
            self.paused[i].set_len(rung.paused);
            self.blocked[i].set_len(rung.blocked);
            self.waiting[i].set_len(waiting.get(i).copied().unwrap_or(0));
        }
        self.tail[0].set_len(state.tail_entries);
        self.tail[1].set_len(state.tail_bytes);
        self.in_flight[0].set_len(state.flights);
        self.in_flight[1].set_len(state.flight_bytes);
        self.rewaits.add(tally.rewaits - self.shown.rewaits);
        self.overflows
            .add(tally.tail_overflows - self.shown.tail_overflows);
        self.repeats.add(tally.repeats - self.shown.repeats);
        self.shown = tally;
    }
}
