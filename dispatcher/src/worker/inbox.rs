//! What passes between the consumer thread and a worker.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hooklane_model::catalog::Change;
use hooklane_model::envelope::ConfigStamp;
use hooklane_model::lane::Lane;
use tokio::sync::mpsc;

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

/// What of an inbox a turn takes: what is there when it begins. Who fills the
/// inbox learns only after the turn that it must stop, and fills it as fast as
/// it is emptied: with all that comes meanwhile, one turn took whatever had
/// been fetched, many times the memory that there is for deliveries.
pub(crate) struct Present(usize);

impl Present {
    pub(crate) fn of<T>(inbox: &mpsc::Receiver<T>) -> Self {
        Self(inbox.len())
    }

    pub(crate) fn next<T>(&mut self, inbox: &mut mpsc::Receiver<T>) -> Option<T> {
        self.0 = self.0.checked_sub(1)?;
        inbox.try_recv().ok()
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes while a turn takes is the next turn's, or an inbox that is
    /// filled as fast as it is emptied never ends one.
    #[test]
    fn a_turn_takes_what_was_there_when_it_began() {
        let (fill, mut inbox) = mpsc::channel(8);
        for n in 0..3 {
            fill.try_send(n).unwrap();
        }
        for expected in [vec![0, 1, 2], vec![10, 11, 12]] {
            let (mut present, mut taken) = (Present::of(&inbox), Vec::new());
            while let Some(n) = present.next(&mut inbox) {
                taken.push(n);
                if fill.try_send(n + 10).is_err() || taken.len() > 8 {
                    break;
                }
            }
            assert_eq!(taken, expected);
        }
    }
}
