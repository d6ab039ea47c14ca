//! Whole topics and other groups' offsets, for commands that take stock.
//!
//! Nothing here joins a group, commits or changes anything. A scan reads each
//! topic once, from its log start to the end it had when the scan came to it:
//! topic after topic in the order given, so a caller who knows in which order
//! the services write can tell what must be there.
//!
//! Everything here blocks.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use thiserror::Error;

use crate::client::{LogContext, list_of, partition_count};
use crate::error::{ClientError, ErrorKind};
use crate::record::{Record, TopicNames, TopicPartition};
use crate::settings::ClientSettings;

/// How long one turn waits for a record.
const TURN: Duration = Duration::from_millis(100);
/// The group id that scans show in errors and never commit to.
const SCAN: &str = "hooklane-scan";

/// Why something could not be read.
#[derive(Debug, Error)]
pub enum ScanError {
    /// The client was not created: a combination of properties, or a file.
    #[error("reader cannot be created, check kafka.properties")]
    Create(#[source] ClientError),
    /// The brokers did not answer.
    #[error("no answer from {brokers}")]
    Ask {
        /// The brokers asked.
        brokers: String,
        /// Why.
        #[source]
        source: ClientError,
    },
    /// The topic is missing, or its brokers are away.
    #[error("topic {topic} cannot be read")]
    Topic {
        /// The topic.
        topic: String,
        /// Why.
        #[source]
        source: ClientError,
    },
    /// The committed offsets of a group were not told.
    #[error("offsets of group {group} cannot be read")]
    Group {
        /// The group.
        group: String,
        /// Why.
        #[source]
        source: ClientError,
    },
    /// Nothing came for too long.
    #[error("topic {topic}: nothing came for {waited:?}, {open} partitions are not at their ends")]
    Stalled {
        /// The topic.
        topic: String,
        /// How long nothing came.
        waited: Duration,
        /// Partitions that are not at their ends.
        open: usize,
    },
}

impl ScanError {
    /// What the failure means.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Create(source)
            | Self::Ask { source, .. }
            | Self::Topic { source, .. }
            | Self::Group { source, .. } => source.kind,
            Self::Stalled { .. } => ErrorKind::TimedOut,
        }
    }
}

/// How many brokers the cluster has.
pub fn broker_count(settings: &ClientSettings, timeout: Duration) -> Result<usize, ScanError> {
    let client = client(settings, SCAN)?;
    let metadata = client.fetch_metadata(None, timeout);
    let metadata = metadata.map_err(|e| ScanError::Ask {
        brokers: settings.brokers.clone(),
        source: e.into(),
    })?;
    Ok(metadata.brokers().len())
}

/// The end of each partition of a topic; `None` when there is no such topic.
pub fn end_offsets(
    settings: &ClientSettings,
    topic: &str,
    timeout: Duration,
) -> Result<Option<BTreeMap<i32, i64>>, ScanError> {
    let client = client(settings, SCAN)?;
    match bounds(&client, topic, timeout) {
        Ok(bounds) => Ok(Some(
            bounds.into_iter().map(|(p, (_, high))| (p, high)).collect(),
        )),
        Err(error) if error.kind() == ErrorKind::UnknownTopic => Ok(None),
        Err(error) => Err(error),
    }
}

/// Offsets that `group` has committed on all partitions of `topics`; those
/// without one are left out.
pub fn group_offsets(
    settings: &ClientSettings,
    group: &str,
    topics: &[String],
    timeout: Duration,
) -> Result<BTreeMap<TopicPartition, i64>, ScanError> {
    let client = client(settings, group)?;
    let mut partitions = Vec::new();
    for topic in topics {
        let count = partition_count(client.client(), topic, timeout);
        let count = count.map_err(|e| of_topic(topic, e))?;
        partitions.extend((0..count).map(|p| TopicPartition::new(topic.as_str(), p)));
    }
    let asked = list_of(partitions.iter().map(|tp| (tp, None)));
    let failed = |e: KafkaError| ScanError::Group {
        group: group.to_owned(),
        source: e.into(),
    };
    let told = client.committed_offsets(asked, timeout).map_err(failed)?;
    let mut offsets = BTreeMap::new();
    for entry in told.elements() {
        entry.error().map_err(failed)?;
        if let Offset::Offset(offset) = entry.offset() {
            offsets.insert(
                TopicPartition::new(entry.topic(), entry.partition()),
                offset,
            );
        }
    }
    Ok(offsets)
}

/// Hands every committed record of `topics` to `each`, topic after topic and
/// in order within a partition. Gives up when nothing comes for `patience`.
/// Returns how many records there were.
pub fn scan(
    settings: &ClientSettings,
    topics: &[String],
    patience: Duration,
    each: &mut dyn FnMut(Record),
) -> Result<u64, ScanError> {
    let client = client(settings, SCAN)?;
    let mut names = TopicNames::default();
    let mut count = 0;
    for topic in topics {
        let bounds = bounds(&client, topic, patience)?;
        count += scan_topic(&client, topic, bounds, patience, &mut |borrowed| {
            each(Record::copy_of(borrowed, &mut names));
        })?;
    }
    Ok(count)
}

type Bounds = HashMap<i32, (i64, i64)>;

fn client(settings: &ClientSettings, group: &str) -> Result<BaseConsumer<LogContext>, ScanError> {
    settings
        .reader_config(group)
        .create_with_context(LogContext)
        .map_err(|e| ScanError::Create(e.into()))
}

fn of_topic(topic: &str, error: impl Into<ClientError>) -> ScanError {
    ScanError::Topic {
        topic: topic.to_owned(),
        source: error.into(),
    }
}

/// First offset and end of each partition.
fn bounds(
    client: &BaseConsumer<LogContext>,
    topic: &str,
    timeout: Duration,
) -> Result<Bounds, ScanError> {
    let partitions = partition_count(client.client(), topic, timeout);
    let partitions = partitions.map_err(|e| of_topic(topic, e))?;
    let bounds_of = |partition| {
        let bounds = client.fetch_watermarks(topic, partition, timeout);
        Ok((partition, bounds.map_err(|e| of_topic(topic, e))?))
    };
    (0..partitions).map(bounds_of).collect()
}

fn scan_topic(
    client: &BaseConsumer<LogContext>,
    topic: &str,
    bounds: Bounds,
    patience: Duration,
    each: &mut dyn FnMut(&BorrowedMessage<'_>),
) -> Result<u64, ScanError> {
    // Ends of the partitions that are not read to them yet.
    let mut open: HashMap<i32, i64> = HashMap::new();
    let mut list = TopicPartitionList::new();
    for (partition, (low, high)) in bounds {
        if low < high {
            open.insert(partition, high);
            list.add_partition_offset(topic, partition, Offset::Offset(low))
                .map_err(|e| of_topic(topic, e))?;
        }
    }
    if open.is_empty() {
        return Ok(0);
    }
    client.assign(&list).map_err(|e| of_topic(topic, e))?;
    let mut count = 0;
    let mut last_sign = Instant::now();
    let mut last_error: Option<ClientError> = None;
    while !open.is_empty() {
        match client.poll(TURN) {
            Some(Ok(record)) => {
                last_sign = Instant::now();
                let Some(high) = open.get(&record.partition()).copied() else {
                    continue;
                };
                if record.offset() < high {
                    each(&record);
                    count += 1;
                }
                if record.offset() + 1 >= high {
                    open.remove(&record.partition());
                }
            }
            // What stands below the end and is not a record (markers of
            // transactions, what compaction removed) ends here too.
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                last_sign = Instant::now();
                open.remove(&partition);
            }
            // The client goes on trying by itself; if it gets nowhere, this
            // is the reason.
            Some(Err(error)) => last_error = Some(error.into()),
            None => {}
        }
        if last_sign.elapsed() >= patience {
            return Err(last_error.map_or_else(
                || ScanError::Stalled {
                    topic: topic.to_owned(),
                    waited: patience,
                    open: open.len(),
                },
                |error| of_topic(topic, error),
            ));
        }
    }
    Ok(count)
}
