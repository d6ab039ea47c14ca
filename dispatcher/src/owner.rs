//! The consumer thread: owns the group membership and with it the lanes.
//!
//! It polls records and hands them to workers in batches, answers rebalances,
//! commits, renews the lease and polls the producers. It never waits for a
//! worker but while a lane is handed over, and then with a deadline, because
//! the whole group waits with it.

mod handover;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use hooklane_kafka::consumer::{CommitToken, Committed, ConsumerError, GroupConsumer, Polled};
use hooklane_kafka::error::ErrorKind;
use hooklane_kafka::record::{Record, TopicPartition};
use hooklane_model::lane::Lane;
use hooklane_service::probes::{Condition, Heartbeat};
use tokio::sync::mpsc;

use crate::attempt::Clocks;
use crate::lease::Lease;
use crate::metrics::Metrics;
use crate::outbox::{Outbox, OutboxError};
use crate::records;
use crate::steps::OwnerStep;
use crate::token::{About, pack};
use crate::worker::{Board, ReadRecord, Released, ToWorker};
use hooklane_engine::{Epoch, Mono};

/// How long a poll waits when there is nothing to read.
const POLL_WAIT: Duration = Duration::from_millis(10);
/// Records taken in one go before reports and timers are looked at.
const BATCH_RECORDS: usize = 256;
/// Bytes taken in one go.
const BATCH_BYTES: usize = 256 << 10;
/// How often offsets are committed, moved or not: each acked commit renews
/// the lease, and what finished since the last one is repeated after a crash.
const COMMIT_EVERY: Duration = Duration::from_millis(500);
/// How long a turn lasts while a worker catches up.
const HELD_BACK: Duration = Duration::from_millis(1);
/// How long reading waits for a worker before its lanes are paused, so that
/// the other workers' are read. The group is not answered meanwhile.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often the gauges that cost something are refreshed.
const GAUGES_EVERY: Duration = Duration::from_secs(5);

/// Why the dispatcher cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    /// The consumer is unusable.
    #[error("the consumer of the lanes failed")]
    Consumer(#[from] ConsumerError),
    /// A producer is unusable, or refused for good.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// A worker is gone.
    #[error("worker {0} ended before its time")]
    WorkerGone(usize),
}

/// A worker as the consumer thread sees it.
pub(crate) struct WorkerLink {
    pub(crate) inbox: mpsc::Sender<ToWorker>,
    pub(crate) board: Arc<Board>,
    /// Records that its inbox had no room for.
    pub(crate) waiting: Vec<ReadRecord>,
    /// Since when it has been full.
    pub(crate) full_since: Option<Mono>,
    /// Whether its lanes are paused.
    pub(crate) paused: bool,
}

impl WorkerLink {
    fn is_full(&self) -> bool {
        self.board.is_full() || self.waiting.len() >= BATCH_RECORDS
    }
}

/// A lane this process owns.
struct Owned {
    epoch: Epoch,
    /// Stopped for good under this claim: a newer release wrote to it.
    stopped: bool,
    committed: i64,
}

/// What the consumer thread is made of.
pub(crate) struct Parts {
    pub(crate) consumer: GroupConsumer,
    pub(crate) workers: Vec<WorkerLink>,
    pub(crate) released: Receiver<Released>,
    pub(crate) outbox: Outbox,
    pub(crate) lease: Lease,
    pub(crate) clocks: Clocks,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) heartbeat: Heartbeat<OwnerStep>,
    pub(crate) joined: Condition,
}

/// The consumer thread's state.
pub(crate) struct Owner {
    parts: Parts,
    topic: Arc<str>,
    lanes: BTreeMap<Lane, Owned>,
    next_epoch: u64,
    commits: HashMap<CommitToken, Mono>,
    committed_at: Mono,
    gauges_at: Mono,
}

impl Owner {
    pub(crate) fn new(parts: Parts) -> Self {
        let topic = Arc::from(parts.outbox.topics().deliveries.as_str());
        Self {
            parts,
            topic,
            lanes: BTreeMap::new(),
            next_epoch: 1,
            commits: HashMap::new(),
            committed_at: Mono(0),
            gauges_at: Mono(0),
        }
    }

    /// Runs until `stop` says so; the lanes are still owned then.
    pub(crate) fn run(&mut self, stop: impl Fn() -> bool) -> Result<(), OwnerError> {
        while !stop() {
            self.turn()?;
        }
        Ok(())
    }

    fn turn(&mut self) -> Result<(), OwnerError> {
        let heartbeat = &self.parts.heartbeat;
        heartbeat.beat();
        if self.is_held_back() {
            heartbeat.at(OwnerStep::Reports);
            self.parts.outbox.poll(HELD_BACK);
        } else {
            heartbeat.at(OwnerStep::Poll);
            self.read_batch()?;
            self.parts.heartbeat.at(OwnerStep::Reports);
            self.parts.outbox.poll(Duration::ZERO);
        }
        self.parts.heartbeat.at(OwnerStep::HandOver);
        self.hand_over_batches()?;
        if let Some(failure) = self.parts.outbox.failure() {
            return Err(failure.into());
        }
        let now = self.parts.clocks.mono();
        self.pause_and_resume(now)?;
        self.parts.heartbeat.at(OwnerStep::Commit);
        if now.since(self.committed_at) >= COMMIT_EVERY {
            self.commit(now);
        }
        if now.since(self.gauges_at) >= GAUGES_EVERY {
            self.refresh_gauges(now);
        }
        Ok(())
    }

    /// Polls until a batch is full or nothing is ready.
    fn read_batch(&mut self) -> Result<(), OwnerError> {
        let (mut records, mut bytes) = (0, 0);
        let mut wait = POLL_WAIT;
        while records < BATCH_RECORDS && bytes < BATCH_BYTES {
            let Some(polled) = self.parts.consumer.poll(wait) else {
                break;
            };
            if let Polled::Record(record) = &polled {
                records += 1;
                bytes += record.value.as_ref().map_or(0, bytes::Bytes::len);
                // More may be ready, but what was read is not kept waiting.
                wait = Duration::ZERO;
            }
            self.take(polled)?;
        }
        Ok(())
    }

    fn take(&mut self, polled: Polled) -> Result<(), OwnerError> {
        match polled {
            Polled::Record(record) => {
                self.take_record(record);
                Ok(())
            }
            Polled::Assigned(partitions) => {
                self.parts.heartbeat.at(OwnerStep::Assign);
                self.assigned(&partitions)
            }
            Polled::Revoked { partitions, lost } => {
                self.parts.heartbeat.at(OwnerStep::Revoke);
                self.revoked(&partitions, lost)
            }
            Polled::OutOfRange {
                partition,
                position,
                low,
                high,
            } => self.out_of_range(&partition, position, (low, high)),
            Polled::Committed(committed) => {
                self.commit_answered(&committed);
                Ok(())
            }
            Polled::Error(error) if error.kind() == ErrorKind::Fatal => Err(error.into()),
            Polled::Error(error) => {
                self.parts.metrics.consumer_errors.inc();
                tracing::warn!(%error, "the consumer goes on");
                Ok(())
            }
        }
    }

    fn take_record(&mut self, record: Record) {
        self.parts.metrics.records.inc();
        let Some(lane) = Lane::from_partition(record.partition) else {
            return;
        };
        let Some(owned) = self.lanes.get(&lane) else {
            return;
        };
        let read = ReadRecord {
            lane,
            epoch: owned.epoch,
            offset: record.offset,
            value: record.value,
        };
        let worker = self.worker_of(lane);
        self.parts.workers[worker].waiting.push(read);
    }

    fn worker_of(&self, lane: Lane) -> usize {
        usize::from(lane.0) % self.parts.workers.len()
    }

    /// Gives each worker what was read for it, in one piece and with one wake.
    fn hand_over_batches(&mut self) -> Result<(), OwnerError> {
        for (index, worker) in self.parts.workers.iter_mut().enumerate() {
            // The last places of the inbox are for assignments and changes.
            if worker.waiting.is_empty() || worker.inbox.capacity() <= INBOX_RESERVE {
                continue;
            }
            let batch = std::mem::take(&mut worker.waiting);
            match worker.inbox.try_send(ToWorker::Batch(batch)) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(ToWorker::Batch(batch))) => {
                    worker.waiting = batch;
                }
                Err(_) => return Err(OwnerError::WorkerGone(index)),
            }
        }
        Ok(())
    }

    /// Whether reading waits for a worker to catch up. Short waits are just
    /// that: a pause throws away what was fetched ahead, up to 32 MiB.
    fn is_held_back(&self) -> bool {
        let mut workers = self.parts.workers.iter();
        workers.any(|worker| worker.is_full() && !worker.paused)
    }

    /// Stops reading the lanes of a worker that stays full, and goes on when
    /// it is not.
    fn pause_and_resume(&mut self, now: Mono) -> Result<(), OwnerError> {
        self.stop_lanes_too_new()?;
        for index in 0..self.parts.workers.len() {
            let worker = &mut self.parts.workers[index];
            let full = worker.is_full();
            if !full {
                worker.full_since = None;
            } else if worker.full_since.is_none() {
                worker.full_since = Some(now);
            }
            let pause = worker
                .full_since
                .is_some_and(|since| now.since(since) >= PATIENCE);
            if pause == worker.paused {
                continue;
            }
            worker.paused = pause;
            let partitions = self.partitions_of(index);
            if partitions.is_empty() {
                continue;
            }
            if pause {
                self.parts.consumer.pause(&partitions)?;
            } else {
                self.parts.consumer.resume(&partitions)?;
            }
        }
        Ok(())
    }

    fn stop_lanes_too_new(&mut self) -> Result<(), OwnerError> {
        let mut stop = Vec::new();
        for (lane, owned) in &mut self.lanes {
            let worker = usize::from(lane.0) % self.parts.workers.len();
            if !owned.stopped && self.parts.workers[worker].board.is_too_new(*lane) {
                owned.stopped = true;
                stop.push(TopicPartition::new(self.topic.clone(), lane.partition()));
            }
        }
        if !stop.is_empty() {
            self.parts.consumer.pause(&stop)?;
        }
        Ok(())
    }

    /// The partitions of a worker's lanes that are not stopped for good.
    fn partitions_of(&self, worker: usize) -> Vec<TopicPartition> {
        self.lanes
            .iter()
            .filter(|(lane, owned)| self.worker_of(**lane) == worker && !owned.stopped)
            .map(|(lane, _)| TopicPartition::new(self.topic.clone(), lane.partition()))
            .collect()
    }

    /// Commits every lane, moved or not.
    fn commit(&mut self, now: Mono) {
        self.committed_at = now;
        let lease = self.parts.lease.until().since(now);
        self.parts.metrics.lease_seconds.set_duration(lease);
        let mut offsets = Vec::with_capacity(self.lanes.len());
        for (lane, owned) in &mut self.lanes {
            let worker = usize::from(lane.0) % self.parts.workers.len();
            let board = &self.parts.workers[worker].board;
            let shown = board.watermark(*lane, owned.epoch);
            // A worker that has just been told of a lane shows nothing yet.
            owned.committed = owned.committed.max(shown.unwrap_or(owned.committed));
            let partition = TopicPartition::new(self.topic.clone(), lane.partition());
            offsets.push((partition, owned.committed));
        }
        if offsets.is_empty() {
            return;
        }
        match self.parts.consumer.commit_async(&offsets) {
            Ok(token) => {
                // Answers that never come must not pile up.
                self.commits
                    .retain(|_, sent| now.since(*sent) < Duration::from_secs(120));
                self.commits.insert(token, now);
            }
            Err(error) => self.commit_failed(&error),
        }
    }

    fn commit_answered(&mut self, committed: &Committed) {
        let sent = self.commits.remove(&committed.token);
        match &committed.result {
            Ok(()) => {
                if let Some(sent) = sent {
                    self.parts.lease.renew(sent);
                }
            }
            Err(error) => self.commit_failed(error),
        }
    }

    fn commit_failed(&self, error: &dyn std::error::Error) {
        self.parts.metrics.commit_errors.inc();
        tracing::warn!(%error, "commit failed; the next one repeats it");
    }

    fn out_of_range(
        &mut self,
        partition: &TopicPartition,
        position: Option<i64>,
        (low, high): (i64, i64),
    ) -> Result<(), OwnerError> {
        let from = position.unwrap_or(low);
        // Beyond the end means that the topic was made anew: start over.
        let next = if from > high { low } else { from.max(low) };
        tracing::error!(
            topic = %partition.topic, partition = partition.partition, from, low, high,
            "records were lost: retention took them before they were read"
        );
        self.parts
            .metrics
            .lost
            .add(u64::try_from(low - from).unwrap_or(0));
        let now = self.parts.clocks.wall.now();
        let note = records::lost_note(&partition.topic, partition.partition, (from, low), now);
        let token = pack(0, About::Nobody);
        if self
            .parts
            .outbox
            .poison(&partition.to_string(), None, &note, token)
            .is_err()
        {
            tracing::error!(%partition, "the note of the loss found no room; see the log line above");
        }
        self.restart_lane(partition, next)
    }

    fn refresh_gauges(&mut self, now: Mono) {
        self.gauges_at = now;
        let metrics = &self.parts.metrics;
        let stopped = self.lanes.values().filter(|owned| owned.stopped).count();
        metrics.lanes_too_new.set_len(stopped);
        for (partition, high) in self.parts.consumer.high_watermarks() {
            let lane = Lane::from_partition(partition.partition);
            if let Some(owned) = lane.and_then(|lane| self.lanes.get(&lane)) {
                #[allow(clippy::cast_precision_loss, reason = "a gauge of a count of records")]
                let lag = (high - owned.committed).max(0) as f64;
                metrics.lag.set(&partition.topic, partition.partition, lag);
            }
        }
    }
}

/// Places of an inbox, in messages: eight batches of at most 256 KiB read
/// ahead of the worker, and the reserve.
pub(crate) const INBOX: usize = INBOX_RESERVE + 8;
/// Places kept for what is not a batch. When they are taken too, whoever
/// brings an assignment or a change waits for the worker.
const INBOX_RESERVE: usize = 8;
