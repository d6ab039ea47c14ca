//! How much of what an endpoint gets may be retries that fail again.
//!
//! Retries of an endpoint that fails part of the time come on top of what is
//! new, and are most when it can bear them least. So they have a budget: a
//! share of the first attempts, and some a second besides. One that does not
//! fail gives its place back, so that nothing is held up once the endpoint is
//! well again. What finds no place is parked, and spends no attempt.

use std::time::Duration;

use crate::{Limits, Mono};

/// Places that come back by themselves: for endpoints that get little, and
/// when nothing new comes. The figures are those of linkerd's retry budgets:
/// ten a second, counted over ten seconds.
const PER_SECOND: u32 = 10;
const FLOOR: u32 = PER_SECOND * 10;
const EVERY: Duration = Duration::from_millis(1_000 / PER_SECOND as u64);

/// The places left, in hundredths.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RetryBudget {
    left: u32,
    /// As of then.
    at: Mono,
    /// The turn of the last one that was put off.
    turn: Mono,
}

/// One place.
const PLACE: u32 = 100;

impl RetryBudget {
    pub(crate) fn new(now: Mono) -> Self {
        Self {
            left: FLOOR * PLACE,
            at: now,
            turn: Mono(0),
        }
    }

    fn refill(&mut self, now: Mono, slots: u32) {
        let passed = now.since(self.at).as_millis() * u128::from(PER_SECOND * PLACE) / 1_000;
        if passed > 0 {
            self.at = now;
            let passed = u32::try_from(passed).unwrap_or(u32::MAX);
            self.left = self.left.saturating_add(passed).min(most(slots));
        }
    }

    /// Whether a retry may start; otherwise when the next one that asks may
    /// be expected to.
    pub(crate) fn admits(&mut self, now: Mono, slots: u32) -> Result<(), Mono> {
        self.refill(now, slots);
        if self.left >= PLACE {
            return Ok(());
        }
        self.turn = self.turn.max(now).after(EVERY);
        Err(self.turn)
    }

    /// A request starts: the first attempt of a delivery, or another.
    pub(crate) fn started(&mut self, retry: bool, limits: &Limits, slots: u32) {
        self.left = if retry {
            self.left.saturating_sub(PLACE)
        } else {
            let share = limits.retry_percent * PLACE / 100;
            self.left.saturating_add(share).min(most(slots))
        };
    }

    /// A retry ended, and did not fail as an endpoint fails.
    pub(crate) fn did_well(&mut self, slots: u32) {
        self.left = self.left.saturating_add(PLACE).min(most(slots));
    }

    /// From when on it has no less than a new one.
    pub(crate) fn full_at(&self) -> Mono {
        let missing = (FLOOR * PLACE).saturating_sub(self.left);
        if missing == 0 {
            return Mono(0);
        }
        self.at
            .after(EVERY * missing.div_ceil(PLACE))
            .max(self.turn)
    }
}

/// Never fewer than the requests it may have open: a queue of retries to an
/// endpoint that is well must not run out of places.
fn most(slots: u32) -> u32 {
    FLOOR.max(slots) * PLACE
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limits(retry_percent: u32) -> Limits {
        Limits {
            queue_wait: Duration::from_secs(10),
            slots: 100,
            bytes: 1 << 20,
            tenant_percent: 50,
            retry_percent,
        }
    }

    proptest! {
        /// Failing retries are at most the floor and the share of the first
        /// attempts, over any time from the beginning on.
        #[test]
        fn failing_retries_stay_within_the_share(
            steps in proptest::collection::vec((0_u64..400, 0_u32..20), 1..300),
            percent in 0_u32..=100,
        ) {
            let limits = limits(percent);
            let mut now = Mono(1_000_000_000);
            let begun = now;
            let mut budget = RetryBudget::new(now);
            let (mut retries, mut firsts) = (0_u32, 0_u32);
            for (millis, new) in steps {
                now = now.after(Duration::from_millis(millis));
                for _ in 0..new {
                    budget.started(false, &limits, 8);
                    firsts += 1;
                }
                while budget.admits(now, 8).is_ok() {
                    budget.started(true, &limits, 8);
                    retries += 1;
                }
                let seconds = now.since(begun).as_secs_f64();
                let most = 100.0 + 10.0 * seconds + f64::from(firsts * percent) / 100.0;
                prop_assert!(f64::from(retries) <= most + 1e-6, "{retries} of {most}");
            }
        }
    }

    #[test]
    fn what_is_put_off_gets_a_turn_each() {
        let limits = limits(20);
        let now = Mono(1_000_000_000);
        let mut budget = RetryBudget::new(now);
        for _ in 0..100 {
            assert_eq!(budget.admits(now, 8), Ok(()));
            budget.started(true, &limits, 8);
        }
        let at = |millis| Err(now.after(Duration::from_millis(millis)));
        assert_eq!(budget.admits(now, 8), at(100));
        assert_eq!(budget.admits(now, 8), at(200));
        budget.did_well(8);
        assert_eq!(budget.admits(now, 8), Ok(()));
    }
}
