//! What every client shares: where its log lines and errors go.

use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::client::Client;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::error::ClientError;
use crate::record::TopicPartition;

/// Logs one line of the client library.
///
/// A warning at most: the library retries by itself, and what a service must
/// act on comes back as an error value. CONFWARN says that a consumer property
/// does nothing in a producer, which is how shared properties are meant.
pub(crate) fn log_line(level: RDKafkaLogLevel, facility: &str, line: &str) {
    match level {
        _ if facility == "CONFWARN" => tracing::debug!(target: "librdkafka", facility, "{line}"),
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error
        | RDKafkaLogLevel::Warning => tracing::warn!(target: "librdkafka", facility, "{line}"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
            tracing::info!(target: "librdkafka", facility, "{line}");
        }
        RDKafkaLogLevel::Debug => tracing::debug!(target: "librdkafka", facility, "{line}"),
    }
}

/// Logs a global error; those that matter are also returned by a call.
pub(crate) fn log_error(error: &KafkaError, reason: &str) {
    tracing::debug!(target: "librdkafka", %error, "{reason}");
}

/// A context that only logs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogContext;

impl ClientContext for LogContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
    }

    fn stats_raw(&self, _: &[u8]) {}
}

impl ConsumerContext for LogContext {}

/// The library's list of partitions, with offsets where there are any.
pub(crate) fn list_of<'a>(
    partitions: impl IntoIterator<Item = (&'a TopicPartition, Option<i64>)>,
) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (tp, offset) in partitions {
        let mut entry = list.add_partition(&tp.topic, tp.partition);
        if let Some(offset) = offset {
            entry
                .set_offset(Offset::Offset(offset.max(0)))
                .expect("an offset that is not negative can be represented");
        }
    }
    list
}

/// The number of partitions of `topic`; blocks up to `timeout`.
pub(crate) fn partition_count<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> Result<i32, ClientError> {
    let metadata = client.fetch_metadata(Some(topic), timeout)?;
    let found = metadata
        .topics()
        .iter()
        .find(|t| t.name() == topic)
        .ok_or_else(|| ClientError::of_code(RDKafkaErrorCode::UnknownTopicOrPartition))?;
    if let Some(code) = found.error() {
        return Err(ClientError::of_code(code.into()));
    }
    Ok(i32::try_from(found.partitions().len()).unwrap_or(i32::MAX))
}
