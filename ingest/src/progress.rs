//! What was read, what is still open, and what may be committed.
//!
//! Each source partition has a tracker over its offsets; an offset is done
//! when all its envelopes are stored, at once if it has none. Sent records are
//! known by tokens. A partition that is taken away and comes back starts under
//! a new claim, so that late reports of the old one move nothing.

use std::collections::BTreeMap;

use hooklane_kafka::record::TopicPartition;
use hooklane_model::time::UnixMillis;
use hooklane_model::tracker::{Tracker, TrackerError};
use slab::Slab;

/// All partitions this process reads, and the records it has sent for them.
#[derive(Debug, Default)]
pub struct Progress {
    partitions: BTreeMap<TopicPartition, Partition>,
    /// Bounded by the caller, who stops reading: see `open_offsets` and
    /// `open_bytes`.
    sent: Slab<Sent>,
    bytes: usize,
    claims: u64,
}

#[derive(Debug)]
struct Partition {
    claim: u64,
    tracker: Tracker,
    /// What the group knows; the watermark is at least this.
    committed: i64,
    /// When the last event read came into its topic.
    read_at: UnixMillis,
}

/// A record that was given to the producer and not reported yet.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Where its event was read.
    pub partition: TopicPartition,
    /// The event's offset.
    pub offset: i64,
    /// When the event came into its topic.
    pub event_at: UnixMillis,
    /// Bytes the producer holds for it.
    pub bytes: usize,
    /// Targets inside; `None` for a note.
    pub targets: Option<usize>,
    claim: u64,
}

impl Progress {
    /// Begins with a partition at `next`, forgetting what was before.
    pub fn claim(&mut self, partition: TopicPartition, next: i64) {
        self.claims += 1;
        let claim = self.claims;
        let tracker = Tracker::new(next);
        let claimed = Partition {
            claim,
            tracker,
            committed: next,
            read_at: UnixMillis(0),
        };
        self.partitions.insert(partition, claimed);
    }

    /// Lets go of a partition; what is still open for it no longer counts.
    pub fn release(&mut self, partition: &TopicPartition) {
        self.partitions.remove(partition);
    }

    /// Lets go of all.
    pub fn release_all(&mut self) {
        self.partitions.clear();
    }

    /// Whether the partition is claimed.
    #[must_use]
    pub fn has(&self, partition: &TopicPartition) -> bool {
        self.partitions.contains_key(partition)
    }

    /// Notes that `offset` was read and has `parts` records to be stored.
    ///
    /// # Errors
    /// An offset that was read before.
    pub fn read(
        &mut self,
        partition: &TopicPartition,
        offset: i64,
        parts: usize,
        event_at: UnixMillis,
    ) -> Result<(), TrackerError> {
        if let Some(found) = self.partitions.get_mut(partition) {
            let parts = u32::try_from(parts).expect("fewer envelopes than lanes x 2^16");
            found.tracker.open(offset, parts)?;
            found.read_at = event_at;
        }
        Ok(())
    }

    /// A token for one of the records of an offset that was read.
    pub fn token(
        &mut self,
        partition: &TopicPartition,
        offset: i64,
        (bytes, targets): (usize, Option<usize>),
        event_at: UnixMillis,
    ) -> usize {
        let claim = self.partitions.get(partition).map_or(0, |p| p.claim);
        let partition = partition.clone();
        self.bytes += bytes;
        self.sent.insert(Sent {
            partition,
            offset,
            event_at,
            bytes,
            targets,
            claim,
        })
    }

    /// Notes that a bare note is sent in place of the record behind a token.
    pub fn replace_by_note(&mut self, token: usize) {
        if let Some(sent) = self.sent.get_mut(token) {
            self.bytes -= sent.bytes;
            sent.bytes = 0;
            sent.targets = None;
        }
    }

    /// The record behind a token.
    #[must_use]
    pub fn sent(&self, token: usize) -> Option<&Sent> {
        self.sent.get(token)
    }

    /// Notes that the record behind a token is stored, and frees the token.
    ///
    /// # Errors
    /// A mistake in the bookkeeping, which must stop the process before it
    /// commits something that is not done.
    pub fn stored(&mut self, token: usize) -> Result<Option<Sent>, TrackerError> {
        let Some(sent) = self.sent.try_remove(token) else {
            return Ok(None);
        };
        self.bytes -= sent.bytes;
        let of_claim = |p: &&mut Partition| p.claim == sent.claim;
        if let Some(found) = self.partitions.get_mut(&sent.partition).filter(of_claim) {
            found.tracker.finish(sent.offset)?;
        }
        Ok(Some(sent))
    }

    /// Offsets read and not done, or done above one that is not.
    #[must_use]
    pub fn open_offsets(&self) -> usize {
        self.partitions.values().map(|p| p.tracker.len()).sum()
    }

    /// Bytes of records sent and not reported.
    #[must_use]
    pub fn open_bytes(&self) -> usize {
        self.bytes
    }

    /// Whether everything read from these partitions is done.
    #[must_use]
    pub fn is_done<'a>(&self, mut of: impl Iterator<Item = &'a TopicPartition>) -> bool {
        of.all(|tp| self.partitions.get(tp).is_none_or(|p| p.tracker.is_empty()))
    }

    /// The partitions that are claimed.
    pub fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.partitions.keys()
    }

    /// What is done of a partition, and when the last event read came in.
    #[must_use]
    pub fn done(&self, partition: &TopicPartition) -> Option<(i64, UnixMillis)> {
        let found = self.partitions.get(partition)?;
        Some((found.tracker.watermark(), found.read_at))
    }

    /// What is done and the group does not know yet.
    #[must_use]
    pub fn to_commit(&self) -> Vec<(TopicPartition, i64)> {
        let moved = self
            .partitions
            .iter()
            .filter(|(_, p)| p.tracker.watermark() > p.committed);
        moved
            .map(|(tp, p)| (tp.clone(), p.tracker.watermark()))
            .collect()
    }

    /// Notes what the group knows now.
    pub fn committed(&mut self, offsets: &[(TopicPartition, i64)]) {
        for (tp, offset) in offsets {
            if let Some(found) = self.partitions.get_mut(tp) {
                // An answer to a former claim may come late and be higher.
                let known = (*offset).min(found.tracker.watermark());
                found.committed = found.committed.max(known);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: UnixMillis = UnixMillis(0);

    fn partition(n: i32) -> TopicPartition {
        TopicPartition::new("t", n)
    }

    #[test]
    fn an_offset_is_done_when_all_its_envelopes_are_stored() {
        let (mut progress, tp) = (Progress::default(), partition(0));
        progress.claim(tp.clone(), 5);
        progress.read(&tp, 5, 2, AT).unwrap();
        let tokens = [
            progress.token(&tp, 5, (10, None), AT),
            progress.token(&tp, 5, (20, None), AT),
        ];
        progress.read(&tp, 6, 0, AT).unwrap();
        assert_eq!((progress.open_offsets(), progress.open_bytes()), (2, 30));
        progress.stored(tokens[1]).unwrap();
        assert!(progress.to_commit().is_empty());
        assert!(!progress.is_done([&tp].into_iter()));
        progress.stored(tokens[0]).unwrap();
        assert_eq!(progress.to_commit(), [(tp.clone(), 7)]);
        assert_eq!((progress.open_offsets(), progress.open_bytes()), (0, 0));
        progress.committed(&[(tp.clone(), 7)]);
        assert!(progress.to_commit().is_empty());
        assert_eq!(progress.done(&tp), Some((7, AT)));
    }

    #[test]
    fn what_matches_nothing_is_done_at_once() {
        let (mut progress, tp) = (Progress::default(), partition(0));
        progress.claim(tp.clone(), 0);
        progress.read(&tp, 3, 0, AT).unwrap();
        assert_eq!(progress.to_commit(), [(tp, 4)]);
    }

    /// A report of a claim that ended must not finish the same offset of the
    /// next one, whose own record may still fail.
    #[test]
    fn a_late_report_of_a_former_claim_moves_nothing() {
        let (mut progress, tp) = (Progress::default(), partition(0));
        progress.claim(tp.clone(), 0);
        progress.read(&tp, 0, 1, AT).unwrap();
        let old = progress.token(&tp, 0, (1, None), AT);
        progress.release(&tp);
        progress.claim(tp.clone(), 0);
        progress.read(&tp, 0, 1, AT).unwrap();
        let new = progress.token(&tp, 0, (1, None), AT);
        progress.stored(old).unwrap();
        assert!(progress.to_commit().is_empty());
        progress.stored(new).unwrap();
        assert_eq!(progress.to_commit(), [(tp, 1)]);
        assert_eq!(progress.open_bytes(), 0);
    }

    #[test]
    fn a_refused_commit_is_asked_for_again() {
        let (mut progress, tp) = (Progress::default(), partition(1));
        progress.claim(tp.clone(), 0);
        progress.read(&tp, 0, 0, AT).unwrap();
        assert_eq!(progress.to_commit(), progress.to_commit());
        progress.committed(&[(tp.clone(), 900), (partition(7), 3)]);
        progress.read(&tp, 1, 0, AT).unwrap();
        assert_eq!(
            progress.to_commit(),
            [(tp, 2)],
            "nothing beyond what is done was believed"
        );
    }
}
