//! How long this process may believe that it owns its lanes.
//!
//! An acked commit proves membership at a moment after it was sent. The group
//! gives a lane to somebody else only when it has heard nothing for the
//! session timeout, so up to then, less a margin, nobody else sends.
//!
//! The clock counts suspended time: a machine that was put to sleep must not
//! wake up believing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hooklane_engine::Mono;

/// What the lease ends before the session does: answers on their way, and the
/// request that is just being written. A short session gives a third of itself.
const MARGIN: Duration = Duration::from_secs(5);

/// The lease of this process, read by workers in the same poll that writes a
/// request's first byte.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    until: Arc<AtomicU64>,
    length: Duration,
}

impl Lease {
    /// A lease that has not begun, for a group whose sessions last `session`
    /// and whose members must poll every `max_poll`.
    pub(crate) fn new(session: Duration, max_poll: Duration) -> Self {
        let believed = session.min(max_poll);
        let length = believed.saturating_sub(MARGIN.min(believed / 3));
        Self {
            until: Arc::default(),
            length,
        }
    }

    /// A commit that was sent at `sent` was acked.
    pub(crate) fn renew(&self, sent: Mono) {
        self.until
            .fetch_max(sent.after(self.length).0, Ordering::Release);
    }

    /// Nothing is owned any more.
    pub(crate) fn end(&self) {
        self.until.store(0, Ordering::Release);
    }

    /// Until when requests may start.
    pub(crate) fn until(&self) -> Mono {
        Mono(self.until.load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_from_the_send_of_the_commit_and_never_goes_back() {
        let lease = Lease::new(Duration::from_secs(45), Duration::from_secs(60));
        let at = |s: u64| Mono(s * 1_000_000_000);
        assert_eq!(lease.until(), Mono(0));
        lease.renew(at(100));
        assert_eq!(lease.until(), at(140));
        lease.renew(at(90));
        assert_eq!(lease.until(), at(140));
        lease.end();
        assert_eq!(lease.until(), Mono(0));
    }

    #[test]
    fn a_short_session_still_gives_a_lease_shorter_than_itself() {
        let lease = Lease::new(Duration::from_secs(6), Duration::from_secs(60));
        lease.renew(Mono(1_000_000_000));
        assert_eq!(lease.until(), Mono(5_000_000_000));
    }
}
