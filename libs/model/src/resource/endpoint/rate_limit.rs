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

/// The fastest limit the bucket keeps exactly.
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
