//! Why ingest did not start, or ended before it was told to.

use hooklane_kafka::config_feed::FeedError;
use hooklane_kafka::consumer::ConsumerError;
use hooklane_kafka::producer::{ProduceError, ProducerError};
use hooklane_kafka::topics::TopicsError;
use hooklane_model::tracker::TrackerError;
use hooklane_service::metrics::MetricsError;
use thiserror::Error;

/// Why ingest did not start, or ended before it was told to. What was read and
/// not committed is read again by the next one.
#[derive(Debug, Error)]
pub enum IngestError {
    /// Internal topics are missing or cannot be worked with.
    #[error("the internal topics cannot be worked with; see `hooklane topics create`")]
    Topics(#[from] TopicsError),
    /// The consumer is unusable.
    #[error("the consumer of the source topics cannot be used")]
    Consumer(#[from] ConsumerError),
    /// The producer was not created, or does not know its topics.
    #[error("the producer cannot be used")]
    Producer(#[from] ProducerError),
    /// The configuration cannot be read.
    #[error("the configuration topic cannot be read")]
    Feed(#[from] FeedError),
    /// A metric is registered twice.
    #[error("the metrics cannot be registered")]
    Metrics(#[from] MetricsError),
    /// A record can never be stored where it belongs. To go on would be to
    /// pass over it, or to store it after later ones.
    #[error("a record of {topic}/{partition} offset {offset} cannot be stored")]
    Produce {
        /// Topic of the event.
        topic: String,
        /// Partition of the event.
        partition: i32,
        /// Offset of the event.
        offset: i64,
        /// What the client or the broker says.
        #[source]
        source: ProduceError,
    },
    /// The producer is fenced or out of sequence.
    #[error("the producer is unusable; restart the process")]
    ProducerFatal(#[source] ProduceError),
    /// The bookkeeping contradicts itself: a bug, and no reason to commit.
    #[error("progress of {topic}/{partition} contradicts itself")]
    Progress {
        /// Topic of the record.
        topic: String,
        /// Partition of the record.
        partition: i32,
        /// What contradicts.
        #[source]
        source: TrackerError,
    },
}
