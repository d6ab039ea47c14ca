//! The clocks: wall time for records, boot time for leases and waits.
//!
//! `CLOCK_BOOTTIME` goes on while the machine is suspended, which a lease
//! must notice; `std::time::Instant` does not. Tests set both by hand.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hooklane_model::time::{Clock, UnixMillis};
use rustix::time::{ClockId, Timespec, clock_gettime};

/// A clock that never goes back, in nanoseconds since an arbitrary start.
pub trait Monotonic: Send + Sync {
    /// Nanoseconds; comparable only within one boot of one machine.
    fn nanos(&self) -> u64;
}

/// The system's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(
        clippy::disallowed_methods,
        reason = "the one place that reads the wall clock"
    )]
    fn now(&self) -> UnixMillis {
        // A clock before 1970 reads as 1970: everything is due, nothing is lost.
        let since = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

/// The system's `CLOCK_BOOTTIME`.
#[derive(Clone, Copy, Debug, Default)]
pub struct BootClock;

impl Monotonic for BootClock {
    fn nanos(&self) -> u64 {
        to_nanos(clock_gettime(ClockId::Boottime))
    }
}

/// CPU time this process has used so far, user and system.
pub(crate) fn process_cpu_time() -> Duration {
    Duration::from_nanos(to_nanos(clock_gettime(ClockId::ProcessCPUTime)))
}

fn to_nanos(at: Timespec) -> u64 {
    // Neither clock is ever negative.
    let seconds = u64::try_from(at.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(at.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

/// Both clocks, moved by hand. They start at the times given and stand still.
#[derive(Debug)]
pub struct TestClock {
    wall_millis: AtomicU64,
    boot_nanos: AtomicU64,
}

impl TestClock {
    /// Wall time at `wall`, boot time at one second.
    #[must_use]
    pub fn at(wall: UnixMillis) -> Self {
        Self {
            wall_millis: AtomicU64::new(wall.0),
            boot_nanos: AtomicU64::new(1_000_000_000),
        }
    }

    /// Moves both clocks forward.
    pub fn advance(&self, by: Duration) {
        let millis = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.wall_millis.fetch_add(millis, Ordering::SeqCst);
        self.boot_nanos.fetch_add(nanos, Ordering::SeqCst);
    }

    /// Sets the wall clock alone, backwards too, as NTP may.
    pub fn set_wall(&self, wall: UnixMillis) {
        self.wall_millis.store(wall.0, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.wall_millis.load(Ordering::SeqCst))
    }
}

impl Monotonic for TestClock {
    fn nanos(&self) -> u64 {
        self.boot_nanos.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_time_moves_and_wall_time_is_this_century() {
        let first = BootClock.nanos();
        assert!(first > 0);
        while BootClock.nanos() == first {}
        assert!(BootClock.nanos() > first);
        assert!(SystemClock.now() > UnixMillis(1_600_000_000_000));
    }

    #[test]
    fn the_test_clock_moves_only_by_hand() {
        let clock = TestClock::at(UnixMillis(5_000));
        clock.advance(Duration::from_millis(1_500));
        assert_eq!(clock.now(), UnixMillis(6_500));
        assert_eq!(clock.nanos(), 2_500_000_000);
        clock.set_wall(UnixMillis(1));
        assert_eq!((clock.now(), clock.nanos()), (UnixMillis(1), 2_500_000_000));
    }
}
