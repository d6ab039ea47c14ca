//! Records made beforehand: envelopes straight into the lanes, or events into
//! a source topic.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::ensure;
use hooklane_kafka::producer::{Outgoing, Producer, SendError};
use hooklane_kafka::settings::{ClientSettings, Profile};
use hooklane_model::envelope::{
    Chunk, ConfigStamp, Envelope, EventHead, Origin, SourcePosition, Target,
};
use hooklane_model::id::{DeliveryId, EndpointUid, SubscriptionUid};
use hooklane_model::lane::{Lane, lane_of};
use hooklane_model::time::{Clock, UnixMillis};
use hooklane_service::clock::SystemClock;

use crate::events;

/// How long storing may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the source and the tenant of all events are called.
pub(crate) const TENANT: &str = "bench";
const EVENT_SOURCE: &str = "/bench";

/// Sends a record; waits while the client's queue is full.
pub(crate) fn send(producer: &Producer, record: &Outgoing<'_>) -> anyhow::Result<()> {
    loop {
        match producer.send(record, 0) {
            Ok(()) => return Ok(()),
            Err(SendError::QueueFull) => producer.poll(Duration::from_millis(1)),
            Err(error) => return Err(error.into()),
        }
    }
}

/// A producer that counts what is stored.
pub(crate) struct Loader {
    pub(crate) producer: Producer,
    stored: Arc<AtomicU64>,
    sent: u64,
}

impl Loader {
    pub(crate) fn new(settings: &ClientSettings, linger: Duration) -> anyhow::Result<Self> {
        let stored = Arc::new(AtomicU64::new(0));
        let count = stored.clone();
        let profile = Profile {
            linger,
            ..Profile::default()
        };
        let producer = Producer::new(settings, &profile, move |report| {
            // What is not counted fails the flush.
            if report.result.is_ok() {
                count.fetch_add(1, Ordering::Relaxed);
            }
        })?;
        Ok(Self {
            producer,
            stored,
            sent: 0,
        })
    }

    /// Sends a value to a partition; stored only after [`Loader::finish`].
    pub(crate) fn put(
        &mut self,
        (topic, partition): (&str, i32),
        value: &[u8],
        headers: &[(&str, &[u8])],
    ) -> anyhow::Result<()> {
        let record = Outgoing {
            topic,
            partition: Some(partition),
            key: None,
            value: Some(value),
            headers,
            timestamp: None,
        };
        self.sent += 1;
        send(&self.producer, &record)
    }

    /// Waits until everything so far is stored; returns how many records that
    /// are.
    pub(crate) fn finish(&self) -> anyhow::Result<u64> {
        let flushed = self.producer.flush(PATIENCE);
        let stored = self.stored.load(Ordering::Relaxed);
        ensure!(
            flushed && stored == self.sent,
            "{stored} of {} records stored after {PATIENCE:?}",
            self.sent
        );
        Ok(stored)
    }
}

/// Deliveries to be made.
pub(crate) struct Deliveries<'a> {
    pub(crate) topic: String,
    pub(crate) lanes: NonZeroU16,
    pub(crate) endpoints: &'a [EndpointUid],
    pub(crate) fanout: usize,
    pub(crate) deliveries: u64,
    pub(crate) payload: usize,
}

impl Deliveries<'_> {
    /// Writes them as ingest would: per event one envelope a lane. Returns how
    /// many records and how many deliveries they are; the last event may make
    /// a few more than were asked for.
    pub(crate) fn store(&self, settings: &ClientSettings) -> anyhow::Result<(u64, u64)> {
        let mut loader = Loader::new(settings, Duration::from_millis(20))?;
        let payload = events::payload(0, self.payload);
        let events = self.deliveries.div_ceil(self.fanout as u64);
        let mut chosen = self.endpoints.iter().copied().cycle();
        for n in 0..events {
            let event = event_head(n);
            for (lane, targets) in self.targets(&event, &mut chosen) {
                let envelope = Envelope {
                    origin: Origin::Ingest { run: 1 },
                    event: event.clone(),
                    position: SourcePosition {
                        topic: "bench.events".to_owned(),
                        offset: i64::try_from(n)?,
                        ..SourcePosition::default()
                    },
                    chunk: Chunk { index: 0, count: 1 },
                    config: ConfigStamp::default(),
                    first_seen: SystemClock.now(),
                    targets,
                };
                let at = (self.topic.as_str(), lane.partition());
                loader.put(at, &envelope.encode(&payload), &[])?;
            }
        }
        Ok((loader.finish()?, events * self.fanout as u64))
    }

    fn targets(
        &self,
        event: &EventHead,
        chosen: &mut impl Iterator<Item = EndpointUid>,
    ) -> BTreeMap<Lane, Vec<Target>> {
        let mut by_lane: BTreeMap<Lane, Vec<Target>> = BTreeMap::new();
        for endpoint in chosen.take(self.fanout) {
            let subscription = SubscriptionUid(endpoint.0);
            let target = Target {
                delivery: DeliveryId::derive(TENANT, &event.source, &event.id, subscription),
                endpoint,
                subscription,
                attempt: 1,
                due: UnixMillis(0),
                delayed_at: UnixMillis(0),
                spills: 0,
            };
            let lane = lane_of(endpoint, self.lanes);
            by_lane.entry(lane).or_default().push(target);
        }
        by_lane
    }
}

/// What the `n`th event says of itself.
pub(crate) fn event_head(n: u64) -> EventHead {
    EventHead {
        tenant: Some(TENANT.to_owned()),
        source: EVENT_SOURCE.to_owned(),
        id: format!("e-{n}"),
        event_type: "order.created".to_owned(),
        content_type: Some("application/json".to_owned()),
        ..EventHead::default()
    }
}

/// Headers of a CloudEvent in binary mode.
pub(crate) fn cloud_event<'a>(id: &'a str, event_type: &'a str) -> [(&'a str, &'a [u8]); 5] {
    [
        ("ce_specversion", b"1.0"),
        ("ce_id", id.as_bytes()),
        ("ce_source", EVENT_SOURCE.as_bytes()),
        ("ce_type", event_type.as_bytes()),
        ("content-type", b"application/json"),
    ]
}
