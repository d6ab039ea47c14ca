//! Taking partitions over and giving them up.
//!
//! While a rebalance is not completed the client reads nothing at all, so it
//! waits only for what is already sent, and then for the commit of it, each
//! with a deadline. What is late is repeated by the next owner.

use std::time::Duration;

use hooklane_kafka::consumer::{CommitToken, ConsumerError};
use hooklane_kafka::record::TopicPartition;

use super::{Owner, OwnerError, chain};
use crate::schedule::DelayPartition;

/// How long the reports of what is sent are awaited.
const DRAIN_WAIT: Duration = Duration::from_secs(2);
/// How long the answer to the last commit is awaited.
const COMMIT_WAIT: Duration = Duration::from_secs(2);
/// How long one question about offsets may take.
const OFFSETS_WAIT: Duration = Duration::from_secs(5);
/// How long to wait before asking again.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// A rebalance, or the end, under way.
pub(super) enum Handover {
    None,
    /// Assigned, and the brokers must be asked where to begin.
    Assigning {
        partitions: Vec<TopicPartition>,
        ask_at: Duration,
    },
    /// Reports are awaited until that time.
    Draining {
        partitions: Vec<TopicPartition>,
        until: Duration,
    },
    /// The answer to this commit is awaited until that time.
    Committing {
        partitions: Vec<TopicPartition>,
        token: CommitToken,
        until: Duration,
    },
    /// Everything is done that should be done before letting go.
    Letting {
        partitions: Vec<TopicPartition>,
    },
}

impl Handover {
    /// A commit was answered.
    pub(super) fn committed(&mut self, answered: CommitToken) {
        if let Self::Committing {
            partitions, token, ..
        } = self
            && *token == answered
        {
            *self = Self::Letting {
                partitions: std::mem::take(partitions),
            };
        }
    }
}

impl Owner {
    pub(super) fn start_assign(&mut self, partitions: Vec<TopicPartition>) {
        self.metrics.rebalances.inc();
        self.handover = Handover::Assigning {
            partitions,
            ask_at: Duration::ZERO,
        };
    }

    pub(super) fn start_revoke(
        &mut self,
        partitions: Vec<TopicPartition>,
        lost: bool,
    ) -> Result<(), OwnerError> {
        self.metrics.rebalances.inc();
        if lost {
            tracing::warn!(
                partitions = partitions.len(),
                "partitions lost to another member"
            );
            for at in self.delays(&partitions) {
                self.schedule.forget(at);
                self.committed.remove(&at);
            }
            self.consumer.complete_revoke(&partitions)?;
            return Ok(());
        }
        for at in self.delays(&partitions) {
            self.schedule.leave(at);
        }
        let until = self.now().mono + DRAIN_WAIT;
        self.handover = Handover::Draining { partitions, until };
        Ok(())
    }

    pub(super) fn go_on_with_handover(&mut self) -> Result<(), OwnerError> {
        let now = self.now().mono;
        match std::mem::replace(&mut self.handover, Handover::None) {
            Handover::None => {}
            Handover::Assigning { partitions, ask_at } if now < ask_at => {
                self.handover = Handover::Assigning { partitions, ask_at };
            }
            Handover::Assigning { partitions, .. } => self.assign(partitions)?,
            Handover::Draining { partitions, until } => {
                let open: usize = self
                    .delays(&partitions)
                    .map(|at| self.schedule.open_flights(at))
                    .sum();
                if open > 0 && now < until {
                    self.handover = Handover::Draining { partitions, until };
                } else {
                    self.commit_last(partitions, open)?;
                }
            }
            Handover::Committing {
                partitions,
                token,
                until,
            } => {
                if now < until {
                    self.handover = Handover::Committing {
                        partitions,
                        token,
                        until,
                    };
                } else {
                    tracing::warn!(
                        "no answer to the last commit; the next owner may repeat records"
                    );
                    self.let_go(&partitions)?;
                }
            }
            Handover::Letting { partitions } => self.let_go(&partitions)?,
        }
        Ok(())
    }

    /// Gives everything up at the end: waits for what is sent, commits.
    ///
    /// Returns `false` when records are still open at the deadline.
    pub(crate) fn finish(&mut self, deadline: Duration) -> Result<bool, OwnerError> {
        self.stopping = true;
        let end = self.now().mono + deadline;
        let owned: Vec<_> = self.schedule.owned().collect();
        for at in &owned {
            self.schedule.leave(*at);
        }
        let partitions: Vec<_> = owned
            .iter()
            .map(|at| self.topics.topic_partition(*at))
            .collect();
        let paused = self.consumer.pause(&partitions);
        self.note_flow(paused);
        while self.schedule.has_flights() && self.now().mono < end {
            self.turn()?;
        }
        let drained = !self.schedule.has_flights();
        let moved: Vec<_> = owned
            .iter()
            .filter_map(|at| Some((*at, self.schedule.release(*at)?)))
            .collect();
        if !moved.is_empty() {
            self.commit_at_end(&moved, end);
        }
        Ok(drained)
    }

    fn commit_at_end(&mut self, moved: &[(DelayPartition, i64)], end: Duration) {
        let token = match self.commit(moved) {
            Ok(token) => token,
            Err(error) => {
                self.metrics.commit_errors.inc();
                tracing::warn!(error = %chain(&error), "last commit not sent");
                return;
            }
        };
        let partitions = Vec::new();
        self.handover = Handover::Committing {
            partitions,
            token,
            until: end,
        };
        while matches!(self.handover, Handover::Committing { .. }) && self.now().mono < end {
            self.heartbeat.beat();
            if let Some(hooklane_kafka::consumer::Polled::Committed(answer)) =
                self.consumer.poll(super::REPORT_WAIT)
            {
                self.take_committed(&answer);
            }
        }
        self.handover = Handover::None;
    }

    fn delays(
        &self,
        partitions: &[TopicPartition],
    ) -> impl Iterator<Item = DelayPartition> + use<> {
        let found: Vec<_> = partitions
            .iter()
            .filter_map(|tp| self.topics.delay_partition(&tp.topic, tp.partition))
            .collect();
        found.into_iter()
    }

    /// Begins each partition where it is committed, or at its log's start.
    fn assign(&mut self, partitions: Vec<TopicPartition>) -> Result<(), OwnerError> {
        if self.stopping {
            return Ok(self.consumer.complete_assign(&[])?);
        }
        let starts = match self.starts(&partitions) {
            Ok(starts) => starts,
            Err(error) => {
                tracing::warn!(error = %chain(&error), "where to begin is not known yet; asking again");
                let ask_at = self.now().mono + ASK_AGAIN_AFTER;
                self.handover = Handover::Assigning { partitions, ask_at };
                return Ok(());
            }
        };
        for (tp, start) in &starts {
            let Some(at) = self.topics.delay_partition(&tp.topic, tp.partition) else {
                continue;
            };
            // Without a start the client finds that it has none, and the
            // answer to that begins at the log's start.
            let next = start.unwrap_or(0);
            self.schedule.assign(at, next);
            self.committed.insert(at, next);
        }
        self.consumer.complete_assign(&starts)?;
        self.joined.set(true);
        tracing::info!(partitions = starts.len(), "partitions assigned");
        Ok(())
    }

    fn starts(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<Vec<(TopicPartition, Option<i64>)>, ConsumerError> {
        let mut starts = self.consumer.committed(partitions, OFFSETS_WAIT)?;
        for (tp, start) in &mut starts {
            if start.is_some() {
                continue;
            }
            self.heartbeat.beat();
            match self.consumer.watermarks(tp, OFFSETS_WAIT) {
                // Records of a group that never committed are lost, too, when
                // the log no longer begins at 0: found by the client.
                Ok((low, _)) => *start = (low == 0).then_some(0),
                Err(error) => {
                    tracing::debug!(error = %chain(&error), "log start not known yet");
                    break;
                }
            }
        }
        Ok(starts)
    }

    fn commit_last(
        &mut self,
        partitions: Vec<TopicPartition>,
        open: usize,
    ) -> Result<(), OwnerError> {
        if open > 0 {
            tracing::warn!(
                open,
                "records without a report at hand-over; the next owner repeats them"
            );
        }
        let moved: Vec<_> = self
            .delays(&partitions)
            .filter_map(|at| Some((at, self.schedule.release(at)?)))
            .collect();
        if moved.is_empty() {
            return self.let_go(&partitions);
        }
        match self.commit(&moved) {
            Ok(token) => {
                let until = self.now().mono + COMMIT_WAIT;
                self.handover = Handover::Committing {
                    partitions,
                    token,
                    until,
                };
                Ok(())
            }
            Err(error) => {
                self.metrics.commit_errors.inc();
                tracing::warn!(error = %chain(&error), "last commit not sent; the next owner repeats records");
                self.let_go(&partitions)
            }
        }
    }

    fn let_go(&mut self, partitions: &[TopicPartition]) -> Result<(), OwnerError> {
        for at in self.delays(partitions) {
            self.schedule.forget(at);
            self.committed.remove(&at);
        }
        self.consumer.complete_revoke(partitions)?;
        tracing::info!(partitions = partitions.len(), "partitions given up");
        Ok(())
    }
}
