//! Offsets that are not in their log any more.

use hooklane_kafka::record::TopicPartition;

use super::Intake;
use crate::error::IngestError;
use crate::outbox::Out;
use crate::poison;

/// A partition whose position is not in its log.
#[derive(Clone, Debug)]
pub(super) struct Lost {
    pub(super) partition: TopicPartition,
    pub(super) position: Option<i64>,
    pub(super) low: i64,
    pub(super) high: i64,
}

impl Lost {
    /// How many records, and why. `None` if nothing was there to be lost.
    fn account(&self) -> Option<(u64, String)> {
        let position = self.position?;
        if position < self.low {
            let count = u64::try_from(self.low - position).unwrap_or(0);
            return Some((
                count,
                "retention took them before they were read".to_owned(),
            ));
        }
        let reason = format!(
            "the log ends at {}: the topic was created anew, or a leader lost its end",
            self.high
        );
        Some((1, reason))
    }
}

impl Intake {
    /// Notes what is lost and goes on at the log start, as soon as everything
    /// that was read before is done: until the note is stored the group's
    /// offset stays, and a crash finds the same gap again.
    pub(super) fn note_lost(&mut self) -> Result<(), IngestError> {
        let found = std::mem::take(&mut self.lost);
        for lost in found {
            if !self.progress.has(&lost.partition) {
                continue;
            }
            if self.progress.is_done([&lost.partition].into_iter()) {
                self.note_one(&lost)?;
            } else {
                self.lost.push(lost);
            }
        }
        Ok(())
    }

    fn note_one(&mut self, lost: &Lost) -> Result<(), IngestError> {
        let tp = &lost.partition;
        if self
            .progress
            .done(tp)
            .is_some_and(|(done, _)| done == lost.low)
        {
            // Noted already, and the client had not got there yet when it
            // looked at all its partitions again. Nothing was read since.
            self.parts.consumer.seek(tp, lost.low)?;
            return Ok(());
        }
        let before = lost.low - 1;
        self.progress.claim(tp.clone(), before);
        let mut parts = 0;
        let now = self.parts.clock.now();
        if let Some((count, reason)) = lost.account() {
            let from = lost.position.unwrap_or(lost.low);
            let (topic, partition, low) = (&*tp.topic, tp.partition, lost.low);
            tracing::error!(
                topic,
                partition,
                from,
                low,
                reason,
                "source records are lost; going on at the log start"
            );
            self.parts.metrics.lost.add(count);
            let note = poison::lost(tp, (from, low.max(from)), &reason, now);
            let token = self.progress.token(tp, before, (note.len(), None), now);
            self.parts.outbox.put(
                token,
                Out::Note {
                    partition,
                    note,
                    value: None,
                },
            );
            parts = 1;
        }
        // The note stands for the offset before the log start, so that the
        // watermark reaches the start when it is stored, and not before.
        let opened = self.progress.read(tp, before, parts, now);
        opened.map_err(|source| IngestError::Progress {
            topic: tp.topic.to_string(),
            partition: tp.partition,
            source,
        })?;
        self.parts.consumer.seek(tp, lost.low)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(position: Option<i64>) -> Lost {
        Lost {
            partition: TopicPartition::new("t", 0),
            position,
            low: 10,
            high: 20,
        }
    }

    #[test]
    fn a_gap_is_counted_and_a_reset_is_named() {
        let (count, reason) = lost(Some(4)).account().unwrap();
        assert_eq!(count, 6);
        assert!(reason.contains("retention"));
        let (count, reason) = lost(Some(25)).account().unwrap();
        assert_eq!(count, 1);
        assert!(reason.contains("ends at 20"));
        assert!(lost(None).account().is_none());
    }
}
