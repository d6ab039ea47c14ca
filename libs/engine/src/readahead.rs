//! How far the worker reads ahead of what it sends.
//!
//! What waits because this process is busy is better left in the lane, where
//! waiting costs nothing: read, it would only grow old in memory and then be
//! parked. What waits for its own endpoint (its limit, its hold, its slowness)
//! or its own tenant's share must not stop the reading of others, so it does
//! not count here; it is bounded by the queue wait, by the tenant's share of
//! the bytes, and by the byte budget.
//!
//! Nor must one tenant's flood, or one event for thousands of endpoints: of a
//! tenant only its share counts, and wide events have a bound of their own.

use crate::Core;

/// Deliveries waiting for this process beyond which reading stops; it goes on
/// at half. A quarter of a second's work of one worker: enough to bridge a
/// fetch.
const QUEUED_MAX: usize = 4_096;
/// How many of them one tenant counts for, where there are others: so few that
/// its flood alone neither stops the reading nor keeps it stopped.
pub(crate) const TENANT_QUEUED_MAX: usize = QUEUED_MAX / 4;
/// As [`QUEUED_MAX`], for deliveries of wide events: the widest that we are
/// built for, three times.
const WIDE_QUEUED_MAX: usize = 32_768;

/// What decides whether more is read.
#[derive(Debug, Default)]
pub(crate) struct ReadAhead {
    stopped: bool,
}

impl Core {
    /// Whether more records should be read. Stops at a bound and goes on at
    /// half of it, so that reading does not flutter. Of the bytes at three
    /// quarters: a tenant that holds its half must not keep it stopped.
    pub fn has_room(&mut self) -> bool {
        let (narrow, wide) = self.ready.ahead();
        let ahead = &mut self.read_ahead;
        let share = if ahead.stopped { 2 } else { 1 };
        let bytes_max = match ahead.stopped {
            true => self.limits.bytes / 4 * 3,
            false => self.limits.bytes,
        };
        let bytes_fit = self.bytes < bytes_max;
        let ahead_fits = narrow < QUEUED_MAX / share && wide < WIDE_QUEUED_MAX / share;
        ahead.stopped = !(bytes_fit && ahead_fits);
        !ahead.stopped
    }
}
