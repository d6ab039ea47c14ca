//! What the client library reports, in words a service can act on.
//!
//! The library's own error types stay inside this crate; what leaves it is a
//! kind to decide by and a text for people. The text never holds the value of
//! a configuration property: it may be a secret.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use thiserror::Error;

/// What a failure means for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// No rights, or no credentials: a person must act.
    Unauthorized,
    /// The topic or the partition does not exist.
    UnknownTopic,
    /// The record is larger than the client or the topic allows.
    TooLarge,
    /// No answer in time.
    TimedOut,
    /// Brokers are away or busy; the client itself keeps trying.
    Unavailable,
    /// Another client has taken this one's place.
    Fenced,
    /// The position is not in the log.
    OutOfRange,
    /// The group moved on: the member or generation is no longer valid.
    Rebalanced,
    /// The client instance is unusable: end the process.
    Fatal,
    /// Anything else.
    Other,
}

impl ErrorKind {
    /// The metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::UnknownTopic => "unknown_topic",
            Self::TooLarge => "too_large",
            Self::TimedOut => "timed_out",
            Self::Unavailable => "unavailable",
            Self::Fenced => "fenced",
            Self::OutOfRange => "out_of_range",
            Self::Rebalanced => "rebalanced",
            Self::Fatal => "fatal",
            Self::Other => "other",
        }
    }
}

/// A failure of the client library or of a broker.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{text}")]
pub struct ClientError {
    /// What it means.
    pub kind: ErrorKind,
    /// The library's words.
    pub text: String,
}

impl ClientError {
    pub(crate) fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: text.into(),
        }
    }

    pub(crate) fn of_code(code: RDKafkaErrorCode) -> Self {
        Self::new(kind_of(code), code.to_string())
    }
}

impl From<KafkaError> for ClientError {
    fn from(error: KafkaError) -> Self {
        match error {
            // Its own Display prints the property's value.
            KafkaError::ClientConfig(_, _, key, _) => Self::new(
                ErrorKind::Other,
                format!("the client refused the property {key}"),
            ),
            KafkaError::MessageConsumptionFatal(code) => {
                Self::new(ErrorKind::Fatal, code.to_string())
            }
            KafkaError::Transaction(error) => {
                let kind = match kind_of(error.code()) {
                    ErrorKind::Other if error.is_fatal() => ErrorKind::Fatal,
                    ErrorKind::Other if error.is_retriable() => ErrorKind::Unavailable,
                    kind => kind,
                };
                Self::new(kind, error.string())
            }
            error => Self::new(
                error.rdkafka_error_code().map_or(ErrorKind::Other, kind_of),
                error.to_string(),
            ),
        }
    }
}

/// The meaning of one of the library's or the protocol's codes.
fn kind_of(code: RDKafkaErrorCode) -> ErrorKind {
    use RDKafkaErrorCode as C;
    match code {
        C::TopicAuthorizationFailed
        | C::GroupAuthorizationFailed
        | C::ClusterAuthorizationFailed
        | C::TransactionalIdAuthorizationFailed
        | C::SaslAuthenticationFailed
        | C::Authentication => ErrorKind::Unauthorized,
        C::UnknownTopicOrPartition | C::UnknownTopic | C::UnknownPartition | C::UnknownTopicId => {
            ErrorKind::UnknownTopic
        }
        C::MessageSizeTooLarge | C::MessageBatchTooLarge => ErrorKind::TooLarge,
        C::MessageTimedOut | C::RequestTimedOut | C::OperationTimedOut | C::TimedOutQueue => {
            ErrorKind::TimedOut
        }
        C::BrokerTransportFailure
        | C::AllBrokersDown
        | C::Resolve
        | C::NetworkException
        | C::BrokerNotAvailable
        | C::LeaderNotAvailable
        | C::NotLeaderForPartition
        | C::CoordinatorLoadInProgress
        | C::CoordinatorNotAvailable
        | C::NotCoordinator
        | C::WaitingForCoordinator
        | C::NotEnoughReplicas
        | C::NotEnoughReplicasAfterAppend => ErrorKind::Unavailable,
        C::Fenced
        | C::FencedInstanceId
        | C::InvalidProducerEpoch
        | C::ProducerFenced
        | C::TransactionCoordinatorFenced => ErrorKind::Fenced,
        C::OffsetOutOfRange | C::AutoOffsetReset | C::NoOffset => ErrorKind::OutOfRange,
        C::IllegalGeneration
        | C::UnknownMemberId
        | C::RebalanceInProgress
        | C::StaleMemberEpoch
        | C::FencedMemberEpoch
        | C::PollExceeded
        | C::AssignmentLost => ErrorKind::Rebalanced,
        C::Fatal => ErrorKind::Fatal,
        _ => ErrorKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::ClientConfig;

    #[test]
    fn the_value_of_a_refused_property_is_not_in_the_text() {
        let mut config = ClientConfig::new();
        config.set("session.timeout.ms", "hunter2");
        let Err(refused) = config.create_native_config() else {
            panic!("a word is not a number of milliseconds");
        };
        let text = ClientError::from(refused).text;
        assert!(!text.contains("hunter2"), "{text}");
        assert!(text.contains("session.timeout.ms"), "{text}");
    }
}
