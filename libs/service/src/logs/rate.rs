//! One line per key and interval, with the number of those left out.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Most keys remembered. 1,024 endpoints failing at once is already a story
/// for metrics; when full, what is over its interval is forgotten, and while
/// nothing is, new keys stay silent (and are counted as left out).
const KEYS_MAX: usize = 1_024;

/// Lets a log line through once per key and interval.
///
/// ```text
/// if let Some(left_out) = self.warnings.admit(endpoint, now) {
///     tracing::warn!(%endpoint, left_out, "endpoint refused by egress policy");
/// }
/// ```
#[derive(Debug)]
pub struct RateLimit<K> {
    every: Duration,
    seen: HashMap<K, Seen>,
    left_out_unseen: u64,
}

#[derive(Debug)]
struct Seen {
    at: Instant,
    left_out: u64,
}

impl<K: Eq + Hash> RateLimit<K> {
    /// At most one line per key in `every`.
    #[must_use]
    pub fn new(every: Duration) -> Self {
        Self {
            every,
            seen: HashMap::new(),
            left_out_unseen: 0,
        }
    }

    /// `Some(lines left out since the last one)` if this line may be written.
    pub fn admit(&mut self, key: K, now: Instant) -> Option<u64> {
        if let Some(seen) = self.seen.get_mut(&key) {
            if now.saturating_duration_since(seen.at) < self.every {
                seen.left_out += 1;
                return None;
            }
            seen.at = now;
            return Some(std::mem::take(&mut seen.left_out));
        }
        if self.seen.len() >= KEYS_MAX {
            self.forget_old(now);
        }
        if self.seen.len() >= KEYS_MAX {
            self.left_out_unseen += 1;
            return None;
        }
        self.seen.insert(
            key,
            Seen {
                at: now,
                left_out: 0,
            },
        );
        Some(std::mem::take(&mut self.left_out_unseen))
    }

    fn forget_old(&mut self, now: Instant) {
        let every = self.every;
        let mut forgotten = 0;
        self.seen.retain(|_, seen| {
            let young = now.saturating_duration_since(seen.at) < every;
            forgotten += if young { 0 } else { seen.left_out };
            young
        });
        self.left_out_unseen += forgotten;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_per_key_and_interval() {
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        let mut limit = RateLimit::new(Duration::from_secs(10));
        assert_eq!(limit.admit("a", at(0)), Some(0));
        assert_eq!(limit.admit("b", at(1)), Some(0));
        assert_eq!(limit.admit("a", at(2)), None);
        assert_eq!(limit.admit("a", at(9)), None);
        assert_eq!(limit.admit("a", at(10)), Some(2));
        assert_eq!(limit.admit("a", at(21)), Some(0));
    }

    #[test]
    fn memory_is_bounded_and_what_is_left_out_is_counted() {
        let start = Instant::now();
        let mut limit = RateLimit::new(Duration::from_secs(10));
        for key in 0..KEYS_MAX {
            assert_eq!(limit.admit(key, start), Some(0));
        }
        assert_eq!(limit.admit(9_999, start), None);
        assert_eq!(limit.admit(0, start), None);
        assert_eq!(limit.seen.len(), KEYS_MAX);
        let later = start + Duration::from_secs(11);
        assert_eq!(limit.admit(9_999, later), Some(2));
        assert_eq!(limit.seen.len(), 1);
    }
}
