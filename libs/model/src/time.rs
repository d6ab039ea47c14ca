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
        let millis = i64::try_from(self.0).unwrap_or(i64::MAX);
        match jiff::Timestamp::from_millisecond(millis) {
            Ok(at) => format!("{at:.3}"),
            Err(_) => format!("unix-ms:{millis}"),
        }
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

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(UnixMillis(5).since(UnixMillis(9)), Duration::ZERO);
        assert_eq!(
            UnixMillis(u64::MAX).after(Duration::from_secs(1)),
            UnixMillis(u64::MAX)
        );
    }
}
