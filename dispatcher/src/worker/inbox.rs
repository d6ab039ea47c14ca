//! What passes between the consumer thread and a worker.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hooklane_model::catalog::Change;
use hooklane_model::envelope::ConfigStamp;
use hooklane_model::lane::Lane;

use hooklane_engine::{Epoch, Mono};

/// A record of a lane as it was read.
#[derive(Debug)]
pub(crate) struct ReadRecord {
    pub(crate) lane: Lane,
    pub(crate) epoch: Epoch,
    pub(crate) offset: i64,
    pub(crate) value: Option<Bytes>,
}

/// What a worker is told. One channel for all, so that nothing overtakes: a
/// record never comes before its lane's assignment.
#[derive(Debug)]
pub(crate) enum ToWorker {
    /// Records in the order they were read.
    Batch(Vec<ReadRecord>),
    /// A lane is this worker's; records from `next` on follow.
    Assigned { lane: Lane, epoch: Epoch, next: i64 },
    /// A lane must be let go by `deadline`.
    Revoked { lane: Lane, deadline: Mono },
    /// The configuration changed.
    Config(Arc<Vec<Change>>, ConfigStamp),
}

/// A lane was let go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Released {
    pub(crate) lane: Lane,
    /// What to commit.
    pub(crate) watermark: i64,
}

/// Where a worker stands, for the consumer thread.
#[derive(Debug, Default)]
pub(crate) struct Board {
    full: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    watermarks: HashMap<Lane, (Epoch, i64)>,
    /// Lanes whose next record a newer release wrote.
    too_new: HashSet<Lane>,
}

impl Board {
    /// Says whether more records are welcome.
    pub(crate) fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::Release);
    }

    /// Says what can be committed.
    pub(crate) fn publish(&self, watermarks: impl Iterator<Item = (Lane, Epoch, i64)>) {
        let mut state = self.lock();
        state.watermarks.clear();
        let by_lane = watermarks.map(|(lane, epoch, offset)| (lane, (epoch, offset)));
        state.watermarks.extend(by_lane);
    }

    /// Whether the worker wants no more records for now.
    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::Acquire)
    }

    /// The offset to commit of a lane under a claim; `None` until the worker
    /// has heard of that claim.
    pub(crate) fn watermark(&self, lane: Lane, claim: Epoch) -> Option<i64> {
        let state = self.lock();
        let (epoch, offset) = state.watermarks.get(&lane)?;
        (*epoch == claim).then_some(*offset)
    }

    /// Notes that a lane's next record is newer than this release.
    pub(crate) fn set_too_new(&self, lane: Lane) {
        self.lock().too_new.insert(lane);
    }

    /// Whether a lane waits for an upgrade.
    pub(crate) fn is_too_new(&self, lane: Lane) -> bool {
        self.lock().too_new.contains(&lane)
    }

    /// A lane is read anew, maybe by a newer release's rules.
    pub(crate) fn clear_too_new(&self, lane: Lane) {
        self.lock().too_new.remove(&lane);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
