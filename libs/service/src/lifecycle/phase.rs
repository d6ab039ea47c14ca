//! The phases of a service, in order.

use crate::metrics::LabelValue;

/// Where a service is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Reads its configuration, checks topics, joins its group.
    Starting,
    /// Does its work.
    Ready,
    /// Takes nothing new, finishes what it holds.
    Draining,
    /// Gives back what it could not finish: spill, commit, leave the group.
    HandingOver,
    /// Holds nothing.
    Closed,
}

impl LabelValue for Phase {
    const ALL: &'static [Self] = &[
        Self::Starting,
        Self::Ready,
        Self::Draining,
        Self::HandingOver,
        Self::Closed,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::HandingOver => "handing_over",
            Self::Closed => "closed",
        }
    }
}
