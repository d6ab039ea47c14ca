//! Partitions that come and go.
//!
//! A partition that comes begins where the group stands; without a committed
//! offset where its source says, and that is committed first. One that goes is
//! let go when everything read from it is stored and committed, or after a few
//! seconds: the rest of the group waits for us.

use std::time::{Duration, Instant};

use hooklane_kafka::consumer::CommitToken;
use hooklane_kafka::error::ErrorKind;
use hooklane_kafka::record::TopicPartition;

use super::Intake;
use crate::error::IngestError;
use crate::starts;

/// How long acknowledgements, and then the commit, may hold up the group.
const SETTLE_MAX: Duration = Duration::from_secs(3);
const COMMIT_MAX: Duration = Duration::from_secs(2);
/// Between two questions for offsets that were not answered.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// A rebalance that was announced and not completed yet.
#[derive(Debug)]
pub(super) enum Rebalance {
    /// Partitions come.
    Assign {
        partitions: Vec<TopicPartition>,
        /// When the offsets are to be asked for.
        ask_at: Instant,
    },
    /// Partitions go.
    Revoke {
        partitions: Vec<TopicPartition>,
        /// When open work is given up.
        settle_until: Instant,
        /// The last commit, once it was sent, and how long it is waited for.
        commit: Option<(CommitToken, Instant)>,
    },
}

impl Intake {
    pub(super) fn assigned(&mut self, partitions: Vec<TopicPartition>) {
        self.rebalance = Some(Rebalance::Assign {
            partitions,
            ask_at: Instant::now(),
        });
    }

    pub(super) fn revoked(&mut self, partitions: Vec<TopicPartition>, lost: bool) {
        if lost {
            // Others read them already; a commit would be refused.
            partitions.iter().for_each(|tp| self.let_go(tp));
        }
        let settle_until = Instant::now() + SETTLE_MAX;
        self.rebalance = Some(Rebalance::Revoke {
            partitions,
            settle_until,
            commit: None,
        });
    }

    /// Whether records of this partition are not to be taken any more.
    pub(super) fn is_going(&self, tp: &TopicPartition) -> bool {
        matches!(&self.rebalance, Some(Rebalance::Revoke { partitions, .. }) if partitions.contains(tp))
    }

    /// Takes a rebalance as far as it goes now.
    pub(super) fn move_rebalance(&mut self) -> Result<(), IngestError> {
        match self.rebalance.take() {
            None => Ok(()),
            Some(Rebalance::Assign { partitions, ask_at }) => self.begin(partitions, ask_at),
            Some(Rebalance::Revoke {
                partitions,
                settle_until,
                commit,
            }) => self.end(partitions, settle_until, commit),
        }
    }

    fn begin(
        &mut self,
        partitions: Vec<TopicPartition>,
        ask_at: Instant,
    ) -> Result<(), IngestError> {
        if Instant::now() < ask_at {
            self.rebalance = Some(Rebalance::Assign { partitions, ask_at });
            return Ok(());
        }
        let starts = match starts::resolve(&self.parts.consumer, &self.parts.view, &partitions) {
            Ok(starts) => starts,
            Err(error) if error.kind() == ErrorKind::Fatal => return Err(error.into()),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "offsets to begin at are not known yet; asking again");
                let ask_at = Instant::now() + ASK_AGAIN;
                self.rebalance = Some(Rebalance::Assign { partitions, ask_at });
                return Ok(());
            }
        };
        for (tp, start) in &starts {
            self.progress.claim(tp.clone(), *start);
        }
        let from: Vec<_> = starts
            .into_iter()
            .map(|(tp, start)| (tp, Some(start)))
            .collect();
        self.parts.consumer.complete_assign(&from)?;
        tracing::info!(partitions = from.len(), "partitions came");
        if self.paused || self.draining {
            self.set_paused(true)?;
        }
        Ok(())
    }

    fn end(
        &mut self,
        partitions: Vec<TopicPartition>,
        settle_until: Instant,
        commit: Option<(CommitToken, Instant)>,
    ) -> Result<(), IngestError> {
        let now = Instant::now();
        if let Some((_, until)) = commit {
            if now < until {
                self.rebalance = Some(Rebalance::Revoke {
                    partitions,
                    settle_until,
                    commit,
                });
                return Ok(());
            }
            tracing::warn!("the last commit was not answered in time; some events may be repeated");
            return self.complete_revoke(&partitions);
        }
        let done = self.progress.is_done(partitions.iter());
        if !done && now < settle_until {
            self.rebalance = Some(Rebalance::Revoke {
                partitions,
                settle_until,
                commit,
            });
            return Ok(());
        }
        if !done {
            tracing::warn!(
                "partitions go with records not acknowledged; their events are repeated"
            );
        }
        let mut offsets = self.progress.to_commit();
        offsets.retain(|(tp, _)| partitions.contains(tp));
        match self.send_commit(&offsets) {
            None => self.complete_revoke(&partitions),
            Some((token, sent)) => {
                let commit = Some((token, sent + COMMIT_MAX));
                self.rebalance = Some(Rebalance::Revoke {
                    partitions,
                    settle_until,
                    commit,
                });
                Ok(())
            }
        }
    }

    /// The answer that a hand-over waits for ends the waiting.
    pub(super) fn commit_answered_for_revoke(&mut self, answered: CommitToken) {
        if let Some(Rebalance::Revoke {
            commit: Some((token, until)),
            ..
        }) = &mut self.rebalance
            && *token == answered
        {
            *until = Instant::now();
        }
    }

    fn complete_revoke(&mut self, partitions: &[TopicPartition]) -> Result<(), IngestError> {
        partitions.iter().for_each(|tp| self.let_go(tp));
        self.parts.consumer.complete_revoke(partitions)?;
        tracing::info!(partitions = partitions.len(), "partitions went");
        Ok(())
    }

    fn let_go(&mut self, tp: &TopicPartition) {
        self.progress.release(tp);
        self.lost.retain(|lost| lost.partition != *tp);
        self.parts
            .metrics
            .lag_records
            .remove(&tp.topic, tp.partition);
        self.parts
            .metrics
            .lag_seconds
            .remove(&tp.topic, tp.partition);
    }
}
