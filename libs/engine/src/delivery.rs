//! One delivery in memory.

use std::rc::Rc;

use hooklane_model::envelope::Target;
use hooklane_model::lane::Lane;

use crate::queue::Class;
use crate::{AttemptResult, Mono, OpenEnvelope, Pass};

/// One delivery in memory, from the read of its record until it is settled.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) seq: u32,
    pub(crate) lane: Lane,
    pub(crate) offset: i64,
    pub(crate) envelope: Rc<OpenEnvelope>,
    pub(crate) target: Target,
    /// When its record was read: what its time in memory counts from.
    pub(crate) arrived: Mono,
    /// Its share of the byte budget.
    pub(crate) cost: usize,
    /// Which turns it takes part in.
    pub(crate) class: Class,
    pub(crate) state: State,
    pub(crate) last: Option<AttemptResult>,
    /// What its open request may start with.
    pub(crate) pass: Option<Pass>,
    /// Whether its request is a breaker's probe, or was the last one.
    pub(crate) probe: bool,
    /// Generation of the spec that its last request was made with.
    pub(crate) sent_with: u64,
    /// The endpoint that counts it among its members.
    pub(crate) member_of: Option<usize>,
}

/// Where a delivery in memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
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
    pub(crate) fn waits(self) -> bool {
        matches!(self, Self::Timed | Self::Unknown)
    }

    /// Whether a lane that is given up waits for it.
    pub(crate) fn is_busy(self) -> bool {
        matches!(self, Self::InFlight | Self::Settling(_))
    }
}
