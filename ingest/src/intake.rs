//! The one thread of ingest: poll, decode, match, produce, settle, commit.
//!
//! A turn of the loop takes what the configuration feed brought, moves a
//! rebalance on, reads a batch of records, gives their envelopes to the
//! producer, settles what was acknowledged and once a second commits. Nothing
//! in it waits for one record; what blocks are questions to the brokers, when
//! partitions come or sources change.
//!
//! Bounds: reading stops when [`OPEN_OFFSETS_MAX`] offsets or the configured
//! bytes are open, or the producer's queue is full, and goes on at half.

mod config;
mod drain;
mod flow;
mod lost;
mod rebalance;
mod record;
mod settle;

use std::collections::BTreeSet;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use hooklane_kafka::config_feed::FeedEvent;
use hooklane_kafka::consumer::{CommitToken, Committed, ConsumerError, GroupConsumer, Polled};
use hooklane_kafka::error::ErrorKind;
use hooklane_kafka::record::TopicPartition;
use hooklane_kafka::settings::ClientSettings;
use hooklane_model::time::Clock;
use hooklane_service::probes::Heartbeat;

use crate::error::IngestError;
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::progress::Progress;
use crate::view::View;
pub(crate) use config::follow;
use lost::Lost;
use rebalance::Rebalance;

/// Source offsets that may be open. It bounds what is read again after a
/// crash, and the memory of the bookkeeping to a few MiB; at 20,000 events/s
/// it is a second of acknowledgements.
pub(crate) const OPEN_OFFSETS_MAX: usize = 20_000;
/// Records of one turn: about 10 ms of work, so that reports and rebalances
/// don't wait longer than that.
const BATCH_MAX: usize = 500;
/// How long a turn waits for a record when nothing is open, and when reports
/// are on their way.
const IDLE_WAIT: Duration = Duration::from_millis(20);
const OPEN_WAIT: Duration = Duration::from_millis(2);
const COMMIT_EVERY: Duration = Duration::from_secs(1);

/// What the loop is made of.
pub(crate) struct Parts {
    pub(crate) consumer: GroupConsumer,
    pub(crate) outbox: Outbox,
    pub(crate) view: View,
    pub(crate) feed: Receiver<FeedEvent>,
    pub(crate) settings: ClientSettings,
    pub(crate) lanes: NonZeroU16,
    pub(crate) open_bytes_max: usize,
    pub(crate) metrics: Metrics,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) heartbeat: Heartbeat,
}

/// The loop's state.
pub(crate) struct Intake {
    parts: Parts,
    progress: Progress,
    rebalance: Option<Rebalance>,
    /// Partitions whose position is not in their log; bounded by what is
    /// assigned, each stands still until it is dealt with.
    lost: Vec<Lost>,
    /// The topics subscribed to.
    topics: BTreeSet<String>,
    /// When the topics are to be compared with the sources again.
    check_topics_at: Option<Instant>,
    /// Reading is stopped at a bound.
    paused: bool,
    /// The client's queue did not take everything.
    queue_full: bool,
    /// Nothing is read any more.
    draining: bool,
    /// The commit that was not answered yet, and when it was sent.
    commit: Option<(CommitToken, Instant)>,
    commit_at: Instant,
}

impl Intake {
    pub(crate) fn new(parts: Parts) -> Self {
        parts.metrics.open_offsets_max.set_len(OPEN_OFFSETS_MAX);
        parts.metrics.open_bytes_max.set_len(parts.open_bytes_max);
        let now = Instant::now();
        Self {
            parts,
            progress: Progress::default(),
            rebalance: None,
            lost: Vec::new(),
            topics: BTreeSet::new(),
            check_topics_at: Some(now),
            paused: false,
            queue_full: false,
            draining: false,
            commit: None,
            commit_at: now + COMMIT_EVERY,
        }
    }

    /// Subscribes to what the sources name, for the first time.
    pub(crate) fn subscribe(&mut self) -> Result<(), IngestError> {
        self.follow_topics()
    }

    /// Turns until `stop` says so.
    pub(crate) fn run(&mut self, stop: impl Fn() -> bool) -> Result<(), IngestError> {
        while !stop() {
            self.turn()?;
        }
        Ok(())
    }

    fn turn(&mut self) -> Result<(), IngestError> {
        self.parts.heartbeat.beat();
        self.follow_config();
        self.follow_topics()?;
        self.move_rebalance()?;
        self.note_lost()?;
        self.read_batch()?;
        self.settle()?;
        self.control_flow()?;
        self.commit_when_due()
    }

    fn read_batch(&mut self) -> Result<(), IngestError> {
        let idle = self.progress.open_offsets() == 0 && self.rebalance.is_none();
        let mut wait = if idle { IDLE_WAIT } else { OPEN_WAIT };
        for _ in 0..BATCH_MAX {
            let Some(event) = self.parts.consumer.poll(wait) else {
                break;
            };
            wait = Duration::ZERO;
            match event {
                Polled::Record(record) => self.take(&record),
                Polled::Assigned(partitions) => self.assigned(partitions),
                Polled::Revoked { partitions, lost } => self.revoked(partitions, lost),
                Polled::OutOfRange {
                    partition,
                    position,
                    low,
                    high,
                } => {
                    self.lost.push(Lost {
                        partition,
                        position,
                        low,
                        high,
                    });
                }
                Polled::Committed(answer) => self.commit_answered(&answer),
                Polled::Error(error) => self.read_failed(error)?,
            }
            if self.parts.outbox.is_waiting() {
                break;
            }
        }
        Ok(())
    }

    fn read_failed(&self, error: ConsumerError) -> Result<(), IngestError> {
        if error.kind() == ErrorKind::Fatal {
            return Err(error.into());
        }
        self.parts.metrics.read_errors.inc();
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "reading reports a failure"
        );
        Ok(())
    }

    fn commit_when_due(&mut self) -> Result<(), IngestError> {
        let now = Instant::now();
        if now < self.commit_at {
            return Ok(());
        }
        self.commit_at = now + COMMIT_EVERY;
        if let Some(fatal) = self.parts.outbox.fatal_error() {
            return Err(IngestError::ProducerFatal(fatal));
        }
        self.show();
        // An answer that never comes must not end committing.
        let open = self
            .commit
            .as_ref()
            .is_some_and(|(_, sent)| now - *sent < 10 * COMMIT_EVERY);
        if self.rebalance.is_none() && !open {
            let offsets = self.progress.to_commit();
            self.commit = self.send_commit(&offsets);
        }
        Ok(())
    }

    fn send_commit(&mut self, offsets: &[(TopicPartition, i64)]) -> Option<(CommitToken, Instant)> {
        if offsets.is_empty() {
            return None;
        }
        match self.parts.consumer.commit_async(offsets) {
            Ok(token) => Some((token, Instant::now())),
            Err(error) => {
                self.commit_failed(&error);
                None
            }
        }
    }

    fn commit_answered(&mut self, answer: &Committed) {
        self.commit.take_if(|(token, _)| *token == answer.token);
        match &answer.result {
            Ok(()) => self.progress.committed(&answer.offsets),
            Err(error) => self.commit_failed(error),
        }
        self.commit_answered_for_revoke(answer.token);
    }

    fn commit_failed(&self, error: &(dyn std::error::Error + 'static)) {
        self.parts.metrics.commit_errors.inc();
        tracing::warn!(error, "commit refused; it is repeated with the next one");
    }
}
