//! What the schedule is told and what it says: values without behaviour.

use std::time::Duration;

use bytes::Bytes;
use hooklane_model::envelope::DecodeError;
use hooklane_model::ladder::Rung;
use hooklane_model::lane::Lane;
use hooklane_model::time::UnixMillis;

/// One partition of a delay topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DelayPartition {
    /// The delay topic.
    pub rung: Rung,
    /// The partition's number.
    pub partition: i32,
}

/// A record to write. Exactly one report with its token must follow.
#[derive(Clone, Debug)]
pub struct Produce {
    /// Names it in [`Schedule::reported`].
    pub token: usize,
    /// Where it goes.
    pub to: Destination,
    /// Its value; `None` only for a note without a record.
    pub value: Option<Bytes>,
}

/// Where a record goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// It is due: back to its lane.
    Lane {
        /// The lane of its endpoint.
        lane: Lane,
        /// The rung it comes from.
        from: Rung,
        /// How long after its due time it is sent.
        late: Duration,
    },
    /// It waits on.
    Rung {
        /// The rung it comes from.
        from: Rung,
        /// The rung it goes to.
        to: Rung,
        /// The partition there, by endpoint.
        partition: i32,
    },
    /// It can't be read, or is gone.
    Poison {
        /// Where it was read.
        at: DelayPartition,
        /// Its offset; the first of a lost range.
        offset: i64,
        /// What is wrong.
        note: Note,
    },
}

/// What the poison topic is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// The record can't be read or written on, and why.
    Poison(String),
    /// Retention took the records up to this offset before they were read.
    Lost {
        /// The offset after the last one lost.
        until: i64,
    },
}

/// How reading is controlled.
#[derive(Debug)]
pub enum Control {
    /// Read no more of this partition.
    Pause(DelayPartition),
    /// Read on.
    Resume(DelayPartition),
    /// Reading stopped at a record of a newer release: a person must upgrade
    /// this service. Nothing is lost, the partition waits.
    Blocked {
        /// The partition.
        at: DelayPartition,
        /// The record's offset.
        offset: i64,
        /// What is newer.
        reason: DecodeError,
    },
    /// Commit these watermarks; a failure is told by
    /// [`Schedule::commit_failed`].
    Commit(Vec<(DelayPartition, i64)>),
}

/// Why a record was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Larger than its topic allows: it never will be.
    TooLarge,
    /// Anything else: worth another try.
    Other,
}

/// What was read of one record.
#[derive(Clone, Debug)]
pub struct RecordRead {
    /// Where.
    pub at: DelayPartition,
    /// Its offset.
    pub offset: i64,
    /// When it was appended.
    pub appended: UnixMillis,
    /// Its value; `None` for a tombstone.
    pub value: Option<Bytes>,
}
