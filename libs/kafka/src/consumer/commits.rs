//! Commits whose answers come back, with the time they were sent.
//!
//! rdkafka 0.39 never answers an asynchronous commit: it asks librdkafka for
//! commit events, and librdkafka posts those only where a callback was set.
//! So a thread of its own makes synchronous commits one after the other, and
//! the owner finds the answers at its next poll. That also makes the send time
//! exact, which a lease is built on.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, RecvError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};

use super::context::GroupContext;
use crate::client::list_of;
use crate::error::{ClientError, ErrorKind};
use crate::record::TopicPartition;

/// Names one asynchronous commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommitToken(u64);

/// The answer to an asynchronous commit.
#[derive(Clone, Debug)]
pub struct Committed {
    /// Which commit.
    pub token: CommitToken,
    /// Just before the request was made; the brokers have it from then on.
    pub sent: Instant,
    /// What was to be committed.
    pub offsets: Vec<(TopicPartition, i64)>,
    /// How it went. Where only some partitions of a commit fail, because they
    /// were deleted, the library says nothing.
    pub result: Result<(), ClientError>,
}

/// Commits that wait behind the one being made. One a second is made and
/// answered in milliseconds, so 8 are only reached when the coordinator is
/// away; then further ones are refused, and the owner tries again later.
const WAITING_MAX: usize = 8;

pub(super) struct Committer {
    jobs: SyncSender<Job>,
    /// Room for all that can be under way, so that the thread never waits for
    /// an owner that polls.
    answers: Receiver<Committed>,
    thread: JoinHandle<()>,
    next: u64,
    owned: Owned,
}

/// What this member may commit. The broker only checks that a member is one,
/// not what it owns, so a commit that was overtaken by a revoke would set back
/// the next owner's offset.
type Owned = Arc<Mutex<BTreeSet<TopicPartition>>>;

struct Job {
    token: CommitToken,
    offsets: Vec<(TopicPartition, i64)>,
}

impl Committer {
    pub(super) fn start(client: Arc<BaseConsumer<GroupContext>>) -> Result<Self, ClientError> {
        let (jobs, todo) = sync_channel::<Job>(WAITING_MAX);
        let (done, answers) = sync_channel(WAITING_MAX + 1);
        let owned = Owned::default();
        let still_owned = owned.clone();
        let thread = std::thread::Builder::new()
            .name("kafka-commit".to_owned())
            .spawn(move || {
                while let Ok(job) = todo.recv() {
                    let answer = commit(&client, &still_owned, job);
                    if done.send(answer).is_err() {
                        return;
                    }
                }
            })
            .map_err(|e| ClientError::new(ErrorKind::Other, e.to_string()))?;
        Ok(Self {
            jobs,
            answers,
            thread,
            next: 0,
            owned,
        })
    }

    pub(super) fn own(&self, partitions: &[TopicPartition]) {
        let mut owned = self.owned.lock().expect(NO_PANIC);
        owned.extend(partitions.iter().cloned());
    }

    pub(super) fn disown(&self, partitions: &[TopicPartition]) {
        let mut owned = self.owned.lock().expect(NO_PANIC);
        owned.retain(|tp| !partitions.contains(tp));
    }

    /// The first partition that may not be committed.
    pub(super) fn not_owned(&self, offsets: &[(TopicPartition, i64)]) -> Option<TopicPartition> {
        not_owned(&self.owned, offsets)
    }

    pub(super) fn send(
        &mut self,
        offsets: Vec<(TopicPartition, i64)>,
    ) -> Result<CommitToken, ClientError> {
        let token = CommitToken(self.next);
        self.jobs
            .try_send(Job { token, offsets })
            .map_err(|refused| match refused {
                TrySendError::Full(_) => ClientError::new(
                    ErrorKind::Unavailable,
                    format!("{WAITING_MAX} commits are waiting for the coordinator"),
                ),
                TrySendError::Disconnected(_) => {
                    ClientError::new(ErrorKind::Fatal, "the thread that commits is gone")
                }
            })?;
        self.next += 1;
        Ok(token)
    }

    /// The answers that are there.
    pub(super) fn answers(&self) -> impl Iterator<Item = Committed> {
        self.answers.try_iter()
    }

    /// Ends the thread after the commits it has; blocks until then.
    pub(super) fn finish(self) {
        drop(self.jobs);
        // Until the thread lets go of its end.
        while let Ok::<_, RecvError>(answer) = self.answers.recv() {
            if let Err(error) = answer.result {
                tracing::debug!(%error, "commit failed while closing");
            }
        }
        if self.thread.join().is_err() {
            tracing::error!("the thread that commits panicked");
        }
    }
}

const NO_PANIC: &str = "no code that can panic runs under this lock";

fn not_owned(owned: &Owned, offsets: &[(TopicPartition, i64)]) -> Option<TopicPartition> {
    let owned = owned.lock().expect(NO_PANIC);
    let mut partitions = offsets.iter().map(|(tp, _)| tp);
    partitions.find(|tp| !owned.contains(*tp)).cloned()
}

fn commit(client: &BaseConsumer<GroupContext>, owned: &Owned, job: Job) -> Committed {
    let Job { token, offsets } = job;
    let list = list_of(offsets.iter().map(|(tp, offset)| (tp, Some(*offset))));
    let sent = Instant::now();
    // It may have waited behind another one while partitions were let go.
    let result = match not_owned(owned, &offsets) {
        None => client
            .commit(&list, CommitMode::Sync)
            .map_err(ClientError::from),
        Some(gone) => Err(ClientError::new(
            ErrorKind::Rebalanced,
            format!("{gone} was let go before its commit was made"),
        )),
    };
    Committed {
        token,
        sent,
        offsets,
        result,
    }
}
