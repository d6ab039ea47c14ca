//! Liveness and readiness.
//!
//! Liveness is heartbeats and nothing else: a loop that no longer turns needs
//! a restart. It must never depend on brokers, lag or receivers, or their
//! outage would restart the fleet. Readiness is the phase, named conditions,
//! and loops that stand still; it gates rollouts.
//!
//! A loop that stands still is found in two steps: at half of what it may take
//! it is reported and the process is not ready, at all of it the process is
//! not alive. A loop says what it does, so that the report can say where it
//! stands.

pub(crate) mod watch;

use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Monotonic;
use crate::lifecycle::{Lifecycle, Phase};
use crate::metrics::{LabelValue, MetricsError, Registry};

/// The heartbeats and conditions of one service. Clones share them.
#[derive(Clone)]
pub struct Probes {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Arc<dyn Monotonic>,
    lifecycle: Lifecycle,
    /// One per long-lived loop; bounded by the service's threads.
    beats: Mutex<Vec<Arc<Beat>>>,
    conditions: Mutex<Vec<Arc<Flag>>>,
}

struct Beat {
    name: String,
    max_age: Duration,
    last_nanos: AtomicU64,
    /// What the loop does, of `steps`.
    step: AtomicUsize,
    steps: Vec<&'static str>,
}

struct Flag {
    name: &'static str,
    met: AtomicBool,
}

/// A loop whose last turn is too long ago.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stale {
    /// The heartbeat's name.
    pub name: String,
    /// What it did when it was last heard of.
    pub doing: &'static str,
    /// Time since the last beat.
    pub age: Duration,
    /// The most it may be.
    pub max_age: Duration,
}

impl Probes {
    /// No heartbeats, no conditions.
    #[must_use]
    pub fn new(clock: Arc<dyn Monotonic>, lifecycle: Lifecycle) -> Self {
        let inner = Inner {
            clock,
            lifecycle,
            beats: Mutex::default(),
            conditions: Mutex::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Exports the age of each loop's last turn, from now on.
    ///
    /// # Errors
    /// When `registry` has the family already.
    pub fn register(&self, registry: &Registry) -> Result<(), MetricsError> {
        let help = "Time since a thread's last turn. One that stands still is reported at half, \
                    and ends liveness at all of what it may take: 15 and 30 s in a dispatcher.";
        let probes = self.clone();
        registry.gauges_asked("hooklane_turn_age_seconds", help, "thread", move || {
            let ages = probes.ages().into_iter();
            ages.map(|found| (found.name, found.age.as_secs_f64()))
                .collect()
        })
    }

    /// Registers a loop that must turn at least every `max_age`, from now on.
    #[must_use]
    pub fn heartbeat(&self, name: impl Into<String>, max_age: Duration) -> Heartbeat {
        self.heartbeat_of(name, max_age)
    }

    /// The same of a loop that says what it does.
    #[must_use]
    pub fn heartbeat_of<S: LabelValue>(
        &self,
        name: impl Into<String>,
        max_age: Duration,
    ) -> Heartbeat<S> {
        let last_nanos = AtomicU64::new(self.inner.clock.nanos());
        let beat = Arc::new(Beat {
            name: name.into(),
            max_age,
            last_nanos,
            step: AtomicUsize::new(0),
            steps: S::ALL.iter().map(|step| step.as_str()).collect(),
        });
        locked(&self.inner.beats).push(beat.clone());
        Heartbeat {
            probes: self.clone(),
            beat,
            steps: PhantomData,
        }
    }

    /// Registers a condition of readiness, not met yet.
    #[must_use]
    pub fn condition(&self, name: &'static str) -> Condition {
        let flag = Arc::new(Flag {
            name,
            met: AtomicBool::new(false),
        });
        locked(&self.inner.conditions).push(flag.clone());
        Condition { flag }
    }

    /// The loops that have stood still for too long. None: the process is
    /// alive.
    #[must_use]
    pub fn stale(&self) -> Vec<Stale> {
        let all = self.ages().into_iter();
        all.filter(|found| found.age > found.max_age).collect()
    }

    /// The loops that stand still: those that will be stale unless they turn.
    #[must_use]
    pub fn standing(&self) -> Vec<Stale> {
        let all = self.ages().into_iter();
        all.filter(|found| found.age > found.max_age / 2).collect()
    }

    /// Every loop.
    fn ages(&self) -> Vec<Stale> {
        let now = self.inner.clock.nanos();
        let beats = locked(&self.inner.beats);
        let ages = beats.iter().map(|beat| {
            let last = beat.last_nanos.load(Ordering::Relaxed);
            let step = beat.step.load(Ordering::Relaxed);
            Stale {
                name: beat.name.clone(),
                doing: beat.steps.get(step).copied().unwrap_or("?"),
                age: Duration::from_nanos(now.saturating_sub(last)),
                max_age: beat.max_age,
            }
        });
        ages.collect()
    }

    /// What readiness waits for. None: the service is ready.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let phase = self.inner.lifecycle.phase();
        let phase = (phase != Phase::Ready).then(|| format!("phase is {}", phase.as_str()));
        let conditions = locked(&self.inner.conditions);
        let unmet = conditions
            .iter()
            .filter(|flag| !flag.met.load(Ordering::Relaxed));
        let standing = self.standing().into_iter().map(|found| {
            let (name, doing) = (found.name, found.doing);
            format!("{name} stands still at {doing}, {:.0?}", found.age)
        });
        phase
            .into_iter()
            .chain(unmet.map(|flag| flag.name.to_owned()))
            .chain(standing)
            .collect()
    }
}

/// Held by a loop, which beats at each turn. Dropping it without
/// [`Heartbeat::retire`] leaves it to go stale: a loop that ended unasked is
/// as dead as one that hangs.
pub struct Heartbeat<S: LabelValue = Turn> {
    probes: Probes,
    beat: Arc<Beat>,
    steps: PhantomData<fn(S)>,
}

/// A loop that does not say what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn;

impl LabelValue for Turn {
    const ALL: &'static [Self] = &[Self];

    fn as_str(self) -> &'static str {
        "its turn"
    }
}

impl<S: LabelValue> Heartbeat<S> {
    /// The loop turns.
    pub fn beat(&self) {
        self.beat_at(self.probes.inner.clock.nanos());
    }

    /// The loop turns, and has just read the boot clock itself.
    pub fn beat_at(&self, boot_nanos: u64) {
        self.beat.last_nanos.store(boot_nanos, Ordering::Relaxed);
    }

    /// The loop goes on to something else; not yet a turn.
    pub fn at(&self, step: S) {
        self.beat.step.store(step.index(), Ordering::Relaxed);
    }

    /// The loop has ended as it should and is no longer watched.
    pub fn retire(self) {
        locked(&self.probes.inner.beats).retain(|beat| !Arc::ptr_eq(beat, &self.beat));
    }
}

/// One condition of readiness. Clones share it.
#[derive(Clone)]
pub struct Condition {
    flag: Arc<Flag>,
}

impl Condition {
    /// Whether it is met.
    pub fn set(&self, met: bool) {
        self.flag.met.store(met, Ordering::Relaxed);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
