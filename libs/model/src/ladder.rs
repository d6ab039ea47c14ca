//! The retry ladder: delay topics whose records all wait equally long.
//!
//! Because every record of a rung waits the same time from its append, a rung
//! is first in, first out, and a head that is not due holds back nothing that
//! is. Any due time is reached by hopping from rung to rung: never early, and
//! late by at most [`tolerance`].

use std::time::Duration;

use crate::time::UnixMillis;

/// One delay topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rung {
    /// Waits of up to 15 s, held in the scheduler's bounded heap.
    Tail,
    /// 15 seconds.
    S15,
    /// 1 minute.
    M1,
    /// 5 minutes.
    M5,
    /// 30 minutes.
    M30,
    /// 2 hours.
    H2,
    /// 5 hours.
    H5,
    /// 10 hours.
    H10,
}

impl Rung {
    /// All rungs, shortest wait first.
    pub const ALL: [Self; 8] = [
        Self::Tail,
        Self::S15,
        Self::M1,
        Self::M5,
        Self::M30,
        Self::H2,
        Self::H5,
        Self::H10,
    ];

    /// The last part of the topic name, and the metric label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tail => "tail",
            Self::S15 => "15s",
            Self::M1 => "1m",
            Self::M5 => "5m",
            Self::M30 => "30m",
            Self::H2 => "2h",
            Self::H5 => "5h",
            Self::H10 => "10h",
        }
    }

    /// How long a record waits after its append; the tail waits for its due
    /// time instead, at most [`TAIL_MAX`].
    #[must_use]
    pub const fn wait(self) -> Duration {
        Duration::from_secs(match self {
            Self::Tail => 0,
            Self::S15 => 15,
            Self::M1 => 60,
            Self::M5 => 5 * 60,
            Self::M30 => 30 * 60,
            Self::H2 => 2 * 3600,
            Self::H5 => 5 * 3600,
            Self::H10 => 10 * 3600,
        })
    }
}

/// The longest wait the tail takes: where the smallest rung begins.
pub const TAIL_MAX: Duration = Rung::S15.wait();

/// Where a delivery goes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hop {
    /// It is due: back to its lane.
    Release,
    /// It waits on this rung.
    Wait(Rung),
}

/// How late a delivery may be: a tenth of its whole delay, at least 1 s.
///
/// The whole delay, not what is left of it, so that the last hop of a long
/// delay does not have to be split to the second.
#[must_use]
pub fn tolerance(delayed_at: UnixMillis, due: UnixMillis) -> Duration {
    (due.since(delayed_at) / 10).max(Duration::from_secs(1))
}

/// The next hop at `now` of a delivery that was delayed at `delayed_at` until
/// `due`.
///
/// A rung that ends within the tolerance after the due time finishes in one
/// hop; otherwise the longest rung that ends before it is taken, and the rest
/// is hopped from there.
#[must_use]
pub fn next_hop(now: UnixMillis, delayed_at: UnixMillis, due: UnixMillis) -> Hop {
    let left = due.since(now);
    if left.is_zero() {
        return Hop::Release;
    }
    if left <= TAIL_MAX {
        return Hop::Wait(Rung::Tail);
    }
    let latest = left + tolerance(delayed_at, due);
    let mut rungs = Rung::ALL[1..].iter().copied();
    let finishing = rungs
        .clone()
        .find(|r| left <= r.wait() && r.wait() <= latest);
    let longest_before = rungs.rfind(|r| r.wait() <= left);
    Hop::Wait(finishing.or(longest_before).unwrap_or(Rung::Tail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const T0: UnixMillis = UnixMillis(1_700_000_000_000);

    fn first_hop(secs: u64) -> Hop {
        next_hop(T0, T0, T0.after(Duration::from_secs(secs)))
    }

    #[test]
    fn the_default_schedule_takes_one_hop_each() {
        for (secs, rung) in [
            (5, Rung::Tail),
            (30, Rung::S15),
            (300, Rung::M5),
            (1_800, Rung::M30),
            (7_200, Rung::H2),
            (18_000, Rung::H5),
            (36_000, Rung::H10),
        ] {
            assert_eq!(first_hop(secs), Hop::Wait(rung), "{secs} s");
        }
    }

    #[test]
    fn what_is_due_is_released() {
        assert_eq!(first_hop(0), Hop::Release);
        assert_eq!(
            next_hop(T0.after(Duration::from_secs(9)), T0, T0),
            Hop::Release
        );
    }

    #[test]
    fn a_rung_that_ends_a_little_late_finishes() {
        // 57 s + 10 % reaches the minute; 50 s does not and is split.
        assert_eq!(first_hop(57), Hop::Wait(Rung::M1));
        assert_eq!(first_hop(50), Hop::Wait(Rung::S15));
    }

    /// Walks a delivery down the ladder as the scheduler would, and returns
    /// when it is released and the hops it took.
    fn walk(delay: Duration) -> (UnixMillis, u32) {
        let due = T0.after(delay);
        let (mut now, mut hops) = (T0, 0);
        while let Hop::Wait(rung) = next_hop(now, T0, due) {
            hops += 1;
            now = if rung == Rung::Tail {
                due
            } else {
                now.after(rung.wait())
            };
        }
        (now, hops)
    }

    proptest! {
        #[test]
        fn never_early_and_late_by_at_most_the_tolerance(secs in 0u64..400_000) {
            let delay = Duration::from_secs(secs);
            let due = T0.after(delay);
            let (released, hops) = walk(delay);
            prop_assert!(released >= due);
            prop_assert!(released.since(due) <= tolerance(T0, due));
            // A day is 2 x 10h + 2 x 2h; below that a rung repeats at most
            // four times. 400,000 s are eleven rungs of 10 h.
            prop_assert!(hops <= 24, "{hops} hops for {delay:?}");
        }
    }
}
