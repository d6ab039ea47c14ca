//! Guards of what an attempt holds. Each says on drop what became of it, so
//! that an attempt can be dropped at any await.

use std::rc::Rc;

use tokio::time::Instant;

use crate::destination::Destination;
use crate::http1::Http1;
use crate::http2::Http2;
use crate::pool::CloseReason;
use crate::trace::Trace;

/// A connection of HTTP/1.1 at work. Dropped with it still inside, it closes.
pub(crate) struct Held<'a> {
    pub(crate) connection: Option<Box<Http1>>,
    pub(crate) trace: &'a Trace,
}

impl Held<'_> {
    pub(crate) fn give_back(&mut self, destination: &Rc<Destination>, now: Instant) {
        if let Some(connection) = self.connection.take() {
            destination.put_http1(connection, now);
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(connection) = &self.connection {
            self.trace.write_blocked.set(connection.io.write_blocked());
        }
    }
}

/// A stream of HTTP/2 at work.
pub(crate) struct HeldStream<'a> {
    pub(crate) connection: Rc<Http2>,
    destination: &'a Rc<Destination>,
    pub(crate) trace: &'a Trace,
    pub(crate) since: Option<Instant>,
    pub(crate) finished: bool,
}

impl<'a> HeldStream<'a> {
    pub(crate) fn new(
        connection: Rc<Http2>,
        destination: &'a Rc<Destination>,
        trace: &'a Trace,
    ) -> Self {
        destination.stream_begins(&connection);
        Self {
            connection,
            destination,
            trace,
            since: None,
            finished: false,
        }
    }

    pub(crate) fn forget(&self, reason: CloseReason) {
        self.destination.forget_http2(&self.connection, reason);
    }
}

impl Drop for HeldStream<'_> {
    fn drop(&mut self) {
        self.trace
            .write_blocked
            .set(self.connection.io.write_blocked());
        let unheard = self
            .since
            .is_some_and(|since| self.connection.heard.get() < since);
        if !self.finished && unheard {
            // Given up, and no other stream was answered meanwhile: the path
            // may be dead, and the next attempt must not find out again.
            self.forget(CloseReason::Aborted);
        }
        self.destination.stream_ends(&self.connection);
    }
}

/// Marks that a first TLS connection is under way; wakes the waiting on drop.
pub(crate) struct Probe<'a>(&'a Destination);

impl<'a> Probe<'a> {
    pub(crate) fn new(destination: &'a Destination) -> Self {
        destination.probing.set(true);
        Self(destination)
    }
}

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        self.0.probing.set(false);
        self.0.probed.notify_waiters();
    }
}
