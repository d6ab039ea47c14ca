//! One source record: decode, match, fan out.

use std::sync::Arc;

use hooklane_kafka::record::{Record, TimestampKind, TopicPartition};
use hooklane_model::envelope::SourcePosition;
use hooklane_model::resource::Source;
use hooklane_model::time::UnixMillis;

use super::Intake;
use crate::decode::{date, decode};
use crate::fanout::Fanout;
use crate::metrics::Fate;
use crate::outbox::Out;
use crate::poison;
use crate::view::run_of;

impl Intake {
    /// Takes a record in: its envelopes and notes are in the outbox, its
    /// offset in the tracker.
    pub(super) fn take(&mut self, record: &Record) {
        let tp = record.topic_partition();
        if self.draining || !self.progress.has(&tp) || self.is_going(&tp) {
            return; // not committed, so whoever owns it reads it again
        }
        let now = self.parts.clock.now();
        let event_at = match record.timestamp.kind {
            TimestampKind::None => now,
            _ => UnixMillis(u64::try_from(record.timestamp.millis).unwrap_or(0)),
        };
        self.parts.metrics.records.inc();
        let sources: Vec<Arc<Source>> = self.parts.view.sources_of(&record.topic).to_vec();
        let mut outs = Vec::new();
        for source in &sources {
            self.read_as(source, record, &tp, now, &mut outs);
        }
        if let Err(error) = self.progress.read(&tp, record.offset, outs.len(), event_at) {
            // It was taken before and is either done or on its way.
            self.parts.metrics.read_errors.inc();
            tracing::error!(topic = &*tp.topic, partition = tp.partition, %error, "read twice, passed over");
            return;
        }
        for out in outs {
            let targets = match &out {
                Out::Envelope { envelope, .. } => {
                    let targets = envelope.targets.len();
                    self.parts.metrics.envelope_targets.observe(targets as f64);
                    Some(targets)
                }
                Out::Note { .. } => None,
            };
            let size = (out.bytes(), targets);
            let token = self.progress.token(&tp, record.offset, size, event_at);
            self.parts.outbox.put(token, out);
        }
        if self.parts.outbox.is_waiting() && !self.queue_full {
            // Now, so that the record is on its way while the next is read. A
            // full queue shows when the turn settles.
            self.queue_full = self.parts.outbox.send();
        }
    }

    /// The record by the rules of one source.
    fn read_as(
        &mut self,
        source: &Source,
        record: &Record,
        tp: &TopicPartition,
        now: UnixMillis,
        outs: &mut Vec<Out>,
    ) {
        let metrics = &self.parts.metrics;
        let event = match decode(record, &source.spec) {
            Ok(event) => event,
            Err(reason) => {
                metrics.events.get(Fate::Poison).inc();
                let (name, offset) = (&source.meta.name, record.offset);
                let reason = format!("source {name}: {reason}");
                tracing::warn!(
                    topic = &*tp.topic,
                    partition = tp.partition,
                    offset,
                    reason,
                    "record is poison"
                );
                let note = poison::unreadable(tp, offset, &reason, now);
                let (partition, value) = (tp.partition, record.value.clone());
                outs.push(Out::Note {
                    partition,
                    note,
                    value,
                });
                return;
            }
        };
        let payload = record.value.clone().unwrap_or_default();
        metrics.payload_bytes.observe(payload.len() as f64);
        let stamp = self.parts.view.stamp;
        let matched = self.parts.view.find(source.uid(), &event.document());
        metrics.candidates.add(matched.candidates as u64);
        metrics.disabled_deliveries.add(matched.disabled as u64);
        if event.data.is_unreadable() {
            metrics.unparsed.inc();
        }
        if matched.interests.is_empty() {
            metrics.events.get(Fate::Unmatched).inc();
            return;
        }
        metrics.events.get(Fate::Matched).inc();
        let mut head = event.head;
        date(&mut head, record);
        let fanout = Fanout {
            event: head,
            position: SourcePosition {
                topic: record.topic.to_string(),
                topic_id: 0,
                partition: record.partition,
                offset: record.offset,
            },
            run: run_of(source),
            config: stamp,
            first_seen: now,
        };
        for (lane, envelope) in fanout.envelopes(&matched.interests, self.parts.lanes) {
            let envelope = Box::new(envelope);
            outs.push(Out::Envelope {
                lane,
                envelope,
                payload: payload.clone(),
            });
        }
    }
}
