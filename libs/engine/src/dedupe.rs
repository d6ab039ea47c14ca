//! Repeats of a delivery that follow each other closely.
//!
//! A scheduler or ingest that crashed between a produce and its commit writes
//! the same (delivery, attempt) again. The second is dropped if the first was
//! read under the same claim within the window. That is safe: both lie in the
//! same lane, so the watermark cannot pass the first one before it is settled.

use std::collections::VecDeque;
use std::time::Duration;

use hooklane_model::envelope::Target;
use hooklane_model::id::{DeliveryId, IdSet};

use crate::Mono;

/// How long a repeat is recognised.
const WINDOW: Duration = Duration::from_secs(60);
/// The most remembered per lane; the oldest are forgotten first. At 64 bytes
/// each this is about 1 MiB a lane, and 270 deliveries a second for the whole
/// window; beyond that the window shrinks, which costs repeats after a crash.
const ENTRIES_MAX: usize = 16_384;

/// A delivery that was parked comes back under a new spill count, and one
/// that failed under a new attempt: both are new.
type Key = (DeliveryId, u16, u16);

#[derive(Debug, Default)]
pub(crate) struct Dedupe {
    seen: IdSet<Key>,
    order: VecDeque<(Mono, Key)>,
}

impl Dedupe {
    /// Whether the target was seen within the window; notes it if not.
    pub(crate) fn is_repeat(&mut self, now: Mono, target: &Target) -> bool {
        while let Some((at, key)) = self.order.front() {
            if now.since(*at) < WINDOW && self.order.len() < ENTRIES_MAX {
                break;
            }
            self.seen.remove(key);
            self.order.pop_front();
        }
        let key = (target.delivery, target.attempt, target.spills);
        if !self.seen.insert(key) {
            return true;
        }
        self.order.push_back((now, key));
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hooklane_model::id::{EndpointUid, SubscriptionUid};
    use hooklane_model::time::UnixMillis;

    fn target(id: u128, attempt: u16, spills: u16) -> Target {
        Target {
            delivery: DeliveryId(id),
            endpoint: EndpointUid(1),
            subscription: SubscriptionUid(1),
            attempt,
            due: UnixMillis(0),
            delayed_at: UnixMillis(0),
            spills,
        }
    }

    #[test]
    fn only_the_same_attempt_within_the_window_is_a_repeat() {
        let mut dedupe = Dedupe::default();
        let at = |s: u64| Mono(s * 1_000_000_000);
        assert!(!dedupe.is_repeat(at(0), &target(1, 1, 0)));
        assert!(dedupe.is_repeat(at(59), &target(1, 1, 0)));
        assert!(!dedupe.is_repeat(at(59), &target(1, 2, 0)));
        assert!(!dedupe.is_repeat(at(59), &target(1, 1, 1)));
        assert!(!dedupe.is_repeat(at(61), &target(1, 1, 0)));
    }

    #[test]
    fn memory_is_bounded() {
        let mut dedupe = Dedupe::default();
        for id in 0..2 * ENTRIES_MAX as u128 {
            assert!(!dedupe.is_repeat(Mono(0), &target(id, 1, 0)));
        }
        assert!(dedupe.seen.len() <= ENTRIES_MAX && dedupe.order.len() <= ENTRIES_MAX);
    }
}
