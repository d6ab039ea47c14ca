//! Time as the core is told it.

use std::time::Duration;

use hooklane_model::time::UnixMillis;

/// Nanoseconds of a clock that never goes back and counts suspended time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(pub u64);

impl Mono {
    /// The time `wait` later, saturating.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        let nanos = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }

    /// How long after `earlier` this is; zero if it is not later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// The same moment on both clocks: the monotonic one for waits and limits,
/// the wall clock for what is written into records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Monotonic.
    pub mono: Mono,
    /// Wall.
    pub wall: UnixMillis,
}

impl Now {
    /// The wall time of a monotonic time at or after now.
    #[must_use]
    pub fn wall_at(self, mono: Mono) -> UnixMillis {
        // Up to the next millisecond, so that what is due is never early.
        let wait = mono.since(self.mono) + Duration::from_nanos(999_999);
        self.wall.after(wait)
    }

    /// The monotonic time of a wall time; now, if that is past.
    #[must_use]
    pub fn mono_at(self, wall: UnixMillis) -> Mono {
        self.mono.after(wall.since(self.wall))
    }
}
