//! `Retry-After`: reading what a receiver asks for.
//!
//! Pure, and never negative: a hint may only make us wait longer, so what
//! can't be understood is no hint (the retry schedule stands), never a zero.
//! How long is too long is the caller's to say (it caps by maxAge).

use std::time::Duration;

use hooklane_model::time::UnixMillis;
use http::HeaderValue;

/// A receiver's wish not to be called before some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// This long after the response.
    Delay(Duration),
    /// Not before this time.
    At(UnixMillis),
}

/// Longest value taken literally; anything beyond saturates here. Ten years:
/// far above every maxAge, far below any overflow.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A header longer than this is no date and no sane number.
const TEXT_MAX: usize = 64;

impl RetryAfter {
    /// Reads a header value: seconds (a fraction is taken, rounded up to the
    /// millisecond; too many digits saturate) or an HTTP date in any of its
    /// three forms. Negative, signed, empty and anything else: `None`.
    #[must_use]
    pub fn parse(value: &HeaderValue) -> Option<Self> {
        let text = value.to_str().ok()?.trim_matches([' ', '\t']);
        if text.is_empty() || text.len() > TEXT_MAX {
            return None;
        }
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            return seconds(text).map(Self::Delay);
        }
        let at = httpdate::parse_http_date(text).ok()?;
        // The parser takes years from 1970 on, so this can't be negative.
        let since = at.duration_since(std::time::UNIX_EPOCH).ok()?;
        Some(Self::At(UnixMillis(0).after(since)))
    }

    /// How long to wait from `now`; zero when that time has passed.
    #[must_use]
    pub fn wait(self, now: UnixMillis) -> Duration {
        match self {
            Self::Delay(delay) => delay,
            Self::At(at) => at.since(now).min(RETRY_AFTER_MAX),
        }
    }
}

fn seconds(text: &str) -> Option<Duration> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    // Only digits are left, so a failure to parse is an overflow.
    let whole = whole.parse::<u64>().unwrap_or(u64::MAX);
    let delay = Duration::from_secs(whole.min(RETRY_AFTER_MAX.as_secs()));
    Some((delay + fraction_millis(fraction)).min(RETRY_AFTER_MAX))
}

/// Rounded up: never earlier than asked.
fn fraction_millis(digits: &str) -> Duration {
    let mut millis = 0;
    for at in 0..3 {
        let digit = digits.as_bytes().get(at).map_or(0, |b| u64::from(b - b'0'));
        millis = millis * 10 + digit;
    }
    let more = digits.bytes().skip(3).any(|b| b != b'0');
    Duration::from_millis(millis + u64::from(more))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Option<RetryAfter> {
        RetryAfter::parse(&HeaderValue::from_str(text).unwrap())
    }

    #[test]
    fn table() {
        let delay = |millis| Some(RetryAfter::Delay(Duration::from_millis(millis)));
        let at = |millis| Some(RetryAfter::At(UnixMillis(millis)));
        let cases = [
            ("120", delay(120_000)),
            ("0", delay(0)),
            (" 5 ", delay(5_000)),
            ("007", delay(7_000)),
            ("1.5", delay(1_500)),
            ("0.0001", delay(1)),
            ("2.", delay(2_000)),
            ("1.2504", delay(1_251)),
            ("-1", None),
            ("+1", None),
            (".5", None),
            ("1e3", None),
            ("1 2", None),
            ("10s", None),
            ("", None),
            ("soon", None),
            ("1.5.1", None),
            ("NaN", None),
            ("inf", None),
            (
                "1000000000000000000",
                Some(RetryAfter::Delay(RETRY_AFTER_MAX)),
            ),
            (
                "99999999999999999999999999999",
                Some(RetryAfter::Delay(RETRY_AFTER_MAX)),
            ),
            ("Sun, 06 Nov 1994 08:49:37 GMT", at(784_111_777_000)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", at(784_111_777_000)),
            ("Sun Nov  6 08:49:37 1994", at(784_111_777_000)),
            ("Sun, 06 Nov 1994 08:49:37", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), expected, "{text:?}");
        }
        assert_eq!(
            RetryAfter::parse(&HeaderValue::from_bytes(b"\xff1").unwrap()),
            None
        );
    }

    #[test]
    fn a_time_that_has_passed_is_no_wait() {
        let at = RetryAfter::At(UnixMillis(5_000));
        assert_eq!(at.wait(UnixMillis(9_000)), Duration::ZERO);
        assert_eq!(at.wait(UnixMillis(4_000)), Duration::from_secs(1));
        assert_eq!(
            RetryAfter::At(UnixMillis(u64::MAX)).wait(UnixMillis(0)),
            RETRY_AFTER_MAX
        );
    }

    proptest! {
        #[test]
        fn never_panics_and_never_exceeds_the_cap(bytes in proptest::collection::vec(any::<u8>(), 0..80), now in any::<u64>()) {
            if let Ok(value) = HeaderValue::from_bytes(&bytes)
                && let Some(hint) = RetryAfter::parse(&value)
            {
                prop_assert!(hint.wait(UnixMillis(now)) <= RETRY_AFTER_MAX);
            }
        }

        #[test]
        fn any_number_of_seconds_is_never_early(whole in 0_u64..100_000, fraction in "[0-9]{0,9}") {
            let text = format!("{whole}.{fraction}");
            let asked: f64 = format!("{text}0").parse().unwrap();
            let Some(RetryAfter::Delay(delay)) = parse(&text) else { panic!("{text}") };
            prop_assert!(delay.as_secs_f64() + 1e-9 >= asked);
            prop_assert!(delay.as_secs_f64() < asked + 0.0010001);
        }

        #[test]
        fn dates_round_trip(secs in 0_u64..250_000_000_000) {
            let at = std::time::UNIX_EPOCH + Duration::from_secs(secs);
            prop_assert_eq!(parse(&httpdate::fmt_http_date(at)), Some(RetryAfter::At(UnixMillis(secs * 1_000))));
        }
    }
}
