//! The orderly end: read nothing more, let acknowledgements come, commit.

use std::time::{Duration, Instant};

use hooklane_kafka::consumer::GroupConsumer;

use super::Intake;
use crate::error::IngestError;
use crate::outbox::Outbox;

impl Intake {
    /// Stops reading and waits until everything read is stored, at most until
    /// the deadline. Returns how many offsets are still open.
    pub(crate) fn drain(&mut self, deadline: Duration) -> Result<usize, IngestError> {
        let until = Instant::now() + deadline;
        self.draining = true;
        self.set_paused(true)?;
        while self.progress.open_offsets() > 0 || self.parts.outbox.is_waiting() {
            if Instant::now() >= until {
                break;
            }
            self.turn()?;
        }
        Ok(self.progress.open_offsets())
    }

    /// Commits what is done and waits for the answer, at most until the
    /// deadline. Returns whether the group knows everything.
    pub(crate) fn commit_finally(&mut self, deadline: Duration) -> Result<bool, IngestError> {
        let until = Instant::now() + deadline;
        self.draining = true;
        let mut sent = false;
        loop {
            let offsets = self.progress.to_commit();
            if offsets.is_empty() {
                return Ok(true);
            }
            if Instant::now() >= until {
                return Ok(false);
            }
            if self.commit.is_none() {
                if sent && self.rebalance.is_some() {
                    return Ok(false); // whoever gets the partitions repeats
                }
                self.commit = self.send_commit(&offsets);
                sent = true;
            }
            self.parts.heartbeat.beat();
            self.move_rebalance()?;
            self.read_batch()?;
        }
    }

    /// What must be closed, and the heartbeat retired.
    pub(crate) fn dismantle(self) -> (GroupConsumer, Outbox) {
        self.parts.heartbeat.retire();
        (self.parts.consumer, self.parts.outbox)
    }
}
