//! Which partition's position is not in its log.

use std::time::Duration;

use rdkafka::consumer::Consumer;

use super::{ConsumerError, GroupConsumer, Polled, plain};
use crate::error::ClientError;
use crate::record::TopicPartition;

/// How long the watermarks of one partition may take.
const WATERMARK_TIMEOUT: Duration = Duration::from_secs(5);

impl GroupConsumer {
    /// Finds the partitions whose position is not in the log.
    ///
    /// The library's error does not say which one it is about, and has stopped
    /// fetching it, so every partition is asked: this is rare, and never wrong.
    pub(super) fn find_out_of_range(&mut self, error: ClientError) {
        let mut found = false;
        for (partition, position) in self.positions() {
            let Ok((low, high)) = self.watermarks(&partition, WATERMARK_TIMEOUT) else {
                continue;
            };
            if position.is_some_and(|p| (low..=high).contains(&p)) {
                continue;
            }
            found = true;
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
            self.restart();
            let group = self.group.clone();
            let source = error;
            self.ready
                .push_back(Polled::Error(ConsumerError::Read { group, source }));
        }
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

    fn restart(&mut self) {
        for (partition, position) in self.positions() {
            if let Some(position) = position
                && let Err(error) = self.seek(&partition, position)
            {
                tracing::warn!(%partition, %error, "cannot restart reading");
            }
        }
    }
}
