//! One HTTP/2 connection, shared by a destination's attempts.
//!
//! Its frames are read and written by tasks of the current runtime, because
//! streams must go on while no attempt is polled. A request handed over is
//! written when that task runs next; so that it never waits inside the
//! connection (the lease was checked at the hand-over), a connection whose
//! streams are all taken, or whose socket takes no bytes, is not offered.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::Instant;

use crate::http1::{OutRequest, Unsent};
use crate::io::{IoState, LastWords, READS_MAX, Stream, Watched};
use crate::pool::{CloseReason, Pool};

/// Response bytes a receiver may send ahead of our reading, per stream: what
/// we would drain anyway.
const STREAM_WINDOW: u32 = 64 * 1024;
/// The same for the connection: what a hostile receiver can make us hold.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
const HEADER_LIST_MAX: u32 = 16 * 1024;
/// A path that died under open streams is found out by then.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) struct Http2 {
    sender: RefCell<http2::SendRequest<Full<Bytes>>>,
    pub(crate) io: Arc<IoState>,
    streams_max: Arc<AtomicUsize>,
    pub(crate) in_flight: Cell<usize>,
    /// When idle: its place in the pool's order, and since when.
    pub(crate) idle: Cell<Option<(u64, Instant)>>,
    /// When a response head last came.
    pub(crate) heard: Cell<Instant>,
    pub(crate) retire_at: Instant,
    pub(crate) end: Cell<CloseReason>,
    pool: Rc<Pool>,
}

/// Drives the dispatch side of the connection and publishes its stream limit.
struct Driver {
    connection: http2::Connection<Watched, Full<Bytes>, TokioExecutor>,
    streams_max: Arc<AtomicUsize>,
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let polled = Pin::new(&mut self.connection).poll(cx);
        let streams = self.connection.current_max_send_streams();
        self.streams_max.store(streams, Relaxed);
        // An error has already been given to every stream it concerns.
        polled.map(|_ended| ())
    }
}

impl Http2 {
    /// # Errors
    /// The preface can't be written.
    pub(crate) async fn new(
        stream: Stream,
        retire_at: Instant,
        pool: Rc<Pool>,
    ) -> hyper::Result<Rc<Self>> {
        let (watched, io) = Watched::new(stream, LastWords::Heard);
        // For what comes before the first request; each request adds its own,
        // so pings and settings without end are bounded too, also when idle.
        io.allow_reads(READS_MAX);
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(HEADER_LIST_MAX)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .handshake(watched)
            .await?;
        let streams_max = Arc::new(AtomicUsize::new(connection.current_max_send_streams()));
        tokio::spawn(Driver {
            connection,
            streams_max: Arc::clone(&streams_max),
        });
        pool.count(|stats| stats.opened += 1);
        Ok(Rc::new(Self {
            sender: RefCell::new(sender),
            io,
            streams_max,
            in_flight: Cell::new(0),
            idle: Cell::new(None),
            heard: Cell::new(Instant::now()),
            retire_at,
            end: Cell::new(CloseReason::Dropped),
            pool,
        }))
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.sender.borrow().is_closed()
    }

    /// Whether a request handed over now would be written now.
    pub(crate) fn has_room(&self) -> bool {
        self.in_flight.get() < self.streams_max.load(Relaxed) && !self.io.write_blocked()
    }

    /// Hands `request` over when called, gives the response head when polled.
    /// Cancel safe: dropping it resets the stream and nothing else.
    pub(crate) fn send(
        &self,
        request: OutRequest,
    ) -> impl Future<Output = Result<http::Response<Incoming>, Unsent>> + use<> {
        self.io.allow_reads_among(self.in_flight.get());
        let sent = self.sender.borrow_mut().try_send_request(request);
        async move {
            sent.await.map_err(|mut error| match error.take_message() {
                Some(request) => Unsent::HandedBack(Box::new(request), error.into_error()),
                None => Unsent::Failed(error.into_error()),
            })
        }
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        self.pool.count_closed(self.end.get());
    }
}
