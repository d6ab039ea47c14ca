//! From start to end: phases, who still holds something, and the deadline.
//!
//! A service enters its phases in order and never goes back. Whatever must be
//! finished before the end takes a [`Holder`]; when the shutdown deadline
//! passes, the watchdog names the phase and the holders that are left and
//! ends the process. Signals and the watchdog are installed by
//! [`crate::run::run`] only; a service in a test or in the demo gets a
//! [`Shutdown`] from its owner and is never killed.

mod phase;
mod shutdown;
pub(crate) mod watchdog;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

pub use phase::Phase;
pub use shutdown::Shutdown;

use crate::clock::Monotonic;
use crate::metrics::{By, Gauge, LabelValue, MetricsError, Registry};

/// Where a service is in its life. Clones share it.
#[derive(Clone)]
pub struct Lifecycle {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Arc<dyn Monotonic>,
    shutdown: Shutdown,
    deadline: Duration,
    /// Index into [`Phase::ALL`]; written under `state`'s lock only.
    phase: AtomicUsize,
    gauges: By<Phase, Gauge>,
    state: Mutex<State>,
    closed: watch::Sender<bool>,
}

struct State {
    entered_nanos: u64,
    next_holder: u64,
    /// Name and start of what is open. Bounded by the service's own threads
    /// and steps; nothing takes a holder per record.
    holders: BTreeMap<u64, (String, u64)>,
}

impl Lifecycle {
    /// Starts in [`Phase::Starting`].
    ///
    /// # Errors
    /// When `registry` has a phase gauge already.
    pub fn new(
        registry: &Registry,
        clock: Arc<dyn Monotonic>,
        shutdown: Shutdown,
        deadline: Duration,
    ) -> Result<Self, MetricsError> {
        let help = "1 for the phase the service is in, 0 for the others.";
        let gauges: By<Phase, Gauge> = registry.gauge_by("hooklane_phase", help, "phase")?;
        gauges.get(Phase::Starting).set(1);
        let state = State {
            entered_nanos: clock.nanos(),
            next_holder: 0,
            holders: BTreeMap::new(),
        };
        let inner = Inner {
            clock,
            shutdown,
            deadline,
            phase: AtomicUsize::new(0),
            gauges,
            state: Mutex::new(state),
            closed: watch::Sender::new(false),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// The token that says when to stop.
    #[must_use]
    pub fn shutdown(&self) -> &Shutdown {
        &self.inner.shutdown
    }

    /// The phase the service is in.
    #[must_use]
    pub fn phase(&self) -> Phase {
        Phase::ALL[self.inner.phase.load(Ordering::Acquire)]
    }

    /// Goes on to a later phase and logs how long the last one took. An
    /// earlier or the same phase changes nothing: two threads may both find
    /// that draining has begun.
    pub fn enter(&self, phase: Phase) {
        let mut state = self.state();
        let from = self.phase();
        if phase.index() <= from.index() {
            return;
        }
        let now = self.inner.clock.nanos();
        let took = Duration::from_nanos(now.saturating_sub(state.entered_nanos));
        state.entered_nanos = now;
        self.inner.phase.store(phase.index(), Ordering::Release);
        self.inner.gauges.get(from).set(0);
        self.inner.gauges.get(phase).set(1);
        drop(state);
        let took_seconds = took.as_secs_f64();
        tracing::info!(
            from = from.as_str(),
            to = phase.as_str(),
            took_seconds,
            "phase"
        );
        if phase == Phase::Closed {
            self.inner.closed.send_replace(true);
        }
    }

    /// Declares that the end must wait for something, until the holder is
    /// dropped. The name is what the watchdog reports.
    #[must_use]
    pub fn hold(&self, name: impl Into<String>) -> Holder {
        let mut state = self.state();
        let id = state.next_holder;
        state.next_holder += 1;
        let since = self.inner.clock.nanos();
        state.holders.insert(id, (name.into(), since));
        drop(state);
        Holder {
            lifecycle: self.clone(),
            id,
        }
    }

    /// Runs one step of the shutdown: held while it runs, its duration logged.
    pub fn step<T>(&self, name: &'static str, run: impl FnOnce() -> T) -> T {
        let held = self.hold(name);
        let started = self.inner.clock.nanos();
        let result = run();
        let took = self.inner.clock.nanos().saturating_sub(started);
        drop(held);
        let took_seconds = Duration::from_nanos(took).as_secs_f64();
        tracing::info!(step = name, took_seconds, "step done");
        result
    }

    /// What is still held, oldest first, with the time since it was taken.
    #[must_use]
    pub fn holders(&self) -> Vec<(String, Duration)> {
        let now = self.inner.clock.nanos();
        let age = |since: u64| Duration::from_nanos(now.saturating_sub(since));
        self.state()
            .holders
            .values()
            .map(|(name, since)| (name.clone(), age(*since)))
            .collect()
    }

    /// How long a shutdown may take in all.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.inner.deadline
    }

    /// Resolves when the last phase is entered. Cancel safe.
    pub async fn closed(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        self.inner
            .closed
            .subscribe()
            .wait_for(|closed| *closed)
            .await
            .ok();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Something the end must wait for; dropping it says that it is done.
pub struct Holder {
    lifecycle: Lifecycle,
    id: u64,
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.lifecycle.state().holders.remove(&self.id);
    }
}

#[cfg(test)]
mod tests;
