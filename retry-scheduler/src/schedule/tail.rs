//! The tail: deliveries that wait at most 15 seconds, in order of due time.

use std::collections::BTreeMap;

use hooklane_model::time::UnixMillis;

use super::{DelayPartition, Work};

/// A heap that never holds more than its bounds. Its records lie in the tail
/// topic until they are written, so forgetting it loses nothing.
#[derive(Debug)]
pub(super) struct Tail {
    /// By due time, then in the order they came.
    waiting: BTreeMap<(UnixMillis, u64), Work>,
    arrivals: u64,
    bytes: usize,
    entries_max: usize,
    bytes_max: usize,
}

impl Tail {
    pub(super) fn new(entries_max: usize, bytes_max: usize) -> Self {
        Self {
            waiting: BTreeMap::new(),
            arrivals: 0,
            bytes: 0,
            entries_max,
            bytes_max,
        }
    }

    /// Keeps `work` until `due`, or gives it back when that is over a bound.
    pub(super) fn push(&mut self, due: UnixMillis, work: Work) -> Result<(), Work> {
        let bytes = self.bytes + work.bytes();
        if self.waiting.len() >= self.entries_max || bytes > self.bytes_max {
            return Err(work);
        }
        self.bytes = bytes;
        self.arrivals += 1;
        self.waiting.insert((due, self.arrivals), work);
        Ok(())
    }

    /// Takes out the earliest, if its time has come.
    pub(super) fn pop_due(&mut self, wall: UnixMillis) -> Option<Work> {
        let first = self.waiting.first_entry().filter(|e| e.key().0 <= wall)?;
        let work = first.remove();
        self.bytes -= work.bytes();
        Some(work)
    }

    pub(super) fn next_due(&self) -> Option<UnixMillis> {
        self.waiting.first_key_value().map(|((due, _), _)| *due)
    }

    /// Forgets what was read from `at`.
    pub(super) fn remove(&mut self, at: DelayPartition) {
        let bytes = &mut self.bytes;
        self.waiting.retain(|_, work| {
            let stays = work.at != at;
            if !stays {
                *bytes -= work.bytes();
            }
            stays
        });
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many are due at `wall`, and since when the first one is.
    pub(super) fn due(&self, wall: UnixMillis) -> impl Iterator<Item = UnixMillis> + '_ {
        self.waiting
            .keys()
            .map(|(due, _)| *due)
            .take_while(move |due| *due <= wall)
    }
}
