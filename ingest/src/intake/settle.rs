//! What became of the records that were given to the producer.

use hooklane_kafka::producer::{ProduceError, ProduceErrorKind, Report};

use super::Intake;
use crate::error::IngestError;
use crate::outbox::Out;
use crate::poison;
use crate::progress::Sent;

impl Intake {
    /// Gives the producer what waits, and takes what it reports.
    pub(super) fn settle(&mut self) -> Result<(), IngestError> {
        let full = self.parts.outbox.send();
        if full && !self.queue_full {
            self.parts.metrics.queue_full.inc();
        }
        self.queue_full = full;
        let reports = self.parts.outbox.reports();
        if reports.is_empty() {
            return Ok(());
        }
        let now = self.parts.clock.now();
        for Report { token, result } in reports {
            match result {
                Ok(_) => {
                    let sent = self.stored(token)?;
                    let Some(sent) = sent else { continue };
                    let metrics = &self.parts.metrics;
                    if let Some(targets) = sent.targets {
                        metrics.envelopes.inc();
                        metrics.matched_deliveries.add(targets as u64);
                        metrics
                            .event_seconds
                            .observe_duration(now.since(sent.event_at));
                    }
                }
                Err(error) => self.refused(token, error)?,
            }
        }
        Ok(())
    }

    fn stored(&mut self, token: usize) -> Result<Option<Sent>, IngestError> {
        let place = self.progress.sent(token).map(|sent| sent.partition.clone());
        self.progress.stored(token).map_err(|source| {
            let (topic, partition) =
                place.map_or_else(Default::default, |tp| (tp.topic.to_string(), tp.partition));
            IngestError::Progress {
                topic,
                partition,
                source,
            }
        })
    }

    /// A record that is too large becomes a note of where it lies; anything
    /// else that is permanent stops the process, which repeats it when a
    /// person has seen to it.
    fn refused(&mut self, token: usize, error: ProduceError) -> Result<(), IngestError> {
        self.parts.metrics.produce_errors.inc();
        let Some(sent) = self.progress.sent(token).cloned() else {
            return Ok(());
        };
        if let Some(fatal) = self.parts.outbox.fatal_error() {
            return Err(IngestError::ProducerFatal(fatal));
        }
        // A note of coordinates alone always fits.
        let bare_note = sent.targets.is_none() && sent.bytes == 0;
        if error.kind != ProduceErrorKind::TooLarge || bare_note {
            let (topic, partition) = (sent.partition.topic.to_string(), sent.partition.partition);
            return Err(IngestError::Produce {
                topic,
                partition,
                offset: sent.offset,
                source: error,
            });
        }
        let what = if sent.targets.is_some() {
            "its envelope"
        } else {
            "it, unreadable as it is,"
        };
        let reason = format!(
            "too_large: {what} does not fit into the topic ({error}); raise \
             ingest.source_record_bytes_max and the topics' max.message.bytes"
        );
        let (topic, partition, offset) = (
            &*sent.partition.topic,
            sent.partition.partition,
            sent.offset,
        );
        tracing::error!(
            topic,
            partition,
            offset,
            reason,
            "a record is too large to be passed on"
        );
        let note = poison::unreadable(
            &sent.partition,
            sent.offset,
            &reason,
            self.parts.clock.now(),
        );
        self.progress.replace_by_note(token);
        self.parts.outbox.put(
            token,
            Out::Note {
                partition,
                note,
                value: None,
            },
        );
        Ok(())
    }
}
