//! How many requests may start per time.

use std::num::NonZeroU32;
use std::time::Duration;

use super::{HOUR, MINUTE, SECOND, small};
use crate::fields::{Fields, Findings};

/// In every window `w`: at most `w / period + burst` requests started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Time per request, rounded up so that the limit is never exceeded.
    pub period: Duration,
    /// Requests that may start at once after a quiet time.
    pub burst: NonZeroU32,
}

impl RateLimit {
    /// The limit that keeps to `own`, and to so many requests in any minute:
    /// what its receiver allows.
    ///
    /// `burst` starts at once and one every `period` are at most
    /// `burst + ceil(minute / period) - 1` within a minute. A receiver's word
    /// gives no burst, so a second's worth is taken, which costs a sixtieth of
    /// the rate. Neither bound depends on `own`: whatever edits of it come
    /// within a minute, no more than `per_minute` start.
    #[must_use]
    pub fn within(own: Option<Self>, per_minute: NonZeroU32) -> Self {
        // Beyond what the bucket keeps exactly: the cap of every limit.
        let most = per_minute.get().min(MINUTE_MOST);
        let burst = 1 + most / 60;
        let period = MINUTE.as_nanos().div_ceil(u128::from(most - burst + 1));
        let period = Duration::from_nanos(u64::try_from(period).unwrap_or(u64::MAX));
        let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
        own.map_or(Self { period, burst }, |own| Self {
            period: own.period.max(period),
            burst: own.burst.min(burst),
        })
    }
}

/// The fastest limit the bucket keeps exactly, by the minute.
const MINUTE_MOST: u32 = 3_000_000;
/// The same by the second.
const RATE_MAX: f64 = 50_000.0;
/// The longest time that an empty bucket may take to fill. Buckets count
/// nanoseconds in 64 bits; beyond 584 years a level would wrap and the limit
/// would not hold.
const FILL_MAX: Duration = Duration::from_secs(10 * 365 * 86_400);

pub(super) fn read_rate_limit(fields: &mut Fields, findings: &mut Findings) -> Option<RateLimit> {
    let path = fields.path_of("rateLimit");
    let mut object = fields.object("rateLimit", findings)?;
    let (mut named, mut rates) = (0, Vec::new());
    for (field, per) in [
        ("perSecond", SECOND),
        ("perMinute", MINUTE),
        ("perHour", HOUR),
    ] {
        if object.has(field) {
            named += 1;
            let max = RATE_MAX * per.as_secs_f64();
            let rate = object.number(field, (1.0 / 3_600.0, max), findings);
            rates.extend(rate.map(|rate| (rate, per)));
        } else {
            let _absent = object.take(field);
        }
    }
    let burst_path = object.path_of("burst");
    let burst = object.integer("burst", (1, 1_000_000), findings);
    object.finish(findings);
    let [(rate, per)] = rates[..] else {
        // One that is there and wrong has been reported as that.
        if named != 1 {
            findings.problem(path, "give exactly one of perSecond, perMinute, perHour");
        }
        return None;
    };
    let default_burst = rate.ceil().clamp(1.0, RATE_MAX);
    // Whole and within 1 to 50,000: the cast is exact.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped above"
    )]
    let burst = small(burst, default_burst as u32);
    let period = period(rate, per);
    let most = FILL_MAX.as_nanos() / period.as_nanos();
    if u128::from(burst) > most {
        let reason = format!(
            "expected at most {most}: at this rate {burst} take more than ten years to gather"
        );
        findings.problem(burst_path, reason);
        return None;
    }
    Some(RateLimit {
        period,
        burst: NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN),
    })
}

/// Time per request in whole nanoseconds, rounded up.
fn period(rate: f64, per: Duration) -> Duration {
    let nanos = (per.as_secs_f64() / rate * 1e9).ceil();
    // The smallest rate is one per 3,600 hours: 1.3e16 ns, far below 2^63.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bounded above"
    )]
    Duration::from_nanos(nanos as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limit(period: Duration, burst: u32) -> RateLimit {
        let burst = NonZeroU32::new(burst).unwrap();
        RateLimit { period, burst }
    }

    /// Starts within a minute of one who takes all that there is, from a full
    /// bucket on.
    fn most_in_a_minute(limit: RateLimit) -> u128 {
        let later = (1u128..).take_while(|n| limit.period.as_nanos() * n < MINUTE.as_nanos());
        u128::from(limit.burst.get()) + later.count() as u128
    }

    #[test]
    fn what_a_receiver_allows_caps_the_limit() {
        let within = |own, n| RateLimit::within(own, NonZeroU32::new(n).unwrap());
        let millis = Duration::from_millis;
        assert_eq!(within(None, 1), limit(MINUTE, 1));
        assert_eq!(within(None, 6), limit(millis(10_000), 1));
        assert_eq!(within(None, 61).burst.get(), 2);
        let own = limit(millis(1_000), 5);
        assert_eq!(within(Some(own), 600), own, "slower than is allowed");
        assert_eq!(within(Some(own), 62), limit(millis(1_000), 2));
        let own = limit(millis(1), 1_000);
        assert_eq!(within(Some(own), 60), within(None, 60));
        assert_eq!(within(None, u32::MAX), within(None, MINUTE_MOST));
    }

    proptest! {
        #[test]
        fn no_minute_sees_more_than_is_allowed(
            allowed in 1u32..5_000, own in prop::option::of((1u64..100_000, 1u32..10_000)),
        ) {
            let own = own.map(|(millis, burst)| limit(Duration::from_millis(millis), burst));
            let within = RateLimit::within(own, NonZeroU32::new(allowed).unwrap());
            prop_assert!(most_in_a_minute(within) <= u128::from(allowed));
            if let Some(own) = own {
                prop_assert!(within.period >= own.period && within.burst <= own.burst);
            }
        }
    }
}
