//! The configuration, kept current on a thread of its own.
//!
//! The thread reads the config and status topics, applies every record to a
//! catalog and hands what changed to a callback: first everything at once,
//! then batch by batch. A record that can't be read changes nothing and is
//! reported; brokers that are away leave the last state in force.

mod stats;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hooklane_model::catalog::{Applied, Catalog, Change};
use hooklane_model::envelope::ConfigStamp;
use hooklane_model::fields::Problem;
use hooklane_model::topic::TopicNames;
use thiserror::Error;

pub use stats::FeedStats;

use crate::record::Record;
use crate::settings::ClientSettings;
use crate::table::{TableError, TableEvent, TableReader};

/// How long the thread waits for a record before it looks for its end.
const TURN: Duration = Duration::from_millis(50);
/// How often the ends of the topics are asked for, for the metrics.
const ENDS_EVERY: Duration = Duration::from_secs(5);
/// Records of one batch: as many as can be applied in a few milliseconds, so
/// that a callback is not starved by a writer that never stops.
const BATCH_MAX: usize = 4096;
/// Problems kept until the load is over; the rest is counted. More would not
/// be read by anybody.
const PROBLEMS_KEPT: usize = 100;

/// What the feed hands on.
#[derive(Debug)]
pub enum FeedEvent {
    /// The whole configuration, sources and endpoints before subscriptions.
    /// First and once.
    Loaded {
        /// From nothing to all there is.
        changes: Vec<Change>,
        /// How far it was read.
        stamp: ConfigStamp,
    },
    /// What some records changed, in their order; may be empty when only the
    /// stamp moved.
    Changed {
        /// The changes.
        changes: Vec<Change>,
        /// How far it was read.
        stamp: ConfigStamp,
    },
    /// A record, or a part of it, was not applied; the last good value stays.
    Problem(Problem),
    /// A field that this release does not know was passed over.
    Note(Problem),
}

/// Why the feed did not start.
#[derive(Debug, Error)]
pub enum FeedError {
    /// The reader was not created.
    #[error("the configuration cannot be read")]
    Reader(#[source] TableError),
    /// The thread was not started.
    #[error("the thread that reads the configuration cannot be started")]
    Thread(#[source] std::io::Error),
}

/// A running feed; dropping it stops it.
pub struct ConfigFeed {
    stop: Arc<AtomicBool>,
    stats: Arc<FeedStats>,
    thread: Option<JoinHandle<()>>,
}

impl ConfigFeed {
    /// Starts to read; `on_event` is called on the feed's thread and holds up
    /// the feed while it runs.
    pub fn start(
        settings: &ClientSettings,
        names: &TopicNames,
        on_event: impl FnMut(FeedEvent) + Send + 'static,
    ) -> Result<Self, FeedError> {
        let topics = [names.config(), names.status()];
        let reader = TableReader::new(settings, &reader_name(names), &topics);
        let stop = Arc::new(AtomicBool::new(false));
        let stats = Arc::new(FeedStats::default());
        let mut feed = Feed {
            reader: reader.map_err(FeedError::Reader)?,
            config: names.config(),
            catalog: Catalog::default(),
            stats: stats.clone(),
            loaded: false,
            kept: Vec::new(),
            ends_at: Instant::now(),
            on_event,
        };
        let stopped = stop.clone();
        let thread = std::thread::Builder::new()
            .name("config-feed".to_owned())
            .spawn(move || {
                while !stopped.load(Ordering::Relaxed) {
                    feed.turn();
                }
            })
            .map_err(FeedError::Thread)?;
        Ok(Self {
            stop,
            stats,
            thread: Some(thread),
        })
    }

    /// How far the feed is.
    #[must_use]
    pub fn stats(&self) -> &Arc<FeedStats> {
        &self.stats
    }

    /// Ends the feed; no event comes afterwards.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that reads the configuration panicked");
        }
    }
}

impl Drop for ConfigFeed {
    fn drop(&mut self) {
        self.end();
    }
}

/// The group id that readers of tables show and never commit to.
pub(crate) fn reader_name(names: &TopicNames) -> String {
    format!("{}reader", names.prefix())
}

/// What the feed's thread owns.
struct Feed<F> {
    reader: TableReader,
    config: String,
    catalog: Catalog,
    stats: Arc<FeedStats>,
    loaded: bool,
    kept: Vec<FeedEvent>,
    ends_at: Instant,
    on_event: F,
}

impl<F: FnMut(FeedEvent)> Feed<F> {
    /// Takes all records there are, up to a bound, and hands on their changes.
    fn turn(&mut self) {
        let mut changes = Vec::new();
        let mut read = 0;
        let mut wait = TURN;
        while let Some(event) = self.reader.poll(wait) {
            match event {
                TableEvent::Record(record) => {
                    read += 1;
                    self.apply(&record, &mut changes);
                }
                TableEvent::CaughtUp => {
                    self.load();
                    // What was read so far is part of the load.
                    read = 0;
                }
                TableEvent::Error(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "configuration not readable, the last state stays in force"
                    );
                    break;
                }
            }
            if read == BATCH_MAX {
                break;
            }
            wait = Duration::ZERO;
        }
        if read > 0 && self.loaded {
            let stamp = self.catalog.stamp();
            (self.on_event)(FeedEvent::Changed { changes, stamp });
        }
        self.follow_ends();
    }

    fn apply(&mut self, record: &Record, changes: &mut Vec<Change>) {
        let key = record.key.as_deref().unwrap_or_default();
        let value = record.value.as_deref();
        let applied = if *record.topic == *self.config {
            self.catalog.apply_config(record.offset, key, value)
        } else {
            self.catalog.apply_status(key, value)
        };
        let Applied {
            changes: some,
            problems,
            notes,
        } = applied;
        if self.loaded {
            changes.extend(some);
        }
        self.stats.broken(problems.len());
        for problem in problems {
            self.tell(FeedEvent::Problem(problem));
        }
        for note in notes {
            self.tell(FeedEvent::Note(note));
        }
    }

    /// Problems wait for the load, so that it is the first event.
    fn tell(&mut self, event: FeedEvent) {
        if self.loaded {
            (self.on_event)(event);
        } else if self.kept.len() < PROBLEMS_KEPT {
            self.kept.push(event);
        }
    }

    fn load(&mut self) {
        self.loaded = true;
        let stamp = self.catalog.stamp();
        let changes = self.catalog.all();
        (self.on_event)(FeedEvent::Loaded { changes, stamp });
        for event in std::mem::take(&mut self.kept) {
            (self.on_event)(event);
        }
        self.stats.loaded();
        self.ends_at = Instant::now();
    }

    /// Keeps the metrics of how far behind the feed is.
    fn follow_ends(&mut self) {
        if !self.loaded {
            return;
        }
        let applied = self.reader.positions();
        self.stats.applied(applied[0].unwrap_or(0));
        if Instant::now() < self.ends_at {
            return;
        }
        self.ends_at = Instant::now() + ENDS_EVERY;
        // Brokers that are away show as a growing age.
        if let Ok(ends) = self.reader.ends() {
            let reached = |(end, at): (&i64, &Option<i64>)| at.unwrap_or(0) >= *end;
            let current = ends.iter().zip(&applied).all(reached);
            self.stats.ends(ends[0], current);
        }
    }
}
