//! One HTTP/1.1 connection, driven by whoever uses it.
//!
//! The request's future and the connection's future are polled in the same
//! task, so that a response costs no wake-up between tasks and no spawn. A
//! connection that nobody uses is polled by nobody but the pool's upkeep.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use tokio::time::Instant;

use crate::io::{IoState, LastWords, READ_BUFFER_MAX, READS_MAX, Stream, Watched};
use crate::pool::{CloseReason, Pool};

pub(crate) type OutRequest = Request<Full<Bytes>>;

/// An exchange that brought no response head.
pub(crate) enum Unsent {
    /// Nothing was written; here is the request again.
    HandedBack(Box<OutRequest>, hyper::Error),
    /// It may have been written.
    Failed(hyper::Error),
}

pub(crate) struct Http1 {
    sender: http1::SendRequest<Full<Bytes>>,
    /// `None` once it has ended.
    connection: Option<http1::Connection<Watched, Full<Bytes>>>,
    pub(crate) io: Arc<IoState>,
    /// Not used beyond this.
    pub(crate) retire_at: Instant,
    /// What dropping it now would be.
    pub(crate) end: CloseReason,
    pool: Rc<Pool>,
}

impl Http1 {
    /// # Errors
    /// None in practice: the handshake of HTTP/1.1 sends nothing.
    pub(crate) async fn new(
        stream: Stream,
        retire_at: Instant,
        pool: Rc<Pool>,
    ) -> hyper::Result<Box<Self>> {
        let (watched, io) = Watched::new(stream, LastWords::Passed);
        // max_headers stays at its default of 100: set explicitly it moves the
        // parser's header table from the stack to the heap.
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(READ_BUFFER_MAX)
            .handshake(watched)
            .await?;
        pool.count(|stats| stats.opened += 1);
        Ok(Box::new(Self {
            sender,
            connection: Some(connection),
            io,
            retire_at,
            end: CloseReason::Aborted,
            pool,
        }))
    }

    /// Hands `request` over and drives the connection until the response head.
    ///
    /// The first poll writes it, as far as the socket takes it. Not cancel
    /// safe: the connection is unusable when this is dropped.
    pub(crate) async fn send(
        &mut self,
        request: OutRequest,
    ) -> Result<http::Response<Incoming>, Unsent> {
        self.io.allow_reads(READS_MAX);
        let mut response = pin!(self.sender.try_send_request(request));
        let sent = poll_fn(|cx| {
            drive(&mut self.connection, cx);
            response.as_mut().poll(cx)
        })
        .await;
        sent.map_err(|mut error| match error.take_message() {
            Some(request) => Unsent::HandedBack(Box::new(request), error.into_error()),
            None => Unsent::Failed(error.into_error()),
        })
    }

    /// Polls the connection while something else is waited for.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) {
        drive(&mut self.connection, cx);
    }

    /// Whether another request can be sent. Polls once more if that is what it
    /// takes for hyper to notice that the last one is over.
    pub(crate) fn settle(&mut self, cx: &mut Context<'_>) -> bool {
        if self.connection.is_some() && !self.sender.is_ready() {
            self.drive(cx);
        }
        self.connection.is_some() && self.sender.is_ready()
    }
}

impl Http1 {
    /// Polls an idle connection; says whether its peer has left it open.
    pub(crate) fn settle_idle(&mut self, cx: &mut Context<'_>) -> bool {
        self.drive(cx);
        self.connection.is_some()
    }
}

impl Drop for Http1 {
    fn drop(&mut self) {
        self.pool.count_closed(self.end);
    }
}

/// Dropping an ended connection is what makes hyper give back a request that
/// it had queued and never started.
fn drive(connection: &mut Option<http1::Connection<Watched, Full<Bytes>>>, cx: &mut Context<'_>) {
    if let Some(running) = connection
        && let Poll::Ready(_ended) = Pin::new(running).poll(cx)
    {
        *connection = None;
    }
}
