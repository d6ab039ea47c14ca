//! What the dispatcher's threads do in a turn, so that one that stands still
//! can be found where it stands.

use hooklane_model::label::LabelValue;

/// Of the consumer thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OwnerStep {
    /// Polls the consumer: records, and what the group wants.
    Poll,
    /// Polls the producer for reports.
    Reports,
    /// Gives workers what was read.
    HandOver,
    /// Commits, or refreshes gauges.
    Commit,
    /// Takes lanes: asks brokers for offsets, tells workers.
    Assign,
    /// Lets lanes go: waits for workers and for the commit.
    Revoke,
}

impl LabelValue for OwnerStep {
    const ALL: &'static [Self] = &[
        Self::Poll,
        Self::Reports,
        Self::HandOver,
        Self::Commit,
        Self::Assign,
        Self::Revoke,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Poll => "poll",
            Self::Reports => "reports",
            Self::HandOver => "hand_over",
            Self::Commit => "commit",
            Self::Assign => "assign",
            Self::Revoke => "revoke",
        }
    }
}

/// Of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WorkerStep {
    /// Waits, and drives requests while it does.
    Requests,
    /// Takes records, ends of requests and reports.
    Take,
    /// Lets the core decide, and starts requests.
    Decide,
    /// Looks at endpoints for people.
    Look,
    /// Gives records to the producer.
    Store,
    /// Shows where it stands.
    Publish,
}

impl LabelValue for WorkerStep {
    const ALL: &'static [Self] = &[
        Self::Requests,
        Self::Take,
        Self::Decide,
        Self::Look,
        Self::Store,
        Self::Publish,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Take => "take",
            Self::Decide => "decide",
            Self::Look => "look",
            Self::Store => "store",
            Self::Publish => "publish",
        }
    }
}
