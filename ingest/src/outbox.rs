//! What goes out: envelopes to their lanes, notes to the poison topic.
//!
//! Records leave in the order they came, so that in each lane the offsets of
//! one source partition rise; when the client's queue is full they wait here
//! and the caller stops reading. A record is encoded when it is sent: the
//! payload of an event that goes to many lanes is held once until then.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hooklane_kafka::producer::{
    Outgoing, ProduceError, Producer, ProducerError, Report, SendError,
};
use hooklane_kafka::settings::{ClientSettings, Compression, Profile};
use hooklane_kafka::topics::record_bytes_max;
use hooklane_model::envelope::Envelope;
use hooklane_model::lane::Lane;
use hooklane_model::record::NOTE_HEADER;
use hooklane_model::topic::TopicNames;

use crate::config::Config;

/// What the client's queue holds beyond the open bytes that stop reading: what
/// one event with a large payload and many lanes adds at once. Beyond that
/// records wait here, their payload shared.
const QUEUE_SLACK: usize = 32 << 20;
/// Longer is no lane worth batching for; shorter makes requests of one record.
const LINGER: Duration = Duration::from_millis(2);

/// A record to be stored.
#[derive(Debug)]
pub(crate) enum Out {
    /// For a lane.
    Envelope {
        lane: Lane,
        envelope: Box<Envelope>,
        payload: Bytes,
    },
    /// For the poison topic.
    Note {
        /// Of the source; spreads the notes.
        partition: i32,
        note: Vec<u8>,
        /// The original bytes, where there are any.
        value: Option<Bytes>,
    },
}

impl Out {
    /// About what the client will hold for it.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Envelope {
                envelope, payload, ..
            } => payload.len() + 256 + 64 * envelope.targets.len(),
            Self::Note { note, value, .. } => note.len() + value.as_ref().map_or(0, Bytes::len),
        }
    }
}

/// The producer and what waits for it.
pub(crate) struct Outbox {
    producer: Producer,
    /// Filled by the producer's poll on the caller's own thread. Bounded by
    /// the records in flight, which the open bytes bound.
    reports: Arc<Mutex<Vec<Report>>>,
    deliveries: String,
    poison: String,
    poison_partitions: i32,
    /// Bounded by the records of one event: the caller stops reading as soon
    /// as something waits here.
    waiting: VecDeque<(usize, Out)>,
}

impl Outbox {
    /// Blocks up to `timeout` for the partitions of the poison topic.
    pub(crate) fn new(
        settings: &ClientSettings,
        names: &TopicNames,
        config: &Config,
        timeout: Duration,
    ) -> Result<Self, ProducerError> {
        let reports: Arc<Mutex<Vec<Report>>> = Arc::default();
        let profile = Profile {
            linger: LINGER,
            // A record given up is a gap that later ones overtake.
            message_timeout: None,
            compression: Compression::Lz4,
            queue_bytes_max: config.open_bytes_max + QUEUE_SLACK,
            record_bytes_max: record_bytes_max(config.source_record_bytes_max),
        };
        let into = reports.clone();
        let producer = Producer::new(settings, &profile, move |report| locked(&into).push(report))?;
        let poison = names.poison();
        let poison_partitions = producer.partition_count(&poison, timeout)?.max(1);
        Ok(Self {
            producer,
            reports,
            deliveries: names.deliveries(),
            poison,
            poison_partitions,
            waiting: VecDeque::new(),
        })
    }

    /// Takes a record; it may wait for those before it.
    pub(crate) fn put(&mut self, token: usize, out: Out) {
        self.waiting.push_back((token, out));
    }

    /// Gives the client what it takes. Returns whether its queue is full.
    pub(crate) fn send(&mut self) -> bool {
        while let Some((token, out)) = self.waiting.front() {
            match self.try_send(*token, out) {
                Ok(()) => {}
                Err(SendError::QueueFull) => return true,
                Err(SendError::Refused(error)) => {
                    let report = Report {
                        token: *token,
                        result: Err(error),
                    };
                    locked(&self.reports).push(report);
                }
            }
            self.waiting.pop_front();
        }
        false
    }

    fn try_send(&self, token: usize, out: &Out) -> Result<(), SendError> {
        match out {
            Out::Envelope {
                lane,
                envelope,
                payload,
            } => {
                let frame = envelope.encode(payload);
                let record = Outgoing {
                    topic: &self.deliveries,
                    partition: Some(lane.partition()),
                    key: None,
                    value: Some(&frame),
                    headers: &[],
                    timestamp: None,
                };
                self.producer.send(&record, token)
            }
            Out::Note {
                partition,
                note,
                value,
            } => {
                let record = Outgoing {
                    topic: &self.poison,
                    partition: Some(partition.rem_euclid(self.poison_partitions)),
                    key: None,
                    // An empty value, not a tombstone, where there are no bytes.
                    value: Some(value.as_deref().unwrap_or_default()),
                    headers: &[(NOTE_HEADER, note)],
                    timestamp: None,
                };
                self.producer.send(&record, token)
            }
        }
    }

    /// The reports since the last call.
    pub(crate) fn reports(&mut self) -> Vec<Report> {
        self.producer.poll(Duration::ZERO);
        std::mem::take(&mut *locked(&self.reports))
    }

    /// Whether records wait for the client.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Why the producer is unusable, if it is.
    pub(crate) fn fatal_error(&self) -> Option<ProduceError> {
        self.producer.fatal_error()
    }

    /// Waits for all reports; `false` if some are missing at the deadline.
    pub(crate) fn flush(&self, deadline: Duration) -> bool {
        self.producer.flush(deadline)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
