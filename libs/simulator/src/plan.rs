//! What kind of world a seed makes.

use std::num::NonZeroU16;
use std::time::Duration;

use hooklane_engine::Limits;

/// The faults that may strike in a world.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// kill -9 and a restart.
    pub(crate) crashes: bool,
    /// An orderly stop and a restart.
    pub(crate) stops: bool,
    /// SIGSTOP, and SIGCONT after a time that may exceed the session.
    pub(crate) freezes: bool,
    /// Cut off from the coordinator.
    pub(crate) cuts: bool,
    /// Wall clocks that step.
    pub(crate) wall: bool,
    /// A broker that takes seconds.
    pub(crate) slow_broker: bool,
    /// Commits that land late, after others.
    pub(crate) late_commits: bool,
    /// Schedulers and ingests that write twice.
    pub(crate) repeats: bool,
    /// Lanes that start over under another claim.
    pub(crate) restarted_lanes: bool,
}

impl Faults {
    fn any(self) -> bool {
        self.crashes
            || self.stops
            || self.freezes
            || self.cuts
            || self.wall
            || self.slow_broker
            || self.late_commits
            || self.repeats
            || self.restarted_lanes
    }
}

/// The shape of a world.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) faults: Faults,
    /// No fault at all: the strict rules hold, too.
    pub(crate) calm: bool,
    pub(crate) lanes: NonZeroU16,
    pub(crate) processes: usize,
    pub(crate) workers: usize,
    pub(crate) endpoints: usize,
    pub(crate) limits: Limits,
    /// Mean time between events, in microseconds.
    pub(crate) arrival_micros: u64,
    /// Receivers fail more or less.
    pub(crate) trouble: u32,
    /// Of 100 events, so many are for one tenant only.
    pub(crate) hot_percent: u32,
    /// Endpoints that this tenant has besides.
    pub(crate) crowd: usize,
    /// Endpoints with a rate limit, of 100.
    pub(crate) limited_percent: u32,
    /// Configuration changes; else none.
    pub(crate) churn: bool,
    /// Receivers refuse the credentials of some requests, which are made again
    /// with others within the attempt.
    pub(crate) refusals: bool,
    /// Some endpoints ask their receivers for consent first.
    pub(crate) consent: bool,
}

impl Plan {
    /// Worlds from this one on have refusals.
    const REFUSALS: u64 = 1 << 20;
    /// And from this one on receivers must agree first, too. What is new has
    /// worlds of its own, so that the others keep their histories.
    const CONSENT: u64 = 1 << 21;

    pub(crate) fn of(seed: u64, rng: &mut fastrand::Rng) -> Self {
        let calm = rng.u32(0..4) == 0;
        let mut some = || !calm && rng.bool();
        let faults = Faults {
            crashes: some(),
            stops: some(),
            freezes: some(),
            cuts: some(),
            wall: some() && some(),
            slow_broker: some() && some(),
            late_commits: some(),
            repeats: some(),
            restarted_lanes: some() && some(),
        };
        let slots = [6, 16, 60, 400][rng.usize(0..4)];
        let plan = Self {
            calm: !faults.any(),
            faults,
            lanes: NonZeroU16::new(rng.u16(1..7)).unwrap_or(NonZeroU16::MIN),
            processes: rng.usize(1..4),
            workers: rng.usize(1..3),
            endpoints: rng.usize(3..30),
            limits: Limits {
                queue_wait: Duration::from_secs(10),
                slots,
                bytes: [64 << 10, 1 << 20, 16 << 20][rng.usize(0..3)],
                tenant_percent: 50,
                retry_percent: 20,
            },
            arrival_micros: [4_000, 20_000, 100_000, 400_000][rng.usize(0..4)],
            trouble: rng.u32(0..60),
            hot_percent: [0, 0, 90, 99][rng.usize(0..4)],
            crowd: [0, 0, 0, 60][rng.usize(0..4)],
            limited_percent: [0, 40, 90][rng.usize(0..3)],
            churn: rng.u32(0..3) > 0,
            refusals: seed >= Self::REFUSALS,
            consent: seed >= Self::CONSENT,
        };
        Self {
            processes: if plan.calm {
                plan.processes
            } else {
                plan.processes.max(2)
            },
            // That a full budget stops the reading shows only where nothing
            // gives way before it is full.
            limits: Limits {
                tenant_percent: if plan.hot_percent == 0 && plan.limits.bytes < 1 << 20 {
                    100
                } else {
                    plan.limits.tenant_percent
                },
                ..plan.limits
            },
            ..plan
        }
    }
}
