//! The token bucket of one endpoint: governor's, on the core's clock.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use governor::clock::{Clock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use hooklane_model::resource::RateLimit;

use crate::Mono;

/// The clock that all buckets of a core read: it stands still until told.
#[derive(Clone, Debug, Default)]
pub(crate) struct BucketClock(Arc<AtomicU64>);

impl BucketClock {
    pub(crate) fn set(&self, now: Mono) {
        self.0.store(now.0, Ordering::Relaxed);
    }

    /// Moves it on; never back.
    pub(crate) fn advance(&self, now: Mono) {
        self.0.fetch_max(now.0, Ordering::Relaxed);
    }

    pub(crate) fn mono(&self) -> Mono {
        Mono(self.0.load(Ordering::Relaxed))
    }
}

/// A point in time in governor's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant(u64);

impl Reference for Instant {
    fn duration_since(&self, earlier: Self) -> Nanos {
        Nanos::new(self.0.saturating_sub(earlier.0))
    }

    fn saturating_sub(&self, duration: Nanos) -> Self {
        Self(self.0.saturating_sub(duration.as_u64()))
    }
}

impl std::ops::Add<Nanos> for Instant {
    type Output = Self;
    fn add(self, duration: Nanos) -> Self {
        Self(self.0.saturating_add(duration.as_u64()))
    }
}

impl Clock for BucketClock {
    type Instant = Instant;
    fn now(&self) -> Instant {
        Instant(self.0.load(Ordering::Relaxed))
    }
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, BucketClock, NoOpMiddleware<Instant>>;

/// At most `w / period + burst` starts in any window `w`.
#[derive(Debug)]
pub(crate) struct Bucket {
    limiter: Limiter,
    limit: RateLimit,
    clock: BucketClock,
    /// When it will hold its whole burst, if nothing more is taken.
    full_at: Mono,
}

impl Bucket {
    /// A bucket that was empty at `empty_at`: a new owner does not know what
    /// the former one spent, so it begins with nothing and earns from there.
    pub(crate) fn empty_since(limit: RateLimit, clock: &BucketClock, empty_at: Mono) -> Self {
        let now = clock.mono();
        // Set back while the bucket is made, so that it earns from then on.
        clock.set(empty_at);
        let bucket = Self::with_level(limit, clock, 0);
        clock.set(now);
        bucket
    }

    fn with_level(limit: RateLimit, clock: &BucketClock, level: u32) -> Self {
        let quota = Quota::with_period(limit.period)
            .expect("a rate limit's period is not zero")
            .allow_burst(limit.burst);
        let limiter = RateLimiter::direct_with_clock(quota, clock.clone());
        let spent = limit.burst.get().saturating_sub(level);
        if let Some(n) = NonZeroU32::new(spent) {
            let took = limiter.check_n(n);
            debug_assert!(matches!(took, Ok(Ok(()))), "a full bucket holds its burst");
        }
        let full_at = clock.mono().after(limit.period * spent);
        Self {
            limiter,
            limit,
            clock: clock.clone(),
            full_at,
        }
    }

    /// Takes one token at a time that may be later than the core's clock.
    pub(crate) fn take_at(&mut self, now: Mono) -> Result<(), Mono> {
        self.clock.advance(now);
        self.take()
    }

    /// When it holds so many tokens, if none is taken; `None` if it never
    /// does.
    pub(crate) fn holds_at(&self, tokens: u32) -> Option<Mono> {
        let spare = self.limit.burst.get().checked_sub(tokens)?;
        let spare = self.limit.period * spare;
        let spare = u64::try_from(spare.as_nanos()).unwrap_or(u64::MAX);
        Some(Mono(self.full_at.0.saturating_sub(spare)))
    }

    /// Takes one token, or says when there will be one.
    pub(crate) fn take(&mut self) -> Result<(), Mono> {
        let taken = self.limiter.check();
        taken.map_err(|not_until| Mono(not_until.earliest_possible().0))?;
        self.full_at = self.full_at.max(self.clock.mono()).after(self.limit.period);
        Ok(())
    }

    /// When it will hold its whole burst, if nothing more is taken.
    pub(crate) fn full_at(&self) -> Mono {
        self.full_at
    }

    /// The bucket under another limit, at the level it has: an edit gives no
    /// fresh burst.
    pub(crate) fn changed_to(self, limit: RateLimit) -> Self {
        let level = self.drain_level();
        Self::with_level(limit, &self.clock, level.min(limit.burst.get()))
    }

    /// Empties the bucket and returns what was in it, by halving steps:
    /// governor tells no level.
    fn drain_level(&self) -> u32 {
        let mut level = 0;
        let mut step = self.limit.burst.get().next_power_of_two();
        while let Some(n) = NonZeroU32::new(step) {
            if matches!(self.limiter.check_n(n), Ok(Ok(()))) {
                level += step;
            } else {
                step /= 2;
            }
        }
        level
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn limit(period_ms: u64, burst: u32) -> RateLimit {
        RateLimit {
            period: Duration::from_millis(period_ms),
            burst: NonZeroU32::new(burst).unwrap(),
        }
    }

    fn at(ms: u64) -> Mono {
        Mono(1_000_000_000_000 + ms * 1_000_000)
    }

    #[test]
    fn a_new_owner_begins_with_nothing() {
        let clock = BucketClock::default();
        clock.set(at(0));
        let mut bucket = Bucket::empty_since(limit(100, 5), &clock, at(0));
        assert_eq!(bucket.take(), Err(at(100)));
        clock.set(at(100));
        assert_eq!(bucket.take(), Ok(()));
        assert_eq!(bucket.take(), Err(at(200)));
    }

    #[test]
    fn it_earns_since_the_claim_not_since_the_first_delivery() {
        let clock = BucketClock::default();
        clock.set(at(350));
        let mut bucket = Bucket::empty_since(limit(100, 5), &clock, at(0));
        assert_eq!(clock.mono(), at(350));
        let taken = (0..9).take_while(|_| bucket.take().is_ok()).count();
        assert_eq!(taken, 3);
    }

    #[test]
    fn an_edit_carries_the_level_over() {
        let clock = BucketClock::default();
        clock.set(at(10_000));
        let mut bucket = Bucket::empty_since(limit(100, 10), &clock, at(0));
        for _ in 0..7 {
            bucket.take().unwrap();
        }
        let mut bucket = bucket.changed_to(limit(50, 100));
        let taken = (0..200).take_while(|_| bucket.take().is_ok()).count();
        assert_eq!(taken, 3);
    }

    proptest! {
        /// In every window: starts <= window / period + burst.
        #[test]
        fn no_window_exceeds_the_limit(
            period_ms in 1u64..200, burst in 1u32..20,
            steps in prop::collection::vec(0u64..300, 1..300),
        ) {
            let clock = BucketClock::default();
            clock.set(at(0));
            let mut bucket = Bucket::empty_since(limit(period_ms, burst), &clock, at(0));
            let (mut ms, mut starts) = (0, Vec::new());
            for step in steps {
                ms += step;
                clock.set(at(ms));
                while bucket.take().is_ok() {
                    starts.push(ms);
                }
            }
            for (i, first) in starts.iter().enumerate() {
                for (j, last) in starts.iter().enumerate().skip(i) {
                    let allowed = (last - first) / period_ms + u64::from(burst);
                    prop_assert!((j - i + 1) as u64 <= allowed);
                }
            }
        }
    }
}
