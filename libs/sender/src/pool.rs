//! What all destinations of one sender share: the cap on idle connections and
//! the counters.
//!
//! Connections themselves belong to their destination. The pool only knows
//! their order: each check-in takes the next stamp, so the queue is sorted by
//! how long ago, and its front is the least recently used. An entry whose
//! connection has been taken again is stale and is skipped; the queue is
//! compacted when more than half of it is stale, so its length is bounded by
//! twice the idle connections.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};

use tokio::time::Instant;

use crate::destination::Destination;

/// Why a connection was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// Idle for too long.
    Idle,
    /// Beyond its age.
    Age,
    /// Least recently used when the cap was reached.
    Evicted,
    /// The receiver closed it while it was idle or said `connection: close`.
    Peer,
    /// An exchange on it failed.
    Failed,
    /// The attempt was dropped or ran out of time.
    Aborted,
    /// The response was not read to its end.
    Undrained,
    /// Its destination went away.
    Dropped,
}

impl CloseReason {
    /// Every reason, in the order of [`Stats::closed`].
    pub const ALL: [Self; 8] = [
        Self::Idle,
        Self::Age,
        Self::Evicted,
        Self::Peer,
        Self::Failed,
        Self::Aborted,
        Self::Undrained,
        Self::Dropped,
    ];

    /// The stable name in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Age => "age",
            Self::Evicted => "evicted",
            Self::Peer => "peer",
            Self::Failed => "failed",
            Self::Aborted => "aborted",
            Self::Undrained => "undrained",
            Self::Dropped => "dropped",
        }
    }
}

/// Counters of a sender's connections since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections made.
    pub opened: u64,
    /// Attempts that found a connection.
    pub reused: u64,
    /// Connections closed, by reason, in the order of [`CloseReason::ALL`].
    pub closed: [u64; CloseReason::ALL.len()],
    /// Idle connections now.
    pub idle: usize,
}

impl Stats {
    /// Connections closed for `reason`.
    #[must_use]
    pub fn closed_for(&self, reason: CloseReason) -> u64 {
        self.closed[reason as usize]
    }

    /// Connections open now, idle or at work.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.opened - self.closed.iter().sum::<u64>()
    }
}

pub(crate) struct Pool {
    idle_max: usize,
    stats: Cell<Stats>,
    next_stamp: Cell<u64>,
    order: RefCell<VecDeque<(Weak<Destination>, u64)>>,
}

/// Stale entries tolerated before the order is compacted for the first time.
const SLACK: usize = 64;

impl Pool {
    pub(crate) fn new(idle_max: usize) -> Self {
        Self {
            idle_max,
            stats: Cell::default(),
            next_stamp: Cell::new(1),
            order: RefCell::default(),
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        self.stats.get()
    }

    pub(crate) fn count(&self, change: impl FnOnce(&mut Stats)) {
        let mut stats = self.stats.get();
        change(&mut stats);
        self.stats.set(stats);
    }

    pub(crate) fn count_closed(&self, reason: CloseReason) {
        self.count(|stats| stats.closed[reason as usize] += 1);
    }

    pub(crate) fn next_stamp(&self) -> u64 {
        let stamp = self.next_stamp.get();
        self.next_stamp.set(stamp + 1);
        stamp
    }

    /// Notes that `destination` has put the connection `stamp` aside, and
    /// makes room when that is one too many.
    pub(crate) fn checked_in(&self, destination: &Rc<Destination>, stamp: u64) {
        self.count(|stats| stats.idle += 1);
        let idle = self.stats.get().idle;
        let crowded = {
            let mut order = self.order.borrow_mut();
            order.push_back((Rc::downgrade(destination), stamp));
            order.len() > 2 * idle + SLACK
        };
        if crowded {
            self.order.borrow_mut().retain(|(owner, stamp)| {
                owner.upgrade().is_some_and(|owner| owner.has_idle(*stamp))
            });
        }
        while self.stats.get().idle > self.idle_max && self.evict_oldest() {}
    }

    pub(crate) fn checked_out(&self, connections: usize) {
        self.count(|stats| stats.idle = stats.idle.saturating_sub(connections));
    }

    fn evict_oldest(&self) -> bool {
        loop {
            // The borrow ends before the destination is called.
            let front = self.order.borrow_mut().pop_front();
            let Some((owner, stamp)) = front else {
                return false;
            };
            let closed = owner
                .upgrade()
                .is_some_and(|owner| owner.close_idle(stamp, CloseReason::Evicted));
            if closed {
                return true;
            }
        }
    }

    /// Closes idle connections whose time is over or whose peer has gone.
    pub(crate) fn maintain(&self, now: Instant) {
        // Taken out, because a destination that is dropped here reports back.
        let order = self.order.take();
        let kept: VecDeque<_> = order
            .into_iter()
            .filter(|(owner, stamp)| {
                owner
                    .upgrade()
                    .is_some_and(|owner| owner.has_idle(*stamp) && owner.keep_idle(*stamp, now))
            })
            .collect();
        self.order.replace(kept);
    }
}
