//! How far the worker reads ahead of what it sends.
//!
//! What waits because this process is busy is better left in the lane, where
//! waiting costs nothing: read, it would only grow old in memory and then be
//! parked. What waits for its own endpoint (its limit, its hold, its slowness)
//! must not stop the reading of others, so it does not count here; it is
//! bounded by the queue wait and by the byte budget.

use std::time::Duration;

use crate::{Core, Mono};

/// Queued deliveries beyond which reading stops; it goes on at half. A quarter
/// of a second's work of one worker: enough to bridge a fetch.
const QUEUED_MAX: usize = 4_096;
/// A queue whose head has waited this long waits for its endpoint, not for
/// this process.
const SLOW_AFTER: Duration = Duration::from_secs(1);
/// How often it is found out which queues are slow.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What decides whether more is read.
#[derive(Debug, Default)]
pub(crate) struct ReadAhead {
    /// Deliveries in the queues of all endpoints.
    pub(crate) queued: usize,
    /// Of those, the ones that wait for their own endpoint; as of `looked_at`.
    own_fault: usize,
    looked_at: Mono,
    stopped: bool,
}

impl Core {
    /// Whether more records should be read. Stops at a bound and goes on at
    /// half of it, so that reading does not flutter.
    pub fn has_room(&mut self) -> bool {
        let now = self.clock.mono();
        if now.since(self.read_ahead.looked_at) >= LOOK_EVERY {
            self.read_ahead.looked_at = now;
            self.read_ahead.own_fault = self.waiting_for_their_endpoint(now);
        }
        let ahead = &mut self.read_ahead;
        let queued = ahead.queued.saturating_sub(ahead.own_fault);
        let share = if ahead.stopped { 2 } else { 1 };
        let bytes_fit = self.bytes < self.limits.bytes / share;
        ahead.stopped = !(bytes_fit && queued < QUEUED_MAX / share);
        !ahead.stopped
    }

    fn waiting_for_their_endpoint(&self, now: Mono) -> usize {
        let waits = |endpoint: &crate::endpoint::EndpointState| {
            let head = endpoint
                .queue
                .front()
                .map(|slot| self.deliveries[*slot].arrived);
            // A timer for its limit or hold is armed, or it is simply slow.
            endpoint.wake_at.is_some() || head.is_some_and(|at| now.since(at) >= SLOW_AFTER)
        };
        let slow = self
            .endpoints
            .iter()
            .filter(|(_, endpoint)| waits(endpoint));
        slow.map(|(_, endpoint)| endpoint.queue.len()).sum()
    }
}
