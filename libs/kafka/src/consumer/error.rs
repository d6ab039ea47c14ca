//! Why an operation of a consumer failed.

use thiserror::Error;

use crate::error::{ClientError, ErrorKind};

/// Why an operation of a consumer failed.
#[derive(Debug, Error)]
pub enum ConsumerError {
    /// The client was not created: a combination of properties, or a file.
    #[error("consumer of group {group} cannot be created, check kafka.properties")]
    Create {
        /// The group.
        group: String,
        /// Why.
        #[source]
        source: ClientError,
    },
    /// A topic has a name that Kafka does not allow.
    #[error("{topic:?} is not a legal topic name")]
    TopicName {
        /// The name.
        topic: String,
    },
    /// The subscription was refused.
    #[error("subscription of group {group} refused")]
    Subscribe {
        /// The group.
        group: String,
        /// Why.
        #[source]
        source: ClientError,
    },
    /// A rebalance was completed that is not under way.
    #[error("no such rebalance is waiting to be completed in group {group}")]
    NotWaiting {
        /// The group.
        group: String,
    },
    /// The client refused an assignment.
    #[error("assignment refused in group {group}")]
    Assign {
        /// The group.
        group: String,
        /// Why.
        #[source]
        source: ClientError,
    },
    /// Offsets or watermarks could not be had.
    #[error("no answer about the offsets of {what}")]
    Offsets {
        /// The group or the partition asked about.
        what: String,
        /// Why.
        #[source]
        source: ClientError,
    },
    /// A commit of a partition that this member does not own.
    #[error("{partition} is not this member's of group {group} to commit")]
    NotOwned {
        /// The group.
        group: String,
        /// The partition.
        partition: String,
    },
    /// A commit failed.
    #[error("commit refused in group {group}")]
    Commit {
        /// The group.
        group: String,
        /// Why.
        #[source]
        source: ClientError,
    },
    /// A pause, resume or seek was refused.
    #[error("flow control refused on {partition}")]
    Flow {
        /// The first partition concerned.
        partition: String,
        /// Why.
        #[source]
        source: ClientError,
    },
    /// Reading failed.
    #[error("reading failed in group {group}")]
    Read {
        /// The group.
        group: String,
        /// Why.
        #[source]
        source: ClientError,
    },
}

impl ConsumerError {
    /// What the failure means.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::TopicName { .. } | Self::NotWaiting { .. } => ErrorKind::Other,
            Self::NotOwned { .. } => ErrorKind::Rebalanced,
            Self::Create { source, .. }
            | Self::Subscribe { source, .. }
            | Self::Assign { source, .. }
            | Self::Offsets { source, .. }
            | Self::Commit { source, .. }
            | Self::Flow { source, .. }
            | Self::Read { source, .. } => source.kind,
        }
    }
}
