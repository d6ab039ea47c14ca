//! Follows the attempts and dead topics for the live view, in a group of its
//! own that never commits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use hooklane_kafka::consumer::{ConsumerError, GroupConsumer, Polled};
use hooklane_model::topic::TopicNames;

use super::board::{SharedBoard, lock};
use super::error::{DemoError, full};
use crate::cluster::Cluster;

const TURN: Duration = Duration::from_millis(50);
const CLOSE: Duration = Duration::from_secs(2);

/// The thread that follows.
pub(super) struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Watch {
    /// Starts with the first record of both topics.
    ///
    /// # Errors
    /// When there is no consumer or no thread.
    pub(super) fn start(cluster: &Cluster, board: SharedBoard) -> Result<Self, DemoError> {
        let names = cluster.names.clone();
        let group = format!("{}demo-view", names.prefix());
        let mut consumer = GroupConsumer::new(&cluster.settings, &group)?;
        consumer.subscribe(&[names.attempts(), names.dead()])?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let follow = move || {
            while !stopped.load(Ordering::Relaxed) {
                if let Err(error) = turn(&mut consumer, &names, &board) {
                    // The view stands still; the books do not depend on it.
                    tracing::warn!(error = full(&error), "the attempts cannot be followed");
                    break;
                }
            }
            if !consumer.close(CLOSE) {
                tracing::debug!("the view's reader did not close in time");
            }
        };
        let thread = std::thread::Builder::new()
            .name("demo-view".to_owned())
            .spawn(follow)
            .map_err(DemoError::Thread)?;
        Ok(Self { stop, thread })
    }

    /// Ends it.
    pub(super) fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        if self.thread.join().is_err() {
            tracing::error!("the view's reader panicked");
        }
    }
}

fn turn(
    consumer: &mut GroupConsumer,
    names: &TopicNames,
    board: &SharedBoard,
) -> Result<(), ConsumerError> {
    match consumer.poll(TURN) {
        Some(Polled::Record(record)) => lock(board).tally.add(names, &record),
        Some(Polled::Assigned(partitions)) => {
            // The topics are as new as the demo: from their beginning.
            let starts: Vec<_> = partitions.into_iter().map(|at| (at, Some(0))).collect();
            consumer.complete_assign(&starts)?;
        }
        Some(Polled::Revoked { partitions, .. }) => consumer.complete_revoke(&partitions)?,
        Some(Polled::OutOfRange { partition, low, .. }) => consumer.seek(&partition, low)?,
        Some(Polled::Error(error)) => tracing::debug!(error = full(&error), "reading attempts"),
        Some(Polled::Committed(_)) | None => {}
    }
    Ok(())
}
