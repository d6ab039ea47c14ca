//! A member of a consumer group, polled by one thread.
//!
//! Rebalances are not decided inside the client's callback. The callback only
//! notes them; [`GroupConsumer::poll`] returns them like any other event, and
//! the owner completes them when it is ready, polling on in between. This is
//! how the library's event interface is meant: the group member stays in the
//! state "waiting for the assign call" until that call comes, keeps its
//! heartbeats up, and counts polls as life. While it waits, the library pauses
//! **all** partitions of the member, not only those that move, so completing
//! late holds up the member's other partitions and the whole group.
//!
//! Limits: used from one thread; [`GroupConsumer::committed`],
//! [`GroupConsumer::watermarks`] and [`GroupConsumer::commit_sync`] block.

mod close;
mod commits;
mod context;
mod error;
mod out_of_range;
mod statistics;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::Offset;

pub use commits::{CommitToken, Committed};
pub use error::ConsumerError;

use crate::client::list_of;
use crate::record::{Record, TopicNames, TopicPartition};
use crate::settings::ClientSettings;
use commits::Committer;
use context::GroupContext;

/// What a poll brought.
#[derive(Debug)]
pub enum Polled {
    /// A record of an assigned partition.
    Record(Record),
    /// The group gave these partitions to this member; nothing is read from
    /// them before [`GroupConsumer::complete_assign`]. May be empty, and must
    /// be completed then, too.
    Assigned(Vec<TopicPartition>),
    /// The group takes these partitions; nobody else reads them before
    /// [`GroupConsumer::complete_revoke`] unless they are lost.
    Revoked {
        /// What is taken; may be empty.
        partitions: Vec<TopicPartition>,
        /// Others may own them already, so that a commit would be refused.
        lost: bool,
    },
    /// The position of this partition is not in the log: retention took what
    /// stood there, or nothing was ever committed. The partition stands still
    /// until [`GroupConsumer::seek`].
    OutOfRange {
        /// The partition.
        partition: TopicPartition,
        /// Where it wanted to read; `None` where nothing was committed.
        position: Option<i64>,
        /// The first offset of the log.
        low: i64,
        /// The offset after the last one of the log.
        high: i64,
    },
    /// A commit was answered.
    Committed(Committed),
    /// The client reports a failure; it keeps trying by itself unless the
    /// kind is [`ErrorKind::Fatal`](crate::error::ErrorKind::Fatal).
    Error(ConsumerError),
}

/// A rebalance that was returned by a poll and not completed yet.
#[derive(Debug)]
struct Waiting {
    assign: bool,
    partitions: Vec<TopicPartition>,
    /// Taken when the event came: the protocol in force may be another by the
    /// time it is completed.
    cooperative: bool,
}

/// A member of a consumer group.
pub struct GroupConsumer {
    /// `None` only while it is being closed.
    client: Option<Arc<BaseConsumer<GroupContext>>>,
    group: String,
    topics: TopicNames,
    /// Events beyond the one a poll returns. Bounded by what one call of the
    /// library brings: one rebalance, the commits under way, or the partitions
    /// of this member when one of them is out of range.
    ready: VecDeque<Polled>,
    waiting: Option<Waiting>,
    /// Where each assigned partition was told to begin.
    assigned: BTreeMap<TopicPartition, Option<i64>>,
    /// Partitions that the library gave up fetching, and where to start them
    /// again once that is known.
    stopped: BTreeMap<TopicPartition, Option<i64>>,
    /// When positions were last looked at for one that is not in its log, and
    /// whether there was an error since then that asks for another look.
    looked: Option<(Instant, bool)>,
    /// `None` only while it is being closed.
    commits: Option<Committer>,
    poll_interval: Duration,
    polled_at: Instant,
    /// When a poll came too late, if nothing since then has shown that the
    /// group kept this member: no assignment, no commit that it took.
    overslept: Option<Instant>,
}

impl GroupConsumer {
    /// A member of `group`; it joins with its first subscription and polls.
    pub fn new(settings: &ClientSettings, group: &str) -> Result<Self, ConsumerError> {
        let failed = |source| ConsumerError::Create {
            group: group.to_owned(),
            source,
        };
        let client: BaseConsumer<GroupContext> = settings
            .group_config(group)
            .create_with_context(GroupContext::default())
            .map_err(|e| failed(e.into()))?;
        let client = Arc::new(client);
        let commits = Committer::start(client.clone()).map_err(failed)?;
        Ok(Self {
            client: Some(client),
            group: group.to_owned(),
            topics: TopicNames::default(),
            ready: VecDeque::new(),
            waiting: None,
            assigned: BTreeMap::new(),
            stopped: BTreeMap::new(),
            looked: None,
            commits: Some(commits),
            poll_interval: settings.max_poll_interval(),
            polled_at: Instant::now(),
            overslept: None,
        })
    }

    /// Subscribes to exactly these topics; call it again when they change.
    ///
    /// The topics must exist: a subscription that matches nothing costs a
    /// third more CPU in this version of the library.
    pub fn subscribe(&mut self, topics: &[String]) -> Result<(), ConsumerError> {
        // A name that begins with ^ would be taken for a pattern.
        if let Some(bad) = topics.iter().find(|t| !is_topic_name(t)) {
            return Err(ConsumerError::TopicName { topic: bad.clone() });
        }
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        self.client()
            .subscribe(&topics)
            .map_err(|e| ConsumerError::Subscribe {
                group: self.group.clone(),
                source: e.into(),
            })
    }

    /// The next event, waiting up to `timeout` for one.
    ///
    /// May return `None` earlier than that. Must be called at least every
    /// [`MAX_POLL_INTERVAL`](crate::settings::MAX_POLL_INTERVAL), also while
    /// everything is paused, or the group takes the partitions away.
    pub fn poll(&mut self, timeout: Duration) -> Option<Polled> {
        if self.polled_at.elapsed() >= self.poll_interval {
            // The library forgets to say that an assignment is lost when that
            // happens in the middle of a rebalance.
            self.overslept = Some(Instant::now());
        }
        let event = self.next_event(timeout);
        self.polled_at = Instant::now();
        event
    }

    fn next_event(&mut self, timeout: Duration) -> Option<Polled> {
        if let Some(event) = self.ready.pop_front() {
            return Some(event);
        }
        let client = self.client.as_ref().expect(OPEN);
        let outcome = match client.poll(timeout) {
            Some(Ok(record)) => {
                let record = Record::copy_of(&record, &mut self.topics);
                return Some(Polled::Record(record));
            }
            Some(Err(error)) => Some(error),
            None => None,
        };
        if let Some(error) = outcome {
            self.report(error);
        }
        self.look_again();
        self.take_noted();
        self.ready.pop_front()
    }

    /// Turns what the callback noted and what the commits came to into events.
    fn take_noted(&mut self) {
        for noted in self.client().context().take() {
            let partitions = self.share(&noted.partitions);
            let commits = self.commits.as_ref().expect(OPEN);
            let lost = noted.lost || self.overslept.is_some();
            if noted.assign {
                commits.own(&partitions);
                self.overslept = None;
            } else if lost {
                commits.disown(&partitions);
            }
            self.waiting = Some(Waiting {
                assign: noted.assign,
                partitions: partitions.clone(),
                cooperative: noted.cooperative,
            });
            self.ready.push_back(if noted.assign {
                Polled::Assigned(partitions)
            } else {
                Polled::Revoked { partitions, lost }
            });
        }
        for answer in self.commits.as_ref().expect(OPEN).answers() {
            if answer.result.is_ok() {
                self.overslept.take_if(|since| answer.sent >= *since);
            }
            self.ready.push_back(Polled::Committed(answer));
        }
    }

    fn share(&mut self, partitions: &[(String, i32)]) -> Vec<TopicPartition> {
        partitions
            .iter()
            .map(|(topic, partition)| TopicPartition {
                topic: self.topics.shared(topic),
                partition: *partition,
            })
            .collect()
    }

    fn report(&mut self, error: KafkaError) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AutoOffsetReset) {
            return self.look_for_out_of_range(error.into());
        }
        let event = Polled::Error(ConsumerError::Read {
            group: self.group.clone(),
            source: error.into(),
        });
        self.ready.push_back(event);
    }

    /// Accepts what [`Polled::Assigned`] gave, each partition from its offset,
    /// or from what the group has committed where it is `None`.
    pub fn complete_assign(
        &mut self,
        partitions: &[(TopicPartition, Option<i64>)],
    ) -> Result<(), ConsumerError> {
        let waiting = self.take_waiting(true)?;
        let list = list_of(partitions.iter().map(|(tp, offset)| (tp, *offset)));
        let done = if waiting.cooperative {
            self.client().incremental_assign(&list)
        } else {
            self.assigned.clear();
            self.client().assign(&list)
        };
        self.assigned.extend(partitions.iter().cloned());
        self.check_assign(done)?;
        self.restart()
    }

    /// Lets go of what [`Polled::Revoked`] takes; from then on another member
    /// may own it.
    pub fn complete_revoke(&mut self, partitions: &[TopicPartition]) -> Result<(), ConsumerError> {
        let waiting = self.take_waiting(false)?;
        self.commits
            .as_ref()
            .expect(OPEN)
            .disown(&waiting.partitions);
        for tp in &waiting.partitions {
            self.assigned.remove(tp);
            self.stopped.remove(tp);
        }
        debug_assert_eq!(partitions, waiting.partitions, "what was revoked");
        let done = if waiting.cooperative {
            let list = list_of(waiting.partitions.iter().map(|tp| (tp, None)));
            self.client().incremental_unassign(&list)
        } else {
            self.assigned.clear();
            self.stopped.clear();
            self.client().unassign()
        };
        self.check_assign(done)?;
        self.restart()
    }

    fn take_waiting(&mut self, assign: bool) -> Result<Waiting, ConsumerError> {
        self.waiting
            .take_if(|w| w.assign == assign)
            .ok_or_else(|| ConsumerError::NotWaiting {
                group: self.group.clone(),
            })
    }

    fn check_assign(&self, done: Result<(), KafkaError>) -> Result<(), ConsumerError> {
        done.map_err(|e| ConsumerError::Assign {
            group: self.group.clone(),
            source: e.into(),
        })
    }

    /// Whether a rebalance waits to be completed.
    #[must_use]
    pub fn is_rebalancing(&self) -> bool {
        self.waiting.is_some()
    }

    /// The partitions this member reads, in order.
    pub fn assigned(&self) -> impl Iterator<Item = &TopicPartition> {
        self.assigned.keys()
    }

    /// The offsets the group has committed, in the order asked; `None` where
    /// there is none. Blocks up to `timeout`.
    pub fn committed(
        &self,
        partitions: &[TopicPartition],
        timeout: Duration,
    ) -> Result<Vec<(TopicPartition, Option<i64>)>, ConsumerError> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let failed = |e: KafkaError| ConsumerError::Offsets {
            what: format!("group {}", self.group),
            source: e.into(),
        };
        let list = list_of(partitions.iter().map(|tp| (tp, None)));
        let list = self
            .client()
            .committed_offsets(list, timeout)
            .map_err(failed)?;
        let offset_of = |tp: &TopicPartition| {
            let Some(entry) = list.find_partition(&tp.topic, tp.partition) else {
                return Ok((tp.clone(), None));
            };
            entry.error().map_err(failed)?;
            Ok((tp.clone(), plain(entry.offset())))
        };
        partitions.iter().map(offset_of).collect()
    }

    /// The first offset of a partition's log and the one after its last
    /// (committed) record. Blocks up to `timeout`.
    pub fn watermarks(
        &self,
        partition: &TopicPartition,
        timeout: Duration,
    ) -> Result<(i64, i64), ConsumerError> {
        self.client()
            .fetch_watermarks(&partition.topic, partition.partition, timeout)
            .map_err(|e| ConsumerError::Offsets {
                what: partition.to_string(),
                source: e.into(),
            })
    }

    /// Commits the next offset to read of each partition and returns at once;
    /// [`Polled::Committed`] brings the answer under the returned token, by
    /// the end of the poll that is under way when it comes.
    ///
    /// Only partitions that were assigned and not let go can be committed, from
    /// [`Polled::Assigned`] on. Commits are made one after the other. While the coordinator is away one
    /// is tried for the session timeout, the next wait, and soon they are
    /// refused as [`ErrorKind::Unavailable`](crate::error::ErrorKind).
    pub fn commit_async(
        &mut self,
        offsets: &[(TopicPartition, i64)],
    ) -> Result<CommitToken, ConsumerError> {
        self.check_owned(offsets)?;
        let sent = self.commits.as_mut().expect(OPEN).send(offsets.to_vec());
        sent.map_err(|source| ConsumerError::Commit {
            group: self.group.clone(),
            source,
        })
    }

    /// Commits and waits for the answer, and returns when it was sent.
    ///
    /// Blocks, without a coordinator as long as the session timeout: for a
    /// hand-over, [`commit_async`](Self::commit_async) and polling on until the
    /// answer or one's own deadline is the better way.
    pub fn commit_sync(&self, offsets: &[(TopicPartition, i64)]) -> Result<Instant, ConsumerError> {
        self.check_owned(offsets)?;
        let list = list_of(offsets.iter().map(|(tp, offset)| (tp, Some(*offset))));
        let sent = Instant::now();
        let done = self.client().commit(&list, CommitMode::Sync);
        done.map_err(|e| ConsumerError::Commit {
            group: self.group.clone(),
            source: e.into(),
        })?;
        Ok(sent)
    }

    fn check_owned(&self, offsets: &[(TopicPartition, i64)]) -> Result<(), ConsumerError> {
        match self.commits.as_ref().expect(OPEN).not_owned(offsets) {
            None => Ok(()),
            Some(partition) => Err(ConsumerError::NotOwned {
                group: self.group.clone(),
                partition: partition.to_string(),
            }),
        }
    }

    /// Stops reading these partitions; what was fetched ahead is thrown away.
    pub fn pause(&self, partitions: &[TopicPartition]) -> Result<(), ConsumerError> {
        let list = list_of(partitions.iter().map(|tp| (tp, None)));
        flow(partitions.first(), self.client().pause(&list))
    }

    /// Reads these partitions again, from where they stood.
    pub fn resume(&self, partitions: &[TopicPartition]) -> Result<(), ConsumerError> {
        let list = list_of(partitions.iter().map(|tp| (tp, None)));
        flow(partitions.first(), self.client().resume(&list))
    }

    /// Reads an assigned partition from `offset` on, also one that stands
    /// still because its position was out of range.
    pub fn seek(&mut self, partition: &TopicPartition, offset: i64) -> Result<(), ConsumerError> {
        if let Some(start) = self.assigned.get_mut(partition) {
            *start = Some(offset);
        }
        if let Some(stopped) = self.stopped.get_mut(partition) {
            *stopped = Some(offset);
            return self.restart();
        }
        let to = Offset::Offset(offset.max(0));
        // Without a wait: the answer would only say that the request was taken.
        let done = self
            .client()
            .seek(&partition.topic, partition.partition, to, Duration::ZERO);
        flow(Some(partition), done)
    }

    /// The last known end of each assigned partition's log, without asking
    /// anybody: a few seconds old at most.
    #[must_use]
    pub fn high_watermarks(&self) -> Vec<(TopicPartition, i64)> {
        let known = self.client().context().high_watermarks();
        self.assigned
            .keys()
            .filter_map(|tp| {
                let high = known.get(&*tp.topic)?.get(&tp.partition)?;
                Some((tp.clone(), *high))
            })
            .collect()
    }

    /// Leaves the group and frees the client on a thread of its own; `false`
    /// when that has not finished by the deadline, in which case the process
    /// should simply end. Commit first.
    pub fn close(mut self, deadline: Duration) -> bool {
        self.shut(deadline)
    }

    fn client(&self) -> &BaseConsumer<GroupContext> {
        self.client.as_ref().expect(OPEN)
    }
}

const OPEN: &str = "a consumer is closed by value, so nobody can call it afterwards";

fn flow(
    partition: Option<&TopicPartition>,
    done: Result<(), KafkaError>,
) -> Result<(), ConsumerError> {
    done.map_err(|e| ConsumerError::Flow {
        partition: partition.map_or_else(|| "no partition".to_owned(), ToString::to_string),
        source: e.into(),
    })
}

fn plain(offset: Offset) -> Option<i64> {
    match offset {
        Offset::Offset(n) => Some(n),
        _ => None,
    }
}

/// Whether Kafka allows `name` for a topic.
fn is_topic_name(name: &str) -> bool {
    (1..=249).contains(&name.len())
        && name != "."
        && name != ".."
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}
