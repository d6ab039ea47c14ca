//! Liveness and readiness.
//!
//! Liveness is heartbeats and nothing else: a loop that no longer turns needs
//! a restart. It must never depend on brokers, lag or receivers, or their
//! outage would restart the fleet. Readiness is the phase and named
//! conditions; it gates rollouts.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Monotonic;
use crate::lifecycle::{Lifecycle, Phase};
use crate::metrics::LabelValue;

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

    /// Registers a loop that must turn at least every `max_age`, from now on.
    #[must_use]
    pub fn heartbeat(&self, name: impl Into<String>, max_age: Duration) -> Heartbeat {
        let last_nanos = AtomicU64::new(self.inner.clock.nanos());
        let beat = Arc::new(Beat {
            name: name.into(),
            max_age,
            last_nanos,
        });
        locked(&self.inner.beats).push(beat.clone());
        Heartbeat {
            probes: self.clone(),
            beat,
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

    /// The loops that stand still. None: the process is alive.
    #[must_use]
    pub fn stale(&self) -> Vec<Stale> {
        let now = self.inner.clock.nanos();
        let beats = locked(&self.inner.beats);
        let stale = beats.iter().filter_map(|beat| {
            let last = beat.last_nanos.load(Ordering::Relaxed);
            let age = Duration::from_nanos(now.saturating_sub(last));
            let Beat { name, max_age, .. } = &**beat;
            (age > *max_age).then(|| Stale {
                name: name.clone(),
                age,
                max_age: *max_age,
            })
        });
        stale.collect()
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
        phase
            .into_iter()
            .chain(unmet.map(|flag| flag.name.to_owned()))
            .collect()
    }
}

/// Held by a loop, which beats at each turn. Dropping it without
/// [`Heartbeat::retire`] leaves it to go stale: a loop that ended unasked is
/// as dead as one that hangs.
pub struct Heartbeat {
    probes: Probes,
    beat: Arc<Beat>,
}

impl Heartbeat {
    /// The loop turns.
    pub fn beat(&self) {
        self.beat_at(self.probes.inner.clock.nanos());
    }

    /// The loop turns, and has just read the boot clock itself.
    pub fn beat_at(&self, boot_nanos: u64) {
        self.beat.last_nanos.store(boot_nanos, Ordering::Relaxed);
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
