//! Which offsets of a partition are done, when they finish out of order.

use std::collections::VecDeque;

/// Offsets of one partition in the order they were read, each with a number
/// of parts (targets, envelopes) that finish in any order.
///
/// Offsets need not be dense: compaction and transaction markers leave gaps.
/// The watermark is what may be committed: the offset after the last one below
/// which everything is done.
///
/// Memory: one entry per offset from the oldest open one on, which the caller
/// bounds by what it takes in.
#[derive(Debug)]
pub struct Tracker {
    entries: VecDeque<Entry>,
    watermark: i64,
    open_parts: usize,
}

#[derive(Debug)]
struct Entry {
    offset: i64,
    open: u32,
}

/// The caller said something about an offset that cannot be: a bug in the
/// caller, reported instead of silently moving the watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrackerError {
    /// An offset was opened that does not lie above all opened before.
    #[error("offset {offset} opened after offset {last}")]
    NotRising {
        /// The offset opened.
        offset: i64,
        /// The highest one opened before.
        last: i64,
    },
    /// A part was finished of an offset that has no open parts.
    #[error("offset {offset} has no open part to finish")]
    NotOpen {
        /// The offset named.
        offset: i64,
    },
}

impl Tracker {
    /// A tracker that has read nothing; `next` is the offset reading starts
    /// at, and the watermark until something is done.
    #[must_use]
    pub fn new(next: i64) -> Self {
        Self {
            entries: VecDeque::new(),
            watermark: next,
            open_parts: 0,
        }
    }

    /// Notes that `offset` was read and has `parts` parts to finish; zero
    /// parts is done at once.
    ///
    /// # Errors
    /// [`TrackerError::NotRising`] when `offset` was already read.
    pub fn open(&mut self, offset: i64, parts: u32) -> Result<(), TrackerError> {
        let last = self.entries.back().map_or(self.watermark - 1, |e| e.offset);
        if offset <= last {
            return Err(TrackerError::NotRising { offset, last });
        }
        self.entries.push_back(Entry {
            offset,
            open: parts,
        });
        self.open_parts += parts as usize;
        self.advance();
        Ok(())
    }

    /// Notes that one part of `offset` is finished. Returns whether the
    /// watermark moved.
    ///
    /// # Errors
    /// [`TrackerError::NotOpen`] when that offset has no open part: it was
    /// finished twice, or never opened.
    pub fn finish(&mut self, offset: i64) -> Result<bool, TrackerError> {
        let not_open = TrackerError::NotOpen { offset };
        let at = self
            .entries
            .binary_search_by_key(&offset, |e| e.offset)
            .map_err(|_| not_open)?;
        let entry = &mut self.entries[at];
        entry.open = entry.open.checked_sub(1).ok_or(not_open)?;
        self.open_parts -= 1;
        Ok(at == 0 && self.advance())
    }

    /// The offset to commit: everything below it is done.
    #[must_use]
    pub fn watermark(&self) -> i64 {
        self.watermark
    }

    /// The oldest offset with an open part.
    #[must_use]
    pub fn oldest_open(&self) -> Option<i64> {
        self.entries.front().map(|e| e.offset)
    }

    /// Offsets held: the open ones and the done ones above an open one.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether everything read is done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Parts not finished yet, over all offsets.
    #[must_use]
    pub fn open_parts(&self) -> usize {
        self.open_parts
    }

    fn advance(&mut self) -> bool {
        let before = self.watermark;
        while let Some(entry) = self.entries.front().filter(|e| e.open == 0) {
            self.watermark = entry.offset + 1;
            self.entries.pop_front();
        }
        self.watermark != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn the_watermark_waits_for_the_oldest() {
        let mut tracker = Tracker::new(5);
        tracker.open(5, 2).unwrap();
        tracker.open(9, 1).unwrap();
        assert_eq!(tracker.finish(9), Ok(false));
        assert_eq!(tracker.watermark(), 5);
        assert_eq!(tracker.finish(5), Ok(false));
        assert_eq!(tracker.finish(5), Ok(true));
        assert_eq!(tracker.watermark(), 10);
        assert!(tracker.is_empty());
    }

    #[test]
    fn what_has_no_parts_is_done_at_once() {
        let mut tracker = Tracker::new(0);
        tracker.open(3, 0).unwrap();
        assert_eq!(tracker.watermark(), 4);
    }

    #[test]
    fn mistakes_are_reported() {
        let mut tracker = Tracker::new(0);
        tracker.open(3, 1).unwrap();
        assert_eq!(
            tracker.open(3, 1),
            Err(TrackerError::NotRising { offset: 3, last: 3 })
        );
        assert_eq!(tracker.finish(2), Err(TrackerError::NotOpen { offset: 2 }));
        tracker.finish(3).unwrap();
        assert_eq!(tracker.finish(3), Err(TrackerError::NotOpen { offset: 3 }));
        assert_eq!(
            tracker.open(1, 1),
            Err(TrackerError::NotRising { offset: 1, last: 3 })
        );
    }

    proptest! {
        /// Against a naive map: whatever the gaps, parts and finishing order,
        /// the watermark is the offset after the last prefix that is done.
        #[test]
        fn agrees_with_a_naive_model(
            gaps in prop::collection::vec((1i64..4, 0u32..4), 1..60),
            seed: u64,
        ) {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut tracker = Tracker::new(0);
            let mut model: BTreeMap<i64, u32> = BTreeMap::new();
            let mut parts = Vec::new();
            let mut offset = -1;
            for (gap, n) in gaps {
                offset += gap;
                tracker.open(offset, n).unwrap();
                model.insert(offset, n);
                parts.extend((0..n).map(|_| offset));
                while !parts.is_empty() && rng.bool() {
                    let done = parts.swap_remove(rng.usize(..parts.len()));
                    tracker.finish(done).unwrap();
                    *model.get_mut(&done).unwrap() -= 1;
                }
                let expected = model
                    .iter()
                    .take_while(|(_, open)| **open == 0)
                    .last()
                    .map_or(0, |(o, _)| o + 1);
                prop_assert_eq!(tracker.watermark(), expected);
                prop_assert_eq!(tracker.open_parts(), parts.len());
            }
        }
    }
}
