//! The configuration in Kafka: read whole, and written by one writer.
//!
//! Reading takes no lock and disturbs nobody. Writing takes over from every
//! other writer, so it is only done when a plan says that there is something
//! to write; who is taken over from plans again.

use std::time::{Duration, Instant};

use hooklane_kafka::config_writer::{ConfigWriter, Entry, WriterError};
use hooklane_kafka::error::ErrorKind;
use hooklane_kafka::table::{TableEvent, TableReader};
use hooklane_model::catalog::Catalog;
use hooklane_model::fields::Problem;
use hooklane_model::plan::Plan;
use hooklane_model::resource::{Endpoint, Manifest, ResourceKey};

use crate::Io;
use crate::cluster::{Cluster, PATIENCE};
use crate::error::CliError;
use crate::kind::missing;

/// How often a writer that was taken over from starts over.
const TRIES: usize = 5;
/// How long one poll of the reader takes.
const TURN: Duration = Duration::from_millis(100);

/// The configuration as it is stored.
#[derive(Debug)]
pub struct Stored {
    /// With documents.
    pub catalog: Catalog,
    /// Records that could not be read, by their keys.
    pub problems: Vec<Problem>,
}

impl Stored {
    /// Tells the person about records that could not be read.
    pub fn warn(&self, io: &mut Io<'_>) {
        for problem in &self.problems {
            io.say(&format!(
                "warning: cannot be read and is left out: {problem}"
            ));
        }
    }

    /// What cannot be read must not be taken for missing and written over.
    ///
    /// # Errors
    /// The problems of the records of `keys`.
    pub fn check_readable<'a>(
        &self,
        keys: impl IntoIterator<Item = &'a ResourceKey>,
    ) -> Result<(), CliError> {
        let keys: Vec<String> = keys.into_iter().map(ToString::to_string).collect();
        let hit = self.problems.iter().filter(|p| keys.contains(&p.path));
        let lines: Vec<String> = hit.map(ToString::to_string).collect();
        if lines.is_empty() {
            Ok(())
        } else {
            Err(CliError::Unreadable(lines))
        }
    }

    /// The endpoint under `key`.
    ///
    /// # Errors
    /// When there is none, or its record cannot be read.
    pub fn endpoint(&self, key: &ResourceKey) -> Result<&Endpoint, CliError> {
        self.check_readable([key])?;
        let live = self.catalog.document(key).filter(|d| !d.deleted);
        match live.map(|document| &document.manifest) {
            Some(Manifest::Endpoint(endpoint)) => Ok(endpoint),
            _ => Err(missing(key)),
        }
    }
}

/// Reads configuration and statuses to their ends.
///
/// # Errors
/// When the config topic is missing or cannot be read in time.
pub fn load(cluster: &Cluster) -> Result<Stored, CliError> {
    let config = cluster.names.config();
    let topics = [config.clone(), cluster.names.status()];
    let failed = |source| CliError::Read {
        brokers: cluster.settings.brokers.clone(),
        source,
    };
    let name = format!("{}reader", cluster.names.prefix());
    let mut reader = TableReader::new(&cluster.settings, &name, &topics).map_err(failed)?;
    let mut stored = Stored {
        catalog: Catalog::with_documents(),
        problems: Vec::new(),
    };
    let end = Instant::now() + PATIENCE;
    let mut last_error = None;
    loop {
        match reader.poll(TURN) {
            Some(TableEvent::CaughtUp) => return Ok(stored),
            Some(TableEvent::Record(record)) => {
                let key = record.key.as_deref().unwrap_or_default();
                let value = record.value.as_deref();
                let applied = if *record.topic == *config {
                    // A later good record makes up for a broken one.
                    let path = String::from_utf8_lossy(key);
                    stored.problems.retain(|problem| problem.path != path);
                    stored.catalog.apply_config(record.offset, key, value)
                } else {
                    stored.catalog.apply_status(key, value)
                };
                stored.problems.extend(applied.problems);
            }
            Some(TableEvent::Error(error)) => match error.kind() {
                ErrorKind::UnknownTopic => {
                    return Err(CliError::NoConfigTopic { topic: config });
                }
                ErrorKind::Unauthorized | ErrorKind::Fatal => return Err(failed(error)),
                _ => last_error = Some(error),
            },
            None => {}
        }
        if Instant::now() >= end {
            return Err(match last_error {
                Some(error) => failed(error),
                None => CliError::Slow { waited: PATIENCE },
            });
        }
    }
}

/// Writes what `make` plans from the newest configuration and waits until it
/// can be read back.
///
/// # Errors
/// What `make` refuses; when the write failed or others kept taking over.
pub fn write(
    cluster: &Cluster,
    make: &mut dyn FnMut(&Catalog) -> Result<Plan, CliError>,
) -> Result<Plan, CliError> {
    let failed = |source| CliError::Write {
        brokers: cluster.settings.brokers.clone(),
        source,
    };
    for _ in 0..TRIES {
        let opened = ConfigWriter::open(&cluster.settings, &cluster.names, PATIENCE);
        let mut writer = match opened {
            Ok(writer) => writer,
            Err(WriterError::Fenced) => continue,
            Err(error) => return Err(failed(error)),
        };
        let plan = make(writer.catalog())?;
        let entries: Vec<Entry> = plan
            .writes
            .iter()
            .map(|(key, value)| (key.clone().into_bytes(), value.clone()))
            .collect();
        match writer.write(&entries) {
            Ok(_) => return Ok(plan),
            Err(WriterError::Fenced) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Err(CliError::Busy { tries: TRIES })
}
