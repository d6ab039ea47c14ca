//! How many wait, how many bytes, and since when: coarse ages in little room.

use std::collections::BTreeMap;
use std::time::Duration;

use hooklane_model::time::UnixMillis;

/// Most ages told apart. Beyond it they are counted half as finely, so that
/// the span from the oldest to the newest is always cut into at least half
/// as many parts: an age is off by a few per cent of that span.
const BUCKETS_MAX: usize = 64;
/// The finest ages told apart: 2^10 ms, about a second.
const FINEST: u32 = 10;

/// A count of things by when their event was first seen.
#[derive(Debug)]
pub(crate) struct Ages {
    shift: u32,
    buckets: BTreeMap<u64, Bucket>,
    count: u64,
    bytes: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    count: u64,
    bytes: u64,
}

impl Default for Ages {
    fn default() -> Self {
        Self {
            shift: FINEST,
            buckets: BTreeMap::new(),
            count: 0,
            bytes: 0,
        }
    }
}

impl Ages {
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// When the oldest was seen, rounded down.
    pub(crate) fn oldest(&self) -> Option<UnixMillis> {
        let (oldest, _) = self.buckets.first_key_value()?;
        Some(UnixMillis(oldest << self.shift))
    }

    /// Counts by when they were seen (rounded down), oldest first.
    pub(crate) fn by_age(&self) -> impl Iterator<Item = (UnixMillis, u64)> + '_ {
        self.buckets
            .iter()
            .map(|(at, bucket)| (UnixMillis(at << self.shift), bucket.count))
    }

    /// How many were seen before a time, or about then.
    pub(crate) fn older_than(&self, time: UnixMillis) -> u64 {
        let buckets = self.buckets.range(..=time.0 >> self.shift);
        buckets.map(|(_, bucket)| bucket.count).sum()
    }

    pub(crate) fn add(&mut self, first_seen: UnixMillis, bytes: u64) {
        let bucket = self.buckets.entry(first_seen.0 >> self.shift).or_default();
        bucket.count += 1;
        bucket.bytes += bytes;
        self.count += 1;
        self.bytes += bytes;
        if self.buckets.len() > BUCKETS_MAX {
            self.coarsen();
        }
    }

    fn coarsen(&mut self) {
        self.shift += 1;
        for (at, old) in std::mem::take(&mut self.buckets) {
            let bucket = self.buckets.entry(at >> 1).or_default();
            bucket.count += old.count;
            bucket.bytes += old.bytes;
        }
    }

    /// Takes one out that was seen then; nothing, if none was counted.
    pub(crate) fn remove(&mut self, first_seen: UnixMillis, bytes: u64) {
        let at = first_seen.0 >> self.shift;
        let Some(bucket) = self.buckets.get_mut(&at) else {
            return;
        };
        let bytes = bytes.min(bucket.bytes);
        bucket.count -= 1;
        bucket.bytes -= bytes;
        self.count -= 1;
        self.bytes -= bytes;
        if bucket.count == 0 {
            self.bytes -= bucket.bytes;
            self.buckets.remove(&at);
        }
        if self.buckets.is_empty() {
            *self = Self::default();
        }
    }

    /// Forgets what was seen before a time: whatever became of it, it has
    /// ended by now.
    pub(crate) fn forget_before(&mut self, time: UnixMillis) {
        while let Some(oldest) = self.buckets.first_entry() {
            if (oldest.key() + 1) << self.shift > time.0 {
                break;
            }
            let bucket = oldest.remove();
            self.count -= bucket.count;
            self.bytes -= bucket.bytes;
        }
    }
}

/// When the first of some waiting deliveries will be too old, if they start
/// one per `interval` from `start` on, oldest first; `None` when all make it.
///
/// Without an interval nothing starts: the oldest expires.
pub(crate) fn first_to_expire(
    waiting: impl Iterator<Item = (UnixMillis, u64)>,
    (start, interval): (UnixMillis, Option<Duration>),
    max_age: Duration,
) -> Option<UnixMillis> {
    let mut turn = start;
    for (first_seen, count) in waiting {
        let expires = first_seen.after(max_age);
        let Some(interval) = interval else {
            return Some(expires);
        };
        let nanos = interval.as_nanos().saturating_mul(u128::from(count));
        let millis = u64::try_from(nanos / 1_000_000).unwrap_or(u64::MAX);
        turn = UnixMillis(turn.0.saturating_add(millis));
        if turn > expires {
            return Some(expires);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: u64 = 1_700_000_000_000;

    #[test]
    fn counts_close_and_the_oldest_is_known_roughly() {
        let mut ages = Ages::default();
        let seen = |i: u64| UnixMillis(T0 + i * 7_000);
        for i in 0..10_000 {
            ages.add(seen(i), 100);
        }
        assert!(ages.buckets.len() <= BUCKETS_MAX);
        assert_eq!((ages.count(), ages.bytes()), (10_000, 1_000_000));
        let oldest = ages.oldest().unwrap();
        assert!(oldest <= seen(0) && seen(0).since(oldest) < Duration::from_secs(3_000));
        for i in 0..10_000 {
            ages.remove(seen(i), 100);
        }
        assert_eq!((ages.count(), ages.bytes()), (0, 0));
        assert_eq!(ages.oldest(), None);
        // What was never counted is not taken out.
        ages.add(seen(0), 1);
        ages.remove(seen(9_000), 1);
        assert_eq!(ages.count(), 1);
    }

    #[test]
    fn what_is_too_old_to_be_anywhere_is_forgotten() {
        let mut ages = Ages::default();
        ages.add(UnixMillis(T0), 5);
        ages.add(UnixMillis(T0 + 60_000), 5);
        ages.forget_before(UnixMillis(T0 + 30_000));
        assert_eq!((ages.count(), ages.bytes()), (1, 5));
    }

    #[test]
    fn the_first_to_expire_is_the_one_whose_turn_comes_too_late() {
        let at = |s: u64| UnixMillis(s * 1_000);
        let hour = Duration::from_secs(3_600);
        // Two a second: the first 100 make it, the 10,000 seen later do not.
        let waiting = || [(at(0), 100), (at(60), 10_000)].into_iter();
        let every = Some(Duration::from_millis(500));
        assert_eq!(
            first_to_expire(waiting(), (at(100), every), hour),
            Some(at(3_660))
        );
        let every = Some(Duration::from_millis(10));
        assert_eq!(first_to_expire(waiting(), (at(100), every), hour), None);
        assert_eq!(
            first_to_expire(waiting(), (at(100), None), hour),
            Some(at(3_600))
        );
    }
}
