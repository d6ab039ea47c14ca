//! First reads of mounted files, for threads that must not wait for a volume.
//!
//! A worker that needs a file leaves a read here and is told when it is done;
//! the thread of [`Watch`](super::Watch) makes them, one after the other. A
//! volume that does not answer keeps that thread, and those who need a secret
//! of it, and nobody else.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use hooklane_model::secret::Secret;
use hooklane_service::secrets::MountError;
use tokio::sync::watch;

use super::lock;

/// A tenant's file, read once.
#[derive(Debug)]
pub(crate) struct FirstRead {
    pub(super) tenant: String,
    pub(super) name: String,
    /// Taken by who comes first; who comes later finds it watched.
    found: Mutex<Option<Result<Secret, MountError>>>,
    done: watch::Sender<bool>,
}

impl FirstRead {
    fn is_done(&self) -> bool {
        *self.done.borrow()
    }

    /// Waits until it is done.
    pub(crate) async fn done(&self) {
        let mut told = self.done.subscribe();
        let _ended = told.wait_for(|done| *done).await;
    }

    pub(super) fn finish(&self, result: Result<Secret, MountError>) {
        *lock(&self.found) = Some(result);
        self.done.send_replace(true);
    }
}

/// What there is to do for the thread that reads.
#[derive(Debug)]
pub(super) enum Task {
    Read(Arc<FirstRead>),
    /// The time has come that it asked for.
    Time,
    Stop,
}

/// Reads that were asked for and not fetched. Bounded by the files that stored
/// manifests name: each is here once, and once read until the next look.
#[derive(Default)]
pub(super) struct FirstReads {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    reads: HashMap<(String, String), Arc<FirstRead>>,
    queued: VecDeque<Arc<FirstRead>>,
    stopped: bool,
}

impl FirstReads {
    /// What stands in a file, or the read to wait for.
    pub(super) fn ask(
        &self,
        tenant: &str,
        name: &str,
    ) -> Result<Result<Secret, MountError>, Arc<FirstRead>> {
        let mut state = lock(&self.state);
        let read = match state.reads.entry((tenant.to_owned(), name.to_owned())) {
            Entry::Occupied(entry) => {
                if !entry.get().is_done() {
                    return Err(entry.get().clone());
                }
                let found = lock(&entry.remove().found).take();
                return Ok(found.expect("who takes it takes the entry along"));
            }
            Entry::Vacant(entry) => {
                let read = Arc::new(FirstRead {
                    tenant: tenant.to_owned(),
                    name: name.to_owned(),
                    found: Mutex::default(),
                    done: watch::Sender::new(false),
                });
                entry.insert(read).clone()
            }
        };
        state.queued.push_back(read.clone());
        self.changed.notify_one();
        Err(read)
    }

    /// Forgets what was found and not fetched.
    pub(super) fn forget_done(&self) {
        lock(&self.state).reads.retain(|_, read| !read.is_done());
    }

    /// Waits for something to do, at most until `time`.
    pub(super) fn next(&self, time: Instant) -> Task {
        let mut state = lock(&self.state);
        loop {
            if state.stopped {
                return Task::Stop;
            }
            // Before the reads, however many there are: keys are looked at, too.
            let left = time.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Task::Time;
            }
            if let Some(read) = state.queued.pop_front() {
                return Task::Read(read);
            }
            let woken = self.changed.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// What there is to read now.
    #[cfg(test)]
    pub(super) fn asked(&self) -> Option<Arc<FirstRead>> {
        lock(&self.state).queued.pop_front()
    }

    pub(super) fn stop(&self) {
        lock(&self.state).stopped = true;
        self.changed.notify_all();
    }
}
