//! Leaving the group within a deadline.
//!
//! Dropping a consumer can take as long as a session when its broker is away,
//! so it happens on a thread of its own that may be left behind.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use rdkafka::consumer::Consumer;

use super::{GroupConsumer, context};
use crate::client::list_of;

/// How long dropping a consumer without [`GroupConsumer::close`] may take.
const DROP_DEADLINE: Duration = Duration::from_secs(5);

impl GroupConsumer {
    pub(super) fn shut(&mut self, deadline: Duration) -> bool {
        let Some(client) = self.client.take() else {
            return true;
        };
        let commits = self.commits.take();
        client.context().closing();
        if let Some(waiting) = self.waiting.take() {
            // The library waits for the application's call, also when closing.
            let list = list_of(waiting.partitions.iter().map(|tp| (tp, None)));
            let ended = context::complete(&client, waiting.assign, waiting.cooperative, &list);
            if let Err(error) = ended {
                tracing::debug!(group = self.group, %error, "rebalance dropped at close");
            }
        }
        // One message: that the client is gone.
        let (done, gone) = sync_channel::<()>(1);
        let dropper = std::thread::Builder::new()
            .name("kafka-close".to_owned())
            .spawn(move || {
                if let Some(commits) = commits {
                    commits.finish();
                }
                drop(client);
                drop(done);
            });
        // The sender's end is the signal, so an error is the good case.
        dropper.is_ok() && gone.recv_timeout(deadline) == Err(RecvTimeoutError::Disconnected)
    }
}

impl Drop for GroupConsumer {
    fn drop(&mut self) {
        if !self.shut(DROP_DEADLINE) {
            tracing::warn!(group = self.group, "consumer still closing");
        }
    }
}
