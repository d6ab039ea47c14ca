//! Which partition's position is not in its log.

use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;

use super::{ConsumerError, GroupConsumer, Polled, plain};
use crate::client::list_of;
use crate::error::ClientError;
use crate::record::TopicPartition;

/// How long the watermarks of one partition may take.
const WATERMARK_TIMEOUT: Duration = Duration::from_secs(5);
/// How soon after a look there is another. Every partition has an error of its
/// own, and those of partitions that one look has found may come after it; a
/// look at a hundred partitions takes seconds, so one each would be minutes
/// without a record.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

impl GroupConsumer {
    /// Looks for partitions out of range now, or later if that was done just
    /// now.
    pub(super) fn look_for_out_of_range(&mut self, error: ClientError) {
        match &mut self.looked {
            Some((at, again)) if at.elapsed() < LOOK_AGAIN => *again = true,
            _ => {
                if !self.find_out_of_range() {
                    let group = self.group.clone();
                    let event = Polled::Error(ConsumerError::Read {
                        group,
                        source: error,
                    });
                    self.ready.push_back(event);
                }
                self.looked = Some((Instant::now(), false));
            }
        }
    }

    /// The look that an error asked for which came soon after another one.
    pub(super) fn look_again(&mut self) {
        if let Some((at, true)) = self.looked
            && at.elapsed() >= LOOK_AGAIN
        {
            self.find_out_of_range();
            self.looked = Some((Instant::now(), false));
        }
    }

    /// Finds the partitions whose position is not in the log.
    ///
    /// The library's error does not say which one it is about, and has stopped
    /// fetching it, so every partition is asked: this is rare, and never wrong.
    /// Returns whether there are any.
    fn find_out_of_range(&mut self) -> bool {
        let mut found = false;
        for (partition, position) in self.positions() {
            if self.stopped.contains_key(&partition) {
                // Reported already: every partition has an error of its own.
                found = true;
                continue;
            }
            let Ok((low, high)) = self.watermarks(&partition, WATERMARK_TIMEOUT) else {
                continue;
            };
            if position.is_some_and(|p| (low..=high).contains(&p)) {
                continue;
            }
            found = true;
            self.stopped.insert(partition.clone(), None);
            self.ready.push_back(Polled::OutOfRange {
                partition,
                position,
                low,
                high,
            });
        }
        if !found {
            // The log grew back or a leader lagged: set every partition going
            // again from where it stood.
            for (partition, position) in self.positions() {
                self.stopped.insert(partition, position);
            }
            if let Err(failed) = self.restart() {
                self.ready.push_back(Polled::Error(failed));
            }
        }
        found
    }

    /// The next offset of every assigned partition.
    fn positions(&self) -> Vec<(TopicPartition, Option<i64>)> {
        let list = self.client().position().ok();
        self.assigned
            .iter()
            .map(|(tp, start)| {
                let read = list
                    .as_ref()
                    .and_then(|l| l.find_partition(&tp.topic, tp.partition))
                    .and_then(|e| plain(e.offset()));
                (tp.clone(), read.or(*start))
            })
            .collect()
    }

    /// Starts the stopped partitions whose new position is known.
    ///
    /// The library refuses to seek a partition that it gave up, so it is taken
    /// off the assignment and put on again. Not while a rebalance waits: these
    /// calls would be taken for its completion. One that has come in and was
    /// not polled yet can't be seen; then this completes it a poll early.
    pub(super) fn restart(&mut self) -> Result<(), ConsumerError> {
        if self.waiting.is_some() {
            return Ok(());
        }
        let known =
            |(tp, position): (&TopicPartition, &Option<i64>)| Some((tp.clone(), (*position)?));
        let ready: Vec<(TopicPartition, i64)> = self.stopped.iter().filter_map(known).collect();
        if ready.is_empty() {
            return Ok(());
        }
        self.stopped.retain(|_, position| position.is_none());
        let off = list_of(ready.iter().map(|(tp, _)| (tp, None)));
        let on = list_of(ready.iter().map(|(tp, position)| (tp, Some(*position))));
        let client = self.client();
        let done = client
            .incremental_unassign(&off)
            .and_then(|()| client.incremental_assign(&on));
        self.check_assign(done)
    }
}
