//! One delivery in memory.

use std::rc::Rc;

use hooklane_model::envelope::Target;
use hooklane_model::lane::Lane;

use super::{AttemptResult, Mono, OpenEnvelope};

/// One delivery in memory, from the read of its record until it is settled.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) seq: u32,
    pub(super) lane: Lane,
    pub(super) offset: i64,
    pub(super) envelope: Rc<OpenEnvelope>,
    pub(super) target: Target,
    /// When its record was read: what its time in memory counts from.
    pub(super) arrived: Mono,
    /// Its share of the byte budget.
    pub(super) cost: usize,
    pub(super) state: State,
    pub(super) last: Option<AttemptResult>,
}

/// Where a delivery in memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// In its endpoint's queue.
    Queued,
    /// Waits for a timer, until it is due.
    Timed,
    /// Waits for its endpoint to become known, or a timer.
    Unknown,
    /// Its request is open.
    InFlight,
    /// Decided; so many records must be durable before it is done.
    Settling(u8),
}

impl State {
    /// Whether a timer may place it.
    pub(super) fn waits(self) -> bool {
        matches!(self, Self::Timed | Self::Unknown)
    }

    /// Whether a lane that is given up waits for it.
    pub(super) fn is_busy(self) -> bool {
        matches!(self, Self::InFlight | Self::Settling(_))
    }
}
