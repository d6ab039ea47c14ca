//! The one writer of the configuration, and the one place with transactions.
//!
//! All writers share one transactional id, so whoever opens last is the only
//! one: the brokers refuse whatever an earlier one still writes. That makes
//! "read the state, check it, write" safe without a lock service. A writer
//! that was refused, or that does not know how a write ended, is of no more
//! use: open another and look again.
//!
//! Everything here blocks: it is for commands and for the admin API.

mod transaction;

use std::time::{Duration, Instant};

use hooklane_model::catalog::Catalog;
use hooklane_model::topic::TopicNames;
use thiserror::Error;

use crate::config_feed::reader_name;
use crate::error::ClientError;
use crate::record::Record;
use crate::settings::ClientSettings;
use crate::table::{TableError, TableEvent, TableReader};
use transaction::{Failed, Transactions};

/// A record to write: its key and its value; no value deletes.
pub type Entry = (Vec<u8>, Option<Vec<u8>>);

/// Why the configuration was not written.
#[derive(Debug, Error)]
pub enum WriterError {
    /// The client was not created: a combination of properties, or a file.
    #[error("config writer cannot be created, check kafka.properties")]
    Create(#[source] ClientError),
    /// The brokers did not let this writer begin.
    #[error("config writer {id} was not admitted")]
    Admission {
        /// The transactional id.
        id: String,
        /// Why.
        #[source]
        source: ClientError,
    },
    /// The configuration could not be read to its end.
    #[error("the configuration cannot be read")]
    Read(#[source] TableError),
    /// It was not read to its end in time.
    #[error("topic {topic} was not read to its end within {waited:?}")]
    Slow {
        /// The config topic.
        topic: String,
        /// How long it was tried.
        waited: Duration,
    },
    /// Another writer has taken over; nothing was written: start over.
    #[error("another writer of the configuration has taken over, start over")]
    Fenced,
    /// The brokers refused the write; nothing was written.
    #[error("the write to topic {topic} was refused, nothing was written")]
    Refused {
        /// The config topic.
        topic: String,
        /// Why.
        #[source]
        source: ClientError,
    },
    /// The brokers did not say how the write ended: start over and look.
    #[error("it is not known whether the write to topic {topic} took place, start over")]
    Unknown {
        /// The config topic.
        topic: String,
        /// Why.
        #[source]
        source: ClientError,
    },
}

/// The writer of the configuration.
pub struct ConfigWriter {
    transactions: Transactions,
    reader: TableReader,
    catalog: Catalog,
    config: String,
    timeout: Duration,
}

impl ConfigWriter {
    /// Takes over from any other writer and reads the configuration and the
    /// statuses to their ends. Each step takes up to `timeout`.
    pub fn open(
        settings: &ClientSettings,
        names: &TopicNames,
        timeout: Duration,
    ) -> Result<Self, WriterError> {
        let id = names.config();
        let transactions = Transactions::open(settings, &id, timeout).map_err(|e| match e {
            Failed::Create(source) => WriterError::Create(source),
            Failed::Fenced => WriterError::Fenced,
            Failed::Refused(source) | Failed::Unknown(source) => {
                WriterError::Admission { id, source }
            }
        })?;
        let topics = [names.config(), names.status()];
        let reader = TableReader::new(settings, &reader_name(names), &topics);
        let mut writer = Self {
            transactions,
            reader: reader.map_err(WriterError::Read)?,
            catalog: Catalog::with_documents(),
            config: names.config(),
            timeout,
        };
        writer.read_until(|event, _| matches!(event, TableEvent::CaughtUp))?;
        Ok(writer)
    }

    /// The configuration as far as this writer has read it, with documents.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Writes all entries or none, waits until they can be read back, and
    /// returns the offset of the last one.
    ///
    /// Writing nothing reads nothing and returns `None`.
    pub fn write(&mut self, entries: &[Entry]) -> Result<Option<i64>, WriterError> {
        if entries.is_empty() {
            return Ok(None);
        }
        let written = self.transactions.write(&self.config, entries, self.timeout);
        let topic = self.config.clone();
        let last = written.map_err(|e| match e {
            Failed::Fenced => WriterError::Fenced,
            Failed::Create(source) | Failed::Refused(source) => {
                WriterError::Refused { topic, source }
            }
            Failed::Unknown(source) => WriterError::Unknown { topic, source },
        })?;
        self.read_until(|event, config| match event {
            TableEvent::Record(record) => *record.topic == *config && record.offset >= last,
            TableEvent::CaughtUp | TableEvent::Error(_) => false,
        })?;
        Ok(Some(last))
    }

    /// Applies what is read until `enough` says so.
    fn read_until(
        &mut self,
        enough: impl Fn(&TableEvent, &str) -> bool,
    ) -> Result<(), WriterError> {
        let end = Instant::now() + self.timeout;
        let mut last_error = None;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let event = self.reader.poll(left.min(Duration::from_millis(100)));
            if let Some(event) = event {
                if let TableEvent::Record(record) = &event {
                    self.apply(record);
                }
                if enough(&event, &self.config) {
                    return Ok(());
                }
                if let TableEvent::Error(error) = event {
                    last_error = Some(error);
                }
            }
            if left.is_zero() {
                return Err(match last_error {
                    Some(error) => WriterError::Read(error),
                    None => WriterError::Slow {
                        topic: self.config.clone(),
                        waited: self.timeout,
                    },
                });
            }
        }
    }

    fn apply(&mut self, record: &Record) {
        let key = record.key.as_deref().unwrap_or_default();
        let value = record.value.as_deref();
        let applied = if *record.topic == *self.config {
            self.catalog.apply_config(record.offset, key, value)
        } else {
            self.catalog.apply_status(key, value)
        };
        for problem in applied.problems {
            tracing::warn!(%problem, offset = record.offset, topic = &*record.topic, "record of the configuration is broken");
        }
    }
}
