//! A Kafka record, copied out of the client's buffers.
//!
//! The library lends records that pin the whole fetch response they came in
//! (up to 50 MiB for one small record), so nothing borrowed leaves this crate.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use rdkafka::message::{BorrowedMessage, Headers, Message, Timestamp};

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number.
    pub partition: i32,
}

impl TopicPartition {
    /// The partition `partition` of `topic`.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self {
            topic: topic.into(),
            partition,
        }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// Who set a record's timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampKind {
    /// The producer, by its own clock.
    CreateTime,
    /// The broker, when it appended the record.
    LogAppendTime,
    /// The record has none.
    None,
}

/// A record's timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordTimestamp {
    /// Who set it.
    pub kind: TimestampKind,
    /// Milliseconds since the Unix epoch; 0 where there is none.
    pub millis: i64,
}

/// One record, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The topic it was read from.
    pub topic: Arc<str>,
    /// The partition it was read from.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// Its timestamp.
    pub timestamp: RecordTimestamp,
    /// Its key; `None` where the record has none.
    pub key: Option<Bytes>,
    /// Its value; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// Its headers in order; a header without a value has empty bytes.
    pub headers: Vec<(String, Bytes)>,
}

impl Record {
    /// The partition it was read from.
    #[must_use]
    pub fn topic_partition(&self) -> TopicPartition {
        TopicPartition {
            topic: self.topic.clone(),
            partition: self.partition,
        }
    }

    /// The value of the first header called `name`.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&Bytes> {
        self.headers
            .iter()
            .find_map(|(n, value)| (n == name).then_some(value))
    }

    pub(crate) fn copy_of(borrowed: &BorrowedMessage<'_>, topics: &mut TopicNames) -> Self {
        let headers = borrowed.headers().map_or_else(Vec::new, |headers| {
            headers
                .iter()
                .map(|h| {
                    let value = h.value.map_or_else(Bytes::new, Bytes::copy_from_slice);
                    (h.key.to_owned(), value)
                })
                .collect()
        });
        Self {
            topic: topics.shared(borrowed.topic()),
            partition: borrowed.partition(),
            offset: borrowed.offset(),
            timestamp: timestamp_of(borrowed.timestamp()),
            key: borrowed.key().map(Bytes::copy_from_slice),
            value: borrowed.payload().map(Bytes::copy_from_slice),
            headers,
        }
    }
}

fn timestamp_of(timestamp: Timestamp) -> RecordTimestamp {
    let (kind, millis) = match timestamp {
        Timestamp::CreateTime(millis) => (TimestampKind::CreateTime, millis),
        Timestamp::LogAppendTime(millis) => (TimestampKind::LogAppendTime, millis),
        Timestamp::NotAvailable => (TimestampKind::None, 0),
    };
    RecordTimestamp { kind, millis }
}

/// One shared copy of each topic name a client has met.
///
/// Bounded by the topics of its subscription: a few dozen, so a list that
/// finds the usual topic first beats a map.
#[derive(Debug, Default)]
pub(crate) struct TopicNames(Vec<Arc<str>>);

impl TopicNames {
    pub(crate) fn shared(&mut self, topic: &str) -> Arc<str> {
        if let Some(known) = self.0.iter().find(|known| &***known == topic) {
            return known.clone();
        }
        let name: Arc<str> = topic.into();
        self.0.push(name.clone());
        name
    }
}
