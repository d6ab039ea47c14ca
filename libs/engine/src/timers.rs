//! When the core wants to be woken, and for what.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::{Mono, WorkId};
use hooklane_model::lane::Lane;

/// What a timer is for. A timer is never cancelled: whoever it wakes looks
/// whether there is still something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wake {
    /// A delivery is due, or has waited long enough for its endpoint to
    /// become known.
    Work(WorkId),
    /// An endpoint may start again: its limit or its hold has passed.
    Endpoint(usize),
    /// An endpoint's oldest queued delivery reaches the queue wait, or shows
    /// that the endpoint is slow.
    Stale(usize),
    /// Counts of what waits in Kafka are looked through.
    Sweep,
    /// A receiver is to be asked for its consent.
    Verification,
    /// A draining lane must be let go.
    Lane(Lane),
}

/// Timers in due order.
///
/// Bounded by what is held: at most one per delivery, two per endpoint and
/// one per lane, one sweep, and few for verifications, are armed at a time.
#[derive(Debug, Default)]
pub(crate) struct Timers(BinaryHeap<Reverse<(Mono, Wake)>>);

impl Timers {
    pub(crate) fn arm(&mut self, at: Mono, wake: Wake) {
        self.0.push(Reverse((at, wake)));
    }

    pub(crate) fn next(&self) -> Option<Mono> {
        self.0.peek().map(|Reverse((at, _))| *at)
    }

    pub(crate) fn pop_due(&mut self, now: Mono) -> Option<Wake> {
        if self.next()? > now {
            return None;
        }
        self.0.pop().map(|Reverse((_, wake))| wake)
    }
}
