//! Writing what the schedule decided, and telling it what became of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hooklane_kafka::producer::{
    Outgoing, ProduceError, ProduceErrorKind, Producer, ProducerError, Report, SendError,
};
use hooklane_kafka::settings::{ClientSettings, Profile};
use hooklane_model::ladder::Rung;
use hooklane_model::record::{NOTE_HEADER, PoisonNote};

use super::OwnerError;
use crate::metrics::Metrics;
use crate::schedule::{DelayPartition, Destination, Failure, Note, Now, Produce, Schedule};
use crate::topics::Topics;

/// The producer and what was given to it.
pub(crate) struct Outbox {
    pub(crate) producer: Producer,
    /// Filled within the producer's poll, on this thread, and emptied after
    /// it. Bounded by what is in flight: the schedule's limit.
    reports: Arc<Mutex<Vec<Report>>>,
    /// What a record counts as once it is written. Bounded like the reports.
    sent: HashMap<usize, Counts>,
    /// A record that the producer had no room for: nothing overtakes it.
    unsent: Option<Produce>,
}

#[derive(Clone, Copy)]
enum Counts {
    Released(Rung),
    Hopped(Rung),
    Poison,
    Lost(u64),
}

impl Outbox {
    pub(crate) fn new(settings: &ClientSettings) -> Result<Self, ProducerError> {
        let reports = Arc::new(Mutex::new(Vec::new()));
        let sink = reports.clone();
        let producer = Producer::new(settings, &Profile::default(), move |report| {
            sink.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(report);
        })?;
        Ok(Self {
            producer,
            reports,
            sent: HashMap::new(),
            unsent: None,
        })
    }

    /// Gives the producer what was decided, as far as it has room.
    pub(super) fn send(
        &mut self,
        schedule: &mut Schedule,
        topics: &Topics,
        metrics: &Metrics,
        now: Now,
    ) -> Result<(), OwnerError> {
        while let Some(produce) = self.unsent.take().or_else(|| schedule.take_produce()) {
            let token = produce.token;
            match self.give(&produce, topics, now) {
                Ok(counts) => {
                    self.sent.insert(token, counts);
                    if let Destination::Lane { from, late, .. } = produce.to {
                        metrics.late(from, late);
                    }
                }
                Err(SendError::QueueFull) => {
                    self.unsent = Some(produce);
                    return Ok(());
                }
                Err(SendError::Refused(error)) => {
                    schedule.reported(token, Err(failure(error, metrics)?), now);
                }
            }
        }
        Ok(())
    }

    fn give(&self, produce: &Produce, topics: &Topics, now: Now) -> Result<Counts, SendError> {
        let value = produce.value.as_deref();
        let (topic, partition, counts) = match &produce.to {
            Destination::Lane { lane, from, .. } => (
                topics.deliveries.as_str(),
                Some(lane.partition()),
                Counts::Released(*from),
            ),
            Destination::Rung { to, partition, .. } => {
                (topics.delay(*to), Some(*partition), Counts::Hopped(*to))
            }
            Destination::Poison { at, offset, note } => {
                let counts = match note {
                    Note::Poison(_) => Counts::Poison,
                    Note::Lost { until } => Counts::Lost(until.abs_diff(*offset)),
                };
                let json = note_json(topics, *at, *offset, note, now);
                let headers: &[(&str, &[u8])] = &[(NOTE_HEADER, &json)];
                let topic = topics.poison.as_str();
                let record = Outgoing {
                    topic,
                    partition: None,
                    key: None,
                    value,
                    headers,
                    timestamp: None,
                };
                self.producer.send(&record, produce.token)?;
                return Ok(counts);
            }
        };
        let record = Outgoing {
            topic,
            partition,
            key: None,
            value,
            headers: &[],
            timestamp: None,
        };
        self.producer.send(&record, produce.token)?;
        Ok(counts)
    }

    /// Tells the schedule what was written and what was not.
    pub(super) fn reports(
        &mut self,
        schedule: &mut Schedule,
        metrics: &Metrics,
        now: Now,
    ) -> Result<(), OwnerError> {
        self.producer.poll(Duration::ZERO);
        let reports =
            std::mem::take(&mut *self.reports.lock().unwrap_or_else(PoisonError::into_inner));
        for Report { token, result } in reports {
            let counts = self.sent.remove(&token);
            let result = match result {
                Ok(_) => {
                    counts.into_iter().for_each(|counts| count(metrics, counts));
                    Ok(())
                }
                Err(error) => Err(failure(error, metrics)?),
            };
            schedule.reported(token, result, now);
        }
        Ok(())
    }
}

fn count(metrics: &Metrics, counts: Counts) {
    match counts {
        Counts::Released(from) => metrics.released(from),
        Counts::Hopped(to) => metrics.hopped(to),
        Counts::Poison => metrics.poison.inc(),
        Counts::Lost(records) => metrics.lost.add(records),
    }
}

/// What a failure means for its record; fatal ones end the process.
fn failure(error: ProduceError, metrics: &Metrics) -> Result<Failure, OwnerError> {
    metrics.produce_error(error.kind);
    match error.kind {
        ProduceErrorKind::Fatal => return Err(OwnerError::Producer(error)),
        ProduceErrorKind::TooLarge => {
            tracing::error!(%error, "record too large for its topic: raise max.message.bytes");
            return Ok(Failure::TooLarge);
        }
        ProduceErrorKind::Unauthorized
        | ProduceErrorKind::UnknownTopic
        | ProduceErrorKind::TimedOut
        | ProduceErrorKind::Other => {
            tracing::warn!(%error, "record not written; it is tried again");
        }
    }
    Ok(Failure::Other)
}

fn note_json(topics: &Topics, at: DelayPartition, offset: i64, note: &Note, now: Now) -> Vec<u8> {
    let (kind, reason, until) = match note {
        Note::Poison(reason) => ("poison", reason.clone(), None),
        Note::Lost { until } => (
            "lost",
            "retention took it before it was read".to_owned(),
            Some(*until),
        ),
    };
    let note = PoisonNote {
        kind: kind.to_owned(),
        reason,
        topic: topics.delay(at.rung).to_owned(),
        partition: at.partition,
        offset,
        until,
        at: now.wall.to_rfc3339(),
    };
    serde_json::to_vec(&note).expect("strings and numbers always serialise")
}
