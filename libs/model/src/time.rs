//! Points in time as the records carry them.

use std::fmt;
use std::time::Duration;

use bincode::{Decode, Encode};

/// Wall-clock time in milliseconds since the Unix epoch.
///
/// Records that outlive a process (due times, first-seen times) carry this
/// and never a monotonic clock, which means nothing to the next process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// The time `wait` later, saturating at the end of the representable range.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }

    /// How long after `earlier` this is; zero if it is not later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// RFC 3339 in UTC with milliseconds, as the JSON records show it.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        String::from(&*self.text())
    }

    /// [`UnixMillis::to_rfc3339`] on the stack, for what is written for every
    /// attempt: a tenth of the time that a general formatter takes.
    #[must_use]
    pub fn text(self) -> TimeText {
        TimeText::new(self)
    }

    /// Reads what [`UnixMillis::to_rfc3339`] wrote, or any RFC 3339 time.
    ///
    /// Returns `None` for anything else and for times before 1970.
    #[must_use]
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        let at: jiff::Timestamp = text.parse().ok()?;
        u64::try_from(at.as_millisecond()).ok().map(Self)
    }
}

/// A time in RFC 3339, on the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeText {
    bytes: [u8; TimeText::LEN_MAX],
    len: u8,
}

impl TimeText {
    /// `unix-ms:` and 20 digits, for years that RFC 3339 does not have.
    const LEN_MAX: usize = 28;

    fn new(at: UnixMillis) -> Self {
        let day = at.0 / 86_400_000;
        let Some((year, month, date)) = civil(day) else {
            return Self::other(&format!("unix-ms:{}", at.0));
        };
        let millis = at.0 % 86_400_000;
        let mut text = Self::other("0000-00-00T00:00:00.000Z");
        text.put(0..4, year);
        text.put(5..7, month);
        text.put(8..10, date);
        text.put(11..13, millis / 3_600_000);
        text.put(14..16, millis / 60_000 % 60);
        text.put(17..19, millis / 1_000 % 60);
        text.put(20..23, millis % 1_000);
        text
    }

    fn other(text: &str) -> Self {
        let mut bytes = [0; Self::LEN_MAX];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        let len = u8::try_from(text.len()).expect("as long as LEN_MAX at most");
        Self { bytes, len }
    }

    fn put(&mut self, at: std::ops::Range<usize>, mut number: u64) {
        for digit in self.bytes[at].iter_mut().rev() {
            *digit = b"0123456789"[usize::try_from(number % 10).unwrap_or(0)];
            number /= 10;
        }
    }
}

impl std::ops::Deref for TimeText {
    type Target = str;

    fn deref(&self) -> &str {
        let text = &self.bytes[..usize::from(self.len)];
        std::str::from_utf8(text).expect("copied from a str, digits put over digits")
    }
}

/// Year, month and date of a day since 1970, in the Gregorian calendar; `None`
/// from the year 10000 on. Years begin in March here, so that the leap day is
/// the last of its year.
fn civil(day: u64) -> Option<(u64, u64, u64)> {
    // Days from 0000-03-01 to 1970-01-01.
    let day = day.checked_add(719_468)?;
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // March to July and August to December repeat a pattern of 153 days.
    let from_march = (5 * of_year + 2) / 153;
    let date = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year < 10_000).then_some((year, month, date))
}

impl fmt::Display for UnixMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

/// Where wall time comes from. Services inject the system's clock, tests set
/// their own; the standard library's is banned by clippy outside one place.
pub trait Clock: Send + Sync {
    /// The current wall-clock time.
    fn now(&self) -> UnixMillis;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_round_trips_to_the_millisecond() {
        let at = UnixMillis(1_614_265_330_042);
        assert_eq!(at.to_rfc3339(), "2021-02-25T15:02:10.042Z");
        assert_eq!(UnixMillis::from_rfc3339(&at.to_rfc3339()), Some(at));
        assert_eq!(UnixMillis::from_rfc3339("yesterday"), None);
    }

    proptest::proptest! {
        /// Up to the last time that the other formatter knows, 26 hours before
        /// the year 10000.
        #[test]
        fn the_text_is_what_a_general_formatter_writes(millis in 0..253_402_207_200_000u64) {
            let at = jiff::Timestamp::from_millisecond(i64::try_from(millis).unwrap()).unwrap();
            proptest::prop_assert_eq!(&*UnixMillis(millis).text(), format!("{at:.3}"));
        }
    }

    #[test]
    fn leap_days_and_the_ends_of_years_have_their_text() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (1_735_689_599_999, "2024-12-31T23:59:59.999Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
            (253_402_300_800_000, "unix-ms:253402300800000"),
            (u64::MAX, "unix-ms:18446744073709551615"),
        ] {
            assert_eq!(UnixMillis(millis).to_rfc3339(), text);
        }
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(UnixMillis(5).since(UnixMillis(9)), Duration::ZERO);
        assert_eq!(
            UnixMillis(u64::MAX).after(Duration::from_secs(1)),
            UnixMillis(u64::MAX)
        );
    }
}
