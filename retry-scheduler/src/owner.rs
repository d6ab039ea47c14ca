//! The one thread of the scheduler: polls, tells the schedule, does what it
//! says.
//!
//! It decides nothing about deliveries. It must never block for long: the
//! group takes its partitions away after 60 s without a poll, and a rebalance
//! that it does not complete holds up the whole group. What blocks is asked
//! with short time-outs and given up for this turn.

mod handover;
mod outgoing;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hooklane_kafka::consumer::{Committed, ConsumerError, GroupConsumer, Polled};
use hooklane_kafka::error::ErrorKind;
use hooklane_kafka::producer::ProduceError;
use hooklane_kafka::record::{Record, TimestampKind, TopicPartition};
use hooklane_model::ladder::Rung;
use hooklane_model::time::{Clock, UnixMillis};
use hooklane_service::clock::Monotonic;
use hooklane_service::probes::{Condition, Heartbeat};

use self::handover::Handover;
pub(crate) use self::outgoing::Outbox;
use crate::metrics::Metrics;
use crate::schedule::{Control, DelayPartition, Now, RecordRead, Schedule};
use crate::topics::Topics;

/// How long a poll waits at most when nothing is due: how late a due record
/// can be found if the clock was set.
const POLL_WAIT: Duration = Duration::from_millis(50);
/// ... while reports are awaited, which come by another call.
const REPORT_WAIT: Duration = Duration::from_millis(5);
/// Records taken in one go before reports and timers are looked at.
const BATCH_RECORDS: usize = 512;
/// How often the gauges are set.
const GAUGES_EVERY: Duration = Duration::from_secs(1);

/// Why the scheduler cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    /// The consumer is unusable.
    #[error("the consumer of the delay topics failed")]
    Consumer(#[from] ConsumerError),
    /// The producer is unusable.
    #[error("the producer failed for good; what it held is read again after a restart")]
    Producer(#[source] ProduceError),
}

/// What an owner is made of.
pub(crate) struct Parts {
    pub(crate) consumer: GroupConsumer,
    pub(crate) outbox: Outbox,
    pub(crate) schedule: Schedule,
    pub(crate) topics: Topics,
    pub(crate) metrics: Metrics,
    pub(crate) wall: Arc<dyn Clock>,
    pub(crate) boot: Arc<dyn Monotonic>,
    pub(crate) heartbeat: Heartbeat,
    pub(crate) joined: Condition,
    /// Whether records may carry their producer's time.
    pub(crate) create_time: bool,
    /// Set when the deliveries topic has another number of partitions.
    pub(crate) lanes_changed: Arc<AtomicBool>,
}

/// See the module.
pub(crate) struct Owner {
    consumer: GroupConsumer,
    outbox: Outbox,
    schedule: Schedule,
    topics: Topics,
    metrics: Metrics,
    wall: Arc<dyn Clock>,
    boot: Arc<dyn Monotonic>,
    heartbeat: Heartbeat,
    joined: Condition,
    create_time: bool,
    lanes_changed: Arc<AtomicBool>,
    handover: Handover,
    /// Where each owned partition is committed, for the gauges.
    committed: BTreeMap<DelayPartition, i64>,
    gauges_at: Duration,
    stopping: bool,
}

impl Owner {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            consumer: parts.consumer,
            outbox: parts.outbox,
            schedule: parts.schedule,
            topics: parts.topics,
            metrics: parts.metrics,
            wall: parts.wall,
            boot: parts.boot,
            heartbeat: parts.heartbeat,
            joined: parts.joined,
            create_time: parts.create_time,
            lanes_changed: parts.lanes_changed,
            handover: Handover::None,
            committed: BTreeMap::new(),
            gauges_at: Duration::ZERO,
            stopping: false,
        }
    }

    /// Turns until `stop` says so.
    pub(crate) fn run(&mut self, stop: impl Fn() -> bool) -> Result<(), OwnerError> {
        while !stop() {
            self.turn()?;
        }
        Ok(())
    }

    /// Ends the heartbeat and gives the consumer back to be closed.
    pub(crate) fn into_consumer(self) -> GroupConsumer {
        self.heartbeat.retire();
        self.consumer
    }

    fn now(&self) -> Now {
        Now {
            wall: self.wall.now(),
            mono: Duration::from_nanos(self.boot.nanos()),
        }
    }

    fn turn(&mut self) -> Result<(), OwnerError> {
        self.heartbeat.beat();
        self.poll()?;
        let now = self.now();
        self.outbox
            .reports(&mut self.schedule, &self.metrics, now)?;
        self.go_on_with_handover()?;
        let now = self.now();
        self.schedule.tick(now);
        self.obey();
        self.outbox
            .send(&mut self.schedule, &self.topics, &self.metrics, now)?;
        self.show();
        Ok(())
    }

    fn poll(&mut self) -> Result<(), OwnerError> {
        let now = self.now();
        let mut wait = self
            .schedule
            .next_wake(now)
            .unwrap_or(POLL_WAIT)
            .min(POLL_WAIT);
        if self.schedule.has_flights() {
            wait = wait.min(REPORT_WAIT);
        }
        for _ in 0..BATCH_RECORDS {
            let Some(event) = self.consumer.poll(wait) else {
                return Ok(());
            };
            wait = Duration::ZERO;
            self.take(event)?;
        }
        Ok(())
    }

    fn take(&mut self, event: Polled) -> Result<(), OwnerError> {
        match event {
            Polled::Record(record) => self.take_record(record),
            Polled::Assigned(partitions) => self.start_assign(partitions),
            Polled::Revoked { partitions, lost } => self.start_revoke(partitions, lost)?,
            Polled::OutOfRange {
                partition,
                position,
                low,
                high,
            } => {
                self.out_of_range(&partition, position, (low, high))?;
            }
            Polled::Committed(answer) => self.take_committed(&answer),
            Polled::Error(error) if error.kind() == ErrorKind::Fatal => return Err(error.into()),
            Polled::Error(error) => {
                self.metrics.consumer_errors.inc();
                tracing::warn!(error = %chain(&error), "the consumer goes on after a failure");
            }
        }
        Ok(())
    }

    fn take_record(&mut self, record: Record) {
        let Some(at) = self.topics.delay_partition(&record.topic, record.partition) else {
            return;
        };
        let now = self.now();
        self.metrics.read(at.rung);
        if record.timestamp.kind != TimestampKind::LogAppendTime && !self.create_time {
            self.metrics.create_time.inc();
        }
        // A record without a time waits its whole rung from now, or until due.
        let appended = match record.timestamp.kind {
            TimestampKind::None => now.wall,
            _ => UnixMillis(u64::try_from(record.timestamp.millis).unwrap_or(0)),
        };
        let read = RecordRead {
            at,
            offset: record.offset,
            appended,
            value: record.value,
        };
        self.schedule.record(&read, now);
    }

    fn take_committed(&mut self, answer: &Committed) {
        match &answer.result {
            Ok(()) => {
                for (tp, offset) in &answer.offsets {
                    if let Some(at) = self.topics.delay_partition(&tp.topic, tp.partition)
                        && let Some(committed) = self.committed.get_mut(&at)
                    {
                        *committed = *offset;
                    }
                }
            }
            Err(error) => {
                self.metrics.commit_errors.inc();
                self.schedule.commit_failed();
                tracing::warn!(%error, "commit failed; the next one repeats it");
            }
        }
        self.handover.committed(answer.token);
    }

    fn obey(&mut self) {
        while let Some(control) = self.schedule.take_control() {
            match control {
                Control::Pause(at) => {
                    self.metrics.pauses.inc();
                    let done = self.consumer.pause(&[self.topics.topic_partition(at)]);
                    self.note_flow(done);
                }
                Control::Resume(at) => {
                    let done = self.consumer.resume(&[self.topics.topic_partition(at)]);
                    self.note_flow(done);
                }
                Control::Blocked { at, offset, reason } => {
                    let partition = self.topics.topic_partition(at);
                    tracing::error!(
                        %partition, offset, %reason,
                        "partition waits: upgrade the retry-scheduler"
                    );
                }
                Control::Commit(moved) => {
                    if let Err(error) = self.commit(&moved) {
                        self.metrics.commit_errors.inc();
                        self.schedule.commit_failed();
                        tracing::warn!(error = %chain(&error), "commit not sent; the next one repeats it");
                    }
                }
            }
        }
    }

    fn commit(
        &mut self,
        moved: &[(DelayPartition, i64)],
    ) -> Result<hooklane_kafka::consumer::CommitToken, ConsumerError> {
        let offsets: Vec<(TopicPartition, i64)> = moved
            .iter()
            .map(|(at, offset)| (self.topics.topic_partition(*at), *offset))
            .collect();
        self.consumer.commit_async(&offsets)
    }

    /// A partition that has just been taken away can't be paused: harmless.
    fn note_flow(&self, done: Result<(), ConsumerError>) {
        if let Err(error) = done {
            tracing::debug!(error = %chain(&error), "pause or resume refused");
        }
    }

    /// The log does not have the position: says what is lost and goes on from
    /// the log's start.
    fn out_of_range(
        &mut self,
        partition: &TopicPartition,
        position: Option<i64>,
        (low, high): (i64, i64),
    ) -> Result<(), OwnerError> {
        let Some(at) = self
            .topics
            .delay_partition(&partition.topic, partition.partition)
        else {
            return Ok(());
        };
        match position {
            Some(position) if position > high => {
                self.metrics.resets.inc();
                tracing::error!(
                    %partition, position, low, high,
                    "the committed offset lies beyond the log's end: the topic was made anew or cut; reading it from its start"
                );
                self.schedule.assign(at, low);
            }
            position => {
                let from = position.unwrap_or(0);
                if from < low {
                    tracing::error!(%partition, from, until = low, "records lost to retention");
                    self.schedule.lost(at, from, low, self.now());
                }
            }
        }
        self.consumer.seek(partition, low)?;
        Ok(())
    }

    fn show(&mut self) {
        let now = self.now();
        if now.mono.saturating_sub(self.gauges_at) < GAUGES_EVERY {
            return;
        }
        self.gauges_at = now.mono;
        let mut waiting = [0usize; Rung::ALL.len()];
        for (tp, high) in self.consumer.high_watermarks() {
            let Some(at) = self.topics.delay_partition(&tp.topic, tp.partition) else {
                continue;
            };
            let committed = self.committed.get(&at).copied().unwrap_or(high);
            waiting[at.rung as usize] += usize::try_from(high - committed).unwrap_or(0);
        }
        let state = self.schedule.snapshot(now.wall);
        self.metrics.show(&state, self.schedule.tally(), &waiting);
        self.metrics
            .lanes_changed
            .set(self.lanes_changed.load(Ordering::Relaxed).into());
    }
}

/// An error with its causes, for a log line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}
