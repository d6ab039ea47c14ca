//! Compacted topics of one partition, read whole and then followed.
//!
//! The reader assigns the partitions to itself, never joins a group and never
//! commits. It has caught up when it has read up to the ends the logs had when
//! it began. A missing topic or brokers that are away are waited for with a
//! back-off, for ever: who has read a table before goes on with what it has.
//!
//! Limits: used from one thread; a poll may take up to [`ASK_TIMEOUT`] longer
//! than asked for while the tables are not there.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use thiserror::Error;

use crate::client::LogContext;
use crate::error::{ClientError, ErrorKind};
use crate::record::{Record, TopicNames};
use crate::settings::ClientSettings;

/// How long one question about a log's ends may take.
pub const ASK_TIMEOUT: Duration = Duration::from_secs(2);
/// The first pause after a failure; it doubles up to [`BACKOFF_MAX`].
const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// The longest pause between two tries.
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// How long the end of a log may be silent below the offset it had before it
/// counts as read: what stood there was removed by compaction, or a new leader
/// has not heard of it yet, which takes it one fetch of a follower (500 ms).
const SILENT_END: Duration = Duration::from_secs(2);

/// What a poll of a table brought.
#[derive(Debug)]
pub enum TableEvent {
    /// A record; the last one of a key counts, and a tombstone removes it.
    Record(Record),
    /// All that stood in the tables at the start has been read. Once.
    CaughtUp,
    /// Something failed and is being tried again.
    Error(TableError),
}

/// Why a table can't be read for now.
#[derive(Debug, Error)]
pub enum TableError {
    /// The client was not created: a combination of properties, or a file.
    #[error("reader of {topics} cannot be created, check kafka.properties")]
    Create {
        /// The topics.
        topics: String,
        /// Why.
        #[source]
        source: ClientError,
    },
    /// The topic is missing or its broker is away.
    #[error("topic {topic} cannot be read yet")]
    NotThere {
        /// The topic.
        topic: String,
        /// Why.
        #[source]
        source: ClientError,
    },
    /// Reading failed.
    #[error("reading {topics} failed")]
    Read {
        /// The topics.
        topics: String,
        /// Why.
        #[source]
        source: ClientError,
    },
}

impl TableError {
    /// What the failure means.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Create { source, .. }
            | Self::NotThere { source, .. }
            | Self::Read { source, .. } => source.kind,
        }
    }
}

/// Ends of one table's log when reading began.
#[derive(Clone, Copy, Debug)]
struct Ends {
    low: i64,
    high: i64,
}

#[derive(Debug)]
enum Phase {
    /// The ends are not known yet; ask again then.
    Asking { again: Instant, backoff: Duration },
    /// Reading towards the ends, one for each topic.
    Loading { ends: Vec<Ends>, quiet: Quiet },
    /// Caught up.
    Following,
}

/// Signs that every log is at its end, although not where it was expected.
#[derive(Debug, Default)]
struct Quiet {
    positions: Vec<Option<i64>>,
    /// Ends of partition seen with these positions.
    ends: usize,
    since: Option<Instant>,
}

/// Reads compacted topics of one partition.
pub struct TableReader {
    client: BaseConsumer<LogContext>,
    topics: Vec<String>,
    names: TopicNames,
    phase: Phase,
}

impl TableReader {
    /// A reader of `topics`; `name` is the group id it shows in errors and
    /// never commits to.
    pub fn new(
        settings: &ClientSettings,
        name: &str,
        topics: &[String],
    ) -> Result<Self, TableError> {
        let client = settings
            .reader_config(name)
            .create_with_context(LogContext)
            .map_err(|e| TableError::Create {
                topics: topics.join(", "),
                source: e.into(),
            })?;
        Ok(Self {
            client,
            topics: topics.to_vec(),
            names: TopicNames::default(),
            phase: Phase::Asking {
                again: Instant::now(),
                backoff: BACKOFF_MIN,
            },
        })
    }

    /// The next event, waiting up to about `timeout` for one.
    pub fn poll(&mut self, timeout: Duration) -> Option<TableEvent> {
        if let Phase::Asking { again, backoff } = self.phase {
            let wait = again.saturating_duration_since(Instant::now());
            if !wait.is_zero() {
                // Nothing is assigned: this only serves the client meanwhile.
                let nothing = self.client.poll(wait.min(timeout));
                return nothing.and_then(Result::err).and_then(|e| self.failed(e));
            }
            return self.begin(backoff).err().map(TableEvent::Error);
        }
        if self.is_silent() {
            return Some(self.caught_up());
        }
        match self.client.poll(timeout)? {
            Ok(record) => {
                let record = Record::copy_of(&record, &mut self.names);
                Some(TableEvent::Record(record))
            }
            Err(KafkaError::PartitionEOF(_)) => self.at_an_end(),
            Err(error) => self.failed(error),
        }
    }

    fn failed(&self, error: KafkaError) -> Option<TableEvent> {
        Some(TableEvent::Error(TableError::Read {
            topics: self.topics.join(", "),
            source: error.into(),
        }))
    }

    /// Asks for the ends of all logs and begins to read.
    fn begin(&mut self, backoff: Duration) -> Result<(), TableError> {
        let begun = self.ask().and_then(|ends| {
            let mut list = TopicPartitionList::new();
            for topic in &self.topics {
                list.add_partition_offset(topic, 0, Offset::Beginning)
                    .map_err(|e| self.not_there(topic, e))?;
            }
            self.client
                .assign(&list)
                .map_err(|e| self.not_there(&self.topics.join(", "), e))?;
            Ok(ends)
        });
        match begun {
            Ok(ends) => {
                let quiet = Quiet::default();
                self.phase = Phase::Loading { ends, quiet };
                Ok(())
            }
            Err(error) => {
                self.phase = Phase::Asking {
                    again: Instant::now() + backoff,
                    backoff: (backoff * 2).min(BACKOFF_MAX),
                };
                Err(error)
            }
        }
    }

    fn ask(&self) -> Result<Vec<Ends>, TableError> {
        let ends_of = |topic: &String| {
            let asked = self.client.fetch_watermarks(topic, 0, ASK_TIMEOUT);
            let (low, high) = asked.map_err(|e| self.not_there(topic, e))?;
            Ok(Ends { low, high })
        };
        self.topics.iter().map(ends_of).collect()
    }

    fn not_there(&self, topic: &str, error: KafkaError) -> TableError {
        TableError::NotThere {
            topic: topic.to_owned(),
            source: error.into(),
        }
    }

    /// The offset after the last committed record of each topic now, in the
    /// order of the topics. Blocks up to [`ASK_TIMEOUT`] a topic.
    pub fn ends(&self) -> Result<Vec<i64>, TableError> {
        Ok(self.ask()?.into_iter().map(|ends| ends.high).collect())
    }

    /// The next offset to read of each topic, in the order of the topics;
    /// markers of transactions count. `None` where nothing was read.
    #[must_use]
    pub fn positions(&self) -> Vec<Option<i64>> {
        let list = self.client.position().ok();
        let position = |topic: &String| {
            let entry = list.as_ref()?.find_partition(topic, 0)?;
            match entry.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            }
        };
        self.topics.iter().map(position).collect()
    }

    /// One of the logs was read to its end; the client does not say which.
    fn at_an_end(&mut self) -> Option<TableEvent> {
        let positions = self.positions();
        let Phase::Loading { ends, quiet } = &mut self.phase else {
            return None;
        };
        let reached =
            |(ends, position): (&Ends, &Option<i64>)| position.unwrap_or(ends.low) >= ends.high;
        if ends.iter().zip(&positions).all(reached) {
            return Some(self.caught_up());
        }
        quiet.end_seen(positions);
        None
    }

    /// Whether all logs have been at their ends for so long that nothing can
    /// follow below the offsets they had.
    fn is_silent(&mut self) -> bool {
        let positions = match &self.phase {
            Phase::Loading { quiet, .. } if quiet.since.is_some() => self.positions(),
            _ => return false,
        };
        let topics = self.topics.len();
        let Phase::Loading { quiet, .. } = &self.phase else {
            return false;
        };
        quiet.positions == positions
            && quiet.ends >= topics
            && quiet
                .since
                .is_some_and(|since| since.elapsed() >= SILENT_END)
    }

    fn caught_up(&mut self) -> TableEvent {
        self.phase = Phase::Following;
        TableEvent::CaughtUp
    }
}

impl Quiet {
    /// Each log says once that it is at its end, unless it moves.
    fn end_seen(&mut self, positions: Vec<Option<i64>>) {
        if self.positions != positions {
            *self = Self {
                positions,
                ..Self::default()
            };
        }
        self.ends += 1;
        self.since.get_or_insert_with(Instant::now);
    }
}
