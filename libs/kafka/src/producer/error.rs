//! Why a record was not stored.

use rdkafka::error::KafkaError;
use thiserror::Error;

use crate::error::{ClientError, ErrorKind};

/// What the failure of a record means for its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProduceErrorKind {
    /// It will never fit: terminal for this record only.
    TooLarge,
    /// No rights on the topic: a person must act.
    Unauthorized,
    /// The topic or the partition does not exist.
    UnknownTopic,
    /// The producer is unusable: end the process.
    Fatal,
    /// Given up after the profile's time.
    TimedOut,
    /// Anything else.
    Other,
}

impl ProduceErrorKind {
    /// The metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Unauthorized => "unauthorized",
            Self::UnknownTopic => "unknown_topic",
            Self::Fatal => "fatal",
            Self::TimedOut => "timed_out",
            Self::Other => "other",
        }
    }
}

/// Why a record was not stored.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{text}")]
pub struct ProduceError {
    /// What it means.
    pub kind: ProduceErrorKind,
    /// The library's words.
    pub text: String,
}

impl From<&KafkaError> for ProduceError {
    fn from(error: &KafkaError) -> Self {
        let ClientError { kind, text } = ClientError::from(error.clone());
        let kind = match kind {
            ErrorKind::TooLarge => ProduceErrorKind::TooLarge,
            ErrorKind::Unauthorized => ProduceErrorKind::Unauthorized,
            ErrorKind::UnknownTopic => ProduceErrorKind::UnknownTopic,
            ErrorKind::Fatal | ErrorKind::Fenced => ProduceErrorKind::Fatal,
            ErrorKind::TimedOut => ProduceErrorKind::TimedOut,
            ErrorKind::Unavailable
            | ErrorKind::OutOfRange
            | ErrorKind::Rebalanced
            | ErrorKind::Other => ProduceErrorKind::Other,
        };
        Self { kind, text }
    }
}

/// Why a record was not taken.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SendError {
    /// The client's queue is full: stop taking in, poll, try again.
    #[error("the producer's queue is full")]
    QueueFull,
    /// This record can't be sent.
    #[error("the producer refused the record")]
    Refused(#[source] ProduceError),
}

/// Why an operation of a producer failed.
#[derive(Debug, Error)]
pub enum ProducerError {
    /// The client was not created: a combination of properties, or a file.
    #[error("producer cannot be created, check kafka.properties")]
    Create {
        /// Why.
        #[source]
        source: ClientError,
    },
    /// The topic's partitions are not known.
    #[error("no answer about the partitions of topic {topic}")]
    Metadata {
        /// The topic.
        topic: String,
        /// Why.
        #[source]
        source: ClientError,
    },
}

impl ProducerError {
    /// What the failure means.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Create { source } | Self::Metadata { source, .. } => source.kind,
        }
    }
}
