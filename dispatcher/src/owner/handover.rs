//! Lanes coming and going.

use std::collections::BTreeSet;
use std::time::Duration;

use hooklane_kafka::consumer::ConsumerError;
use hooklane_kafka::record::TopicPartition;
use hooklane_model::lane::Lane;

use super::{Owned, Owner, OwnerError, Polled};
use crate::worker::ToWorker;
use hooklane_engine::{Epoch, Mono};

/// How long a lane that is let go may finish its requests. The whole group
/// waits for it, or at the end of the process whoever comes after it.
const DRAIN: Duration = Duration::from_secs(3);
/// How long after the drain the answers of workers and broker may take.
const SETTLE: Duration = Duration::from_secs(2);
/// How long one question about offsets may take.
const ASK: Duration = Duration::from_secs(10);
/// How often a question is asked before the process gives up.
const ASK_TIMES: u32 = 6;
/// How long after the first time it is asked again; after each more, so much
/// longer: 3 s in all, of which a poll interval has many.
const ASK_PAUSE: Duration = Duration::from_millis(200);

impl Owner {
    pub(super) fn assigned(&mut self, partitions: &[TopicPartition]) -> Result<(), OwnerError> {
        let mut starts = Vec::with_capacity(partitions.len());
        for (partition, committed) in self.committed(partitions)? {
            let next = match committed {
                Some(offset) => offset,
                // Nobody has read this lane yet: from its first record.
                None => self.log_start(&partition)?,
            };
            starts.push((partition, Some(next)));
        }
        for (partition, next) in &starts {
            self.tell_assigned(partition, next.unwrap_or(0))?;
        }
        self.parts.consumer.complete_assign(&starts)?;
        self.parts.metrics.rebalances.inc();
        self.parts.joined.set(true);
        tracing::info!(
            lanes = starts.len(),
            owned = self.lanes.len(),
            "lanes assigned"
        );
        self.repause(partitions)?;
        // The answer begins the lease: nothing is sent before it.
        let now = self.parts.clocks.mono();
        self.commit(now);
        Ok(())
    }

    fn tell_assigned(&mut self, partition: &TopicPartition, next: i64) -> Result<(), OwnerError> {
        let Some(lane) = Lane::from_partition(partition.partition) else {
            return Ok(());
        };
        let epoch = Epoch(self.next_epoch);
        self.next_epoch += 1;
        let worker = self.worker_of(lane);
        self.parts.workers[worker].board.clear_too_new(lane);
        self.lanes.insert(
            lane,
            Owned {
                epoch,
                stopped: false,
                committed: next,
            },
        );
        self.tell(worker, ToWorker::Assigned { lane, epoch, next })
    }

    /// Partitions arrive un-paused, whatever their worker said before.
    fn repause(&mut self, partitions: &[TopicPartition]) -> Result<(), OwnerError> {
        let paused: Vec<TopicPartition> = partitions
            .iter()
            .filter(|p| {
                let lane = Lane::from_partition(p.partition);
                lane.is_some_and(|lane| self.parts.workers[self.worker_of(lane)].paused)
            })
            .cloned()
            .collect();
        if !paused.is_empty() {
            self.parts.consumer.pause(&paused)?;
        }
        Ok(())
    }

    pub(super) fn revoked(
        &mut self,
        partitions: &[TopicPartition],
        lost: bool,
    ) -> Result<(), OwnerError> {
        let began = self.parts.clocks.mono();
        self.parts.metrics.rebalances.inc();
        if lost {
            // Others may own them by now: stop at once, commit nothing.
            self.parts.lease.end();
        }
        let drain = if lost { Duration::ZERO } else { DRAIN };
        let committed = self.drain(partitions, drain)?;
        if !lost && !committed.is_empty() {
            self.commit_and_wait(&committed);
        }
        self.parts.consumer.complete_revoke(partitions)?;
        self.let_go(began, partitions.len(), lost);
        if self.lanes.is_empty() {
            self.parts.lease.end();
        }
        Ok(())
    }

    /// Tells how long a hand-over took: nobody delivered from its lanes
    /// meanwhile.
    fn let_go(&self, began: Mono, lanes: usize, lost: bool) {
        let took = self.parts.clocks.mono().since(began);
        let took_seconds = took.as_secs_f64();
        tracing::info!(lanes, lost, took_seconds, "lanes let go");
        if lanes > 0 {
            self.parts.metrics.hand_over.observe_duration(took);
        }
    }

    /// Lets workers finish what is open in these lanes, and returns what can
    /// be committed.
    fn drain(
        &mut self,
        partitions: &[TopicPartition],
        drain: Duration,
    ) -> Result<Vec<(TopicPartition, i64)>, OwnerError> {
        let deadline = self.parts.clocks.mono().after(drain);
        let mut open = BTreeSet::new();
        for partition in partitions {
            let Some(lane) = Lane::from_partition(partition.partition) else {
                continue;
            };
            if self.lanes.remove(&lane).is_some() {
                let worker = self.worker_of(lane);
                self.parts.workers[worker]
                    .waiting
                    .retain(|record| record.lane != lane);
                self.tell(worker, ToWorker::Revoked { lane, deadline })?;
                self.parts
                    .metrics
                    .lag
                    .remove(&partition.topic, partition.partition);
                open.insert(lane);
            }
        }
        let mut released = Vec::with_capacity(open.len());
        let give_up = deadline.after(SETTLE);
        while !open.is_empty() && self.parts.clocks.mono() < give_up {
            self.parts.heartbeat.beat();
            // Settling needs the reports, and they come from this thread.
            self.parts.outbox.poll(Duration::from_millis(1));
            while let Ok(done) = self.parts.released.try_recv() {
                // One that was given up earlier may still be announced.
                if open.remove(&done.lane) {
                    let partition = TopicPartition::new(self.topic.clone(), done.lane.partition());
                    released.push((partition, done.watermark));
                }
            }
        }
        if !open.is_empty() {
            tracing::error!(?open, "workers did not let these lanes go in time");
        }
        Ok(released)
    }

    /// Commits and polls on until the answer, or not much longer.
    fn commit_and_wait(&mut self, offsets: &[(TopicPartition, i64)]) {
        let token = match self.parts.consumer.commit_async(offsets) {
            Ok(token) => token,
            Err(error) => return self.commit_failed(&error),
        };
        let until = self.parts.clocks.mono().after(SETTLE);
        while self.parts.clocks.mono() < until {
            match self.parts.consumer.poll(Duration::from_millis(10)) {
                Some(Polled::Committed(committed)) => {
                    let ours = committed.token == token;
                    self.commit_answered(&committed);
                    if ours {
                        return;
                    }
                }
                Some(Polled::Record(record)) => self.take_record(record),
                Some(Polled::Error(error)) => {
                    tracing::warn!(%error, "while lanes are handed over");
                }
                Some(_) | None => {}
            }
        }
        tracing::warn!("no answer to the commit of lanes that are handed over");
    }

    /// Lets everything go at the end of the process, which has so much time for
    /// it at the most.
    pub(crate) fn finish(&mut self, most: Duration) -> Result<(), OwnerError> {
        let began = self.parts.clocks.mono();
        let partitions: Vec<TopicPartition> = self
            .lanes
            .keys()
            .map(|lane| TopicPartition::new(self.topic.clone(), lane.partition()))
            .collect();
        if partitions.is_empty() {
            return Ok(());
        }
        self.parts.consumer.pause(&partitions)?;
        let committed = self.drain(&partitions, DRAIN.min(most))?;
        if !committed.is_empty() {
            self.commit_and_wait(&committed);
        }
        self.let_go(began, partitions.len(), false);
        Ok(())
    }

    /// Starts a lane over at another offset, under a new claim.
    pub(super) fn restart_lane(
        &mut self,
        partition: &TopicPartition,
        next: i64,
    ) -> Result<(), OwnerError> {
        self.tell_assigned(partition, next)?;
        self.parts.consumer.seek(partition, next)?;
        Ok(())
    }

    /// Tells a worker something that it must hear; waits for room.
    fn tell(&mut self, worker: usize, what: ToWorker) -> Result<(), OwnerError> {
        let inbox = &self.parts.workers[worker].inbox;
        inbox
            .blocking_send(what)
            .map_err(|_| OwnerError::WorkerGone(worker))
    }

    fn committed(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<Vec<(TopicPartition, Option<i64>)>, OwnerError> {
        self.asked(|| self.parts.consumer.committed(partitions, ASK))
    }

    fn log_start(&self, partition: &TopicPartition) -> Result<i64, OwnerError> {
        self.asked(|| self.parts.consumer.watermarks(partition, ASK))
            .map(|(low, _)| low)
    }

    fn asked<T>(&self, ask: impl Fn() -> Result<T, ConsumerError>) -> Result<T, OwnerError> {
        let mut asked = 1;
        loop {
            self.parts.heartbeat.beat();
            match ask() {
                Ok(answer) => return Ok(answer),
                Err(error) if asked == ASK_TIMES => return Err(error.into()),
                Err(error) => tracing::warn!(%error, asked, "asking again"),
            }
            // A partition without a leader is answered at once, and is
            // elected one within a second.
            std::thread::sleep(ASK_PAUSE * asked);
            asked += 1;
        }
    }

    /// Takes the consumer apart for closing; this thread's turns are over.
    pub(crate) fn into_consumer(self) -> hooklane_kafka::consumer::GroupConsumer {
        self.parts.heartbeat.retire();
        self.parts.consumer
    }
}
