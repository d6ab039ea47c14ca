//! What will happen, and when.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::time::Duration;

use hooklane_engine::{AttemptResult, Epoch, Mono, StoreError, Stored, VerifyEnd, WorkId};
use hooklane_model::lane::Lane;

use crate::broker::{DelayId, Produce};
use crate::group::Member;

/// A process in one of its lives: what an earlier life left behind is told
/// apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Who {
    pub(crate) place: usize,
    pub(crate) life: u32,
}

/// Something that will happen.
#[derive(Debug)]
pub(crate) enum Happening {
    /// Events arrive.
    Arrival,
    /// Somebody edits the configuration.
    Churn,
    /// Something breaks.
    Fault,
    /// The scheduler looks at a delay record.
    Rung(DelayId),
    /// The scheduler has committed the release of a delay record.
    Unrung(DelayId),
    /// A record reaches the broker.
    Land(Box<Produce>),
    /// A commit reaches the coordinator.
    CommitLands(Who, Member, Vec<(Lane, i64)>, Mono),
    /// The coordinator looks for members that it has not heard of.
    Sessions,
    /// A process joins the group.
    Join(Who),
    /// A frozen process goes on.
    Thaw(Who),
    /// A dead process starts again.
    Restart(usize),
    /// A process reaches the coordinator again.
    Heal(Who),
    /// The broker is as fast as before.
    BrokerRecovers,
    /// A process notices something, unless it is frozen or dead.
    At(Who, Noticed),
}

/// What a process notices.
#[derive(Debug)]
pub(crate) enum Noticed {
    /// Its consumer thread turns.
    Poll,
    /// A worker's timer.
    Wake(usize),
    /// A connection is there: the request may be written.
    FirstByte(u64),
    /// The receiver refused a request's credentials: it is made again.
    Refused(u64),
    /// A request has ended.
    Answered(u64, AttemptResult),
    /// A connection to a receiver is there that is asked for its consent.
    Asks(u64),
    /// It has answered.
    Agreed(u64, VerifyEnd),
    /// A record that an action asked for was reported on.
    Reported(usize, WorkId, Stored, Result<(), StoreError>),
    /// A poison record is durable.
    Poisoned(usize, Lane, Epoch, i64),
    /// A commit was answered.
    Committed(Mono),
    /// The group's heartbeat.
    Heartbeat,
    /// The lanes of a hand-over are committed, or it was waited long enough.
    HandedOver,
    /// The hand-over's patience is at its end.
    DrainEnds(u64),
    /// Records that were read reach the worker.
    Batch(usize, Vec<(Lane, Epoch, i64)>),
    /// Configuration arrived.
    Config,
}

struct Entry {
    at: Mono,
    ordinal: u64,
    what: Happening,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.ordinal == other.ordinal
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    /// The heap gives the greatest first: the earliest is the greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.ordinal).cmp(&(self.at, self.ordinal))
    }
}

/// The order of things to come, and the time it is.
pub(crate) struct Agenda {
    heap: BinaryHeap<Entry>,
    ordinal: u64,
    now: Mono,
}

/// When worlds begin: not zero, so that "before the beginning" exists.
pub(crate) const BEGIN: Mono = Mono(1_000_000_000_000);

impl Agenda {
    pub(crate) fn new() -> Self {
        Self {
            heap: BinaryHeap::new(),
            ordinal: 0,
            now: BEGIN,
        }
    }

    pub(crate) fn now(&self) -> Mono {
        self.now
    }

    pub(crate) fn after(&mut self, wait: Duration, what: Happening) {
        self.at(self.now.after(wait), what);
    }

    pub(crate) fn at(&mut self, at: Mono, what: Happening) {
        self.ordinal += 1;
        self.heap.push(Entry {
            at: at.max(self.now),
            ordinal: self.ordinal,
            what,
        });
    }

    /// The next thing; time moves to it.
    pub(crate) fn next(&mut self) -> Option<Happening> {
        let entry = self.heap.pop()?;
        self.now = entry.at;
        Some(entry.what)
    }
}
