//! What ingest counts.
//!
//! The book entry is `hooklane_matched_deliveries_total`: targets that are
//! stored in a lane. What is matched and not stored yet is open work.

use hooklane_service::metrics::{
    By, Counter, Gauge, Histogram, LabelValue, MetricsError, PartitionGauges, Registry, buckets,
};

/// What became of an event that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Somebody wants it.
    Matched,
    /// Nobody wants it: nothing is written.
    Unmatched,
    /// It cannot be read.
    Poison,
}

impl LabelValue for Fate {
    const ALL: &'static [Self] = &[Self::Matched, Self::Unmatched, Self::Poison];

    fn as_str(self) -> &'static str {
        match self {
            Self::Matched => "matched",
            Self::Unmatched => "unmatched",
            Self::Poison => "poison",
        }
    }
}

/// The metrics of one ingest.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Source records read.
    pub records: Counter,
    /// Events by what became of them; one for each source that reads the record.
    pub events: By<Fate, Counter>,
    /// Offsets that retention took before they were read.
    pub lost: Counter,
    /// Targets stored in a lane.
    pub matched_deliveries: Counter,
    /// Deliveries not made because the endpoint is disabled or deleted.
    pub disabled_deliveries: Counter,
    /// Envelopes stored.
    pub envelopes: Counter,
    /// Targets of each envelope.
    pub envelope_targets: Histogram,
    /// Payload bytes of each event.
    pub payload_bytes: Histogram,
    /// Subscriptions looked at.
    pub candidates: Counter,
    /// Payloads a filter asked for that are not JSON.
    pub unparsed: Counter,
    /// Records the brokers or the client refused.
    pub produce_errors: Counter,
    /// Times the producer's queue was full.
    pub queue_full: Counter,
    /// Commits refused.
    pub commit_errors: Counter,
    /// Failures that reading reports and gets over by itself.
    pub read_errors: Counter,
    /// Configuration records not applied.
    pub config_problems: Counter,
    /// Subscriptions in the index.
    pub subscriptions: Gauge,
    /// Offset of the config topic that is applied.
    pub config_offset: Gauge,
    /// Sources whose topic does not exist.
    pub missing_topics: Gauge,
    /// Source offsets read and not done.
    pub open_offsets: Gauge,
    /// The bound of `open_offsets`.
    pub open_offsets_max: Gauge,
    /// Bytes not acknowledged.
    pub open_bytes: Gauge,
    /// The bound of `open_bytes`.
    pub open_bytes_max: Gauge,
    /// 1 while reading is stopped at a bound.
    pub paused: Gauge,
    /// From the event's time in its topic to its envelope's acknowledgement.
    pub event_seconds: Histogram,
    /// Records behind the end of each source partition.
    pub lag_records: PartitionGauges,
    /// Age of the last event read of each partition that is behind.
    pub lag_seconds: PartitionGauges,
}

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn register(r: &Registry) -> Result<Self, MetricsError> {
        let counter = |name, help| r.counter(name, help);
        let gauge = |name, help| r.gauge(name, help);
        Ok(Self {
            records: counter("hooklane_source_records_total", "Source records read.")?,
            events: r.counter_by("hooklane_events_total", "Events read, by what became of them; a record counts once for each source that reads its topic.", "fate")?,
            lost: counter("hooklane_lost_records_total", "Source offsets that retention took before they were read. Page.")?,
            matched_deliveries: counter("hooklane_matched_deliveries_total", "Deliveries stored in a lane: what the books begin with.")?,
            disabled_deliveries: counter("hooklane_disabled_deliveries_total", "Deliveries not made because the endpoint is disabled or deleted.")?,
            envelopes: counter("hooklane_envelopes_total", "Envelopes stored in a lane.")?,
            envelope_targets: r.histogram("hooklane_envelope_targets", "Targets of an envelope.", buckets::COUNT)?,
            payload_bytes: r.histogram("hooklane_event_payload_bytes", "Payload size of an event.", buckets::SIZE_BYTES)?,
            candidates: counter("hooklane_match_candidates_total", "Subscriptions looked at to match events.")?,
            unparsed: counter("hooklane_unparsed_payloads_total", "Payloads that a filter asked for and that are not JSON.")?,
            produce_errors: counter("hooklane_produce_errors_total", "Records that the brokers or the client refused.")?,
            queue_full: counter("hooklane_ingest_queue_full_total", "Times the producer's queue was full.")?,
            commit_errors: counter("hooklane_commit_errors_total", "Commits of source offsets that were refused.")?,
            read_errors: counter("hooklane_consumer_errors_total", "Failures of reading that the client gets over by itself.")?,
            config_problems: counter("hooklane_config_problems_total", "Configuration records not applied; the last good value stays.")?,
            subscriptions: gauge("hooklane_subscriptions", "Subscriptions in the index.")?,
            config_offset: gauge("hooklane_config_applied_offset", "Offset of the config topic up to which it is applied.")?,
            missing_topics: gauge("hooklane_missing_source_topics", "Topics that a source names and that do not exist.")?,
            open_offsets: gauge("hooklane_ingest_open_offsets", "Source offsets read and not done.")?,
            open_offsets_max: gauge("hooklane_ingest_open_offsets_max", "Bound of the open offsets.")?,
            open_bytes: gauge("hooklane_ingest_open_bytes", "Bytes of envelopes not acknowledged.")?,
            open_bytes_max: gauge("hooklane_ingest_open_bytes_max", "Bound of the open bytes.")?,
            paused: gauge("hooklane_ingest_paused", "1 while reading is stopped at a bound.")?,
            event_seconds: r.histogram("hooklane_event_to_lane_seconds", "From the event's time in its topic to the acknowledgement of its envelope.", buckets::EVENT_SECONDS)?,
            lag_records: r.partition_gauges("hooklane_source_lag_records", "Records between what is done and the end of a source partition.")?,
            lag_seconds: r.partition_gauges("hooklane_source_lag_seconds", "Age of the last event read of a source partition that is behind, 0 where it is not.")?,
        })
    }
}
