//! One attempt, from a connection to a report.
//!
//! [`Sender::attempt`] is one future in the caller's task: no spawn, no
//! channel, no lock on the path of a connection that is there already. A
//! single deadline lies over all of it. Redirects are never followed, no proxy
//! is taken from the environment, nothing is decompressed, and a request that
//! may have been written is never written again.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, header};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::config::SenderConfig;
use crate::connect::{Connecting, Progress, connect};
use crate::destination::Destination;
use crate::egress::UrlError;
use crate::failure::{Failure, FailureReason, Phase};
use crate::http1::{Http1, OutRequest, Unsent};
use crate::http2::Http2;
use crate::pool::{CloseReason, Pool, Stats};
use crate::report::{AttemptReport, Protocol, Response, Timings};
use crate::resolve::Resolve;

/// What one attempt sends.
#[derive(Debug)]
pub struct AttemptRequest {
    /// The attempt's headers; begin with [`Destination::headers`]. Host and
    /// length are set here, and framing headers are refused.
    pub headers: HeaderMap,
    /// The body, as it is.
    pub body: Bytes,
    /// The limit of the whole attempt, from the call on.
    pub timeout: Duration,
}

/// Sends attempts from one thread. Neither `Send` nor `Sync`: one per worker.
pub struct Sender {
    config: SenderConfig,
    tls: Arc<rustls::ClientConfig>,
    connecting: Connecting,
    pool: Rc<Pool>,
    ages: RefCell<fastrand::Rng>,
}

impl Sender {
    /// A sender without connections. `tls` comes from
    /// [`client_config`](crate::tls::client_config), the resolver is shared.
    #[must_use]
    pub fn new(
        config: SenderConfig,
        tls: Arc<rustls::ClientConfig>,
        resolver: Arc<dyn Resolve>,
    ) -> Self {
        Self {
            connecting: Connecting {
                resolver,
                egress: Arc::new(config.egress.clone()),
                timeout: config.connect_timeout,
            },
            pool: Rc::new(Pool::new(config.idle_connections_max)),
            ages: RefCell::new(fastrand::Rng::with_seed(config.seed)),
            tls,
            config,
        }
    }

    /// Prepares `url` as a destination. Connects nowhere. A literal host that
    /// the policy forbids is refused by each attempt, not here.
    ///
    /// # Errors
    /// The first rule that the URL breaks.
    pub fn destination(&self, url: &Url) -> Result<Rc<Destination>, UrlError> {
        let pool = Rc::clone(&self.pool);
        Destination::try_new(url, &self.tls, &self.config, pool).map(Rc::new)
    }

    /// The counters of this sender's connections.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.pool.stats()
    }

    /// Closes idle connections whose time is over or whose peer has gone.
    /// Call it about once a second: nothing else looks at idle connections.
    pub fn maintain(&self) {
        self.pool.maintain(Instant::now());
    }

    /// Makes one attempt.
    ///
    /// `may_start` is called in the poll that hands the request over to be
    /// written, after connect and TLS; `false` sends nothing. It is called
    /// once more in the one case that a stale connection gave the request
    /// back unwritten and a fresh one takes it.
    ///
    /// Cancel safe: dropping it closes the connection (HTTP/1.1) or resets the
    /// stream (HTTP/2); what was written stays written.
    pub async fn attempt(
        &self,
        destination: &Rc<Destination>,
        request: AttemptRequest,
        may_start: impl Fn() -> bool,
    ) -> AttemptReport {
        let begun = Instant::now();
        let trace = Trace::default();
        let result = match outgoing(request.headers, request.body) {
            Ok(outgoing) => {
                let running = Running {
                    sender: self,
                    destination,
                    trace: &trace,
                };
                let deadline = begun + request.timeout;
                match timeout_at(deadline, running.run(outgoing, begun, may_start)).await {
                    Ok(result) => result,
                    Err(_elapsed) => Err(Failure::new(trace.timeout_reason())),
                }
            }
            Err(failure) => Err(failure),
        };
        trace.report(result, begun.elapsed())
    }

    fn retire_at(&self) -> Instant {
        let age = self.config.connection_age_max;
        let spread = 0.2 * self.ages.borrow_mut().f64();
        Instant::now() + age.mul_f64(1.0 - spread)
    }
}

/// Refuses headers by which a body could be framed differently from how we
/// frame it, or the connection be used differently.
fn outgoing(headers: HeaderMap, body: Bytes) -> Result<OutRequest, Failure> {
    const OURS: [header::HeaderName; 8] = [
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::CONNECTION,
        header::UPGRADE,
        header::EXPECT,
        header::TE,
        header::TRAILER,
        header::PROXY_AUTHORIZATION,
    ];
    if headers.keys().any(|name| OURS.contains(name)) {
        return Err(Failure::new(FailureReason::InvalidRequest));
    }
    let empty = body.is_empty();
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    *request.headers_mut() = headers;
    if empty {
        // hyper frames a body that is there; a POST without one needs saying.
        let none = header::HeaderValue::from_static("0");
        request.headers_mut().insert(header::CONTENT_LENGTH, none);
    }
    Ok(request)
}

/// How far an attempt has come. Outlives the future that the deadline cuts.
#[derive(Default)]
struct Trace {
    step: Cell<Step>,
    progress: RefCell<Option<Arc<Progress>>>,
    protocol: Cell<Option<Protocol>>,
    started: Cell<bool>,
    reused: Cell<bool>,
    replaced_stale: Cell<bool>,
    first_byte: Cell<Option<Duration>>,
    status: Cell<Option<u16>>,
    write_blocked: Cell<bool>,
}

#[derive(Clone, Copy, Default)]
enum Step {
    #[default]
    Connecting,
    Head,
    Body,
}

impl Trace {
    fn timeout_reason(&self) -> FailureReason {
        match self.step.get() {
            Step::Connecting => match &*self.progress.borrow() {
                Some(progress) => progress.timeout_reason(),
                None => FailureReason::ConnectTimeout,
            },
            Step::Head if self.write_blocked.get() => FailureReason::Timeout(Phase::Write),
            Step::Head => FailureReason::Timeout(Phase::ResponseHeaders),
            Step::Body => FailureReason::Timeout(Phase::ResponseBody),
        }
    }

    fn report(self, mut result: Result<Response, Failure>, total: Duration) -> AttemptReport {
        if let Err(failure) = &mut result {
            failure.status = self.status.get();
        }
        let [dns, connect, tls] = match &*self.progress.borrow() {
            Some(progress) => progress.timings(),
            None => [None; 3],
        };
        AttemptReport {
            result,
            timings: Timings {
                dns,
                connect,
                tls,
                first_byte: self.first_byte.get(),
                total,
            },
            started: self.started.get(),
            reused: self.reused.get(),
            replaced_stale: self.replaced_stale.get(),
            protocol: self.protocol.get(),
        }
    }
}

enum Connection {
    One(Box<Http1>),
    Two(Rc<Http2>),
}

enum Exchange {
    Over(Result<Response, Failure>),
    HandedBack(Box<OutRequest>, hyper::Error),
}

struct Running<'a> {
    sender: &'a Sender,
    destination: &'a Rc<Destination>,
    trace: &'a Trace,
}

impl Running<'_> {
    async fn run(
        &self,
        mut request: OutRequest,
        now: Instant,
        may_start: impl Fn() -> bool,
    ) -> Result<Response, Failure> {
        let mut connection = self.find(now);
        self.trace.reused.set(connection.is_some());
        loop {
            let ready = match connection.take() {
                Some(ready) => ready,
                // Boxed: rare, and large beside the rest of this future.
                None => Box::pin(self.open()).await?,
            };
            let exchange = match ready {
                Connection::One(it) => self.exchange_one(it, request, &may_start).await,
                Connection::Two(it) => self.exchange_two(it, request, &may_start).await,
            };
            match exchange {
                Exchange::Over(result) => return result,
                Exchange::HandedBack(again, error) => {
                    self.trace.started.set(false);
                    if !self.trace.reused.replace(false) {
                        return Err(Failure::of_exchange(error));
                    }
                    // The stale keep-alive race, and nothing was written: once
                    // more, on a connection that can't be stale.
                    self.trace.replaced_stale.set(true);
                    self.trace.step.set(Step::Connecting);
                    request = *again;
                }
            }
        }
    }

    fn find(&self, now: Instant) -> Option<Connection> {
        let found = match self.destination.take_http1(now) {
            Some(one) => Some(Connection::One(one)),
            None => self.destination.take_http2(now).map(Connection::Two),
        };
        if found.is_some() {
            self.sender.pool.count(|stats| stats.reused += 1);
        }
        found
    }

    /// A fresh connection; or, when one was just being made that turns out to
    /// be shared, that one.
    async fn open(&self) -> Result<Connection, Failure> {
        let destination = self.destination;
        let could_be_shared =
            destination.target.tls.is_some() && destination.protocol.get() != Some(Protocol::Http1);
        if could_be_shared && destination.probing.get() && !self.trace.replaced_stale.get() {
            // Waits once: if that connection fails or is not to be shared,
            // everybody connects for themselves.
            destination.probed.notified().await;
            if let Some(shared) = destination.take_http2(Instant::now()) {
                return Ok(Connection::Two(shared));
            }
        }
        let _probe =
            (could_be_shared && !destination.probing.get()).then(|| Probe::new(destination));
        let progress = Arc::new(Progress::default());
        self.trace.progress.replace(Some(Arc::clone(&progress)));
        let connecting = self.sender.connecting.clone();
        let (stream, protocol) = connect(connecting, destination.target.clone(), progress).await?;
        destination.protocol.set(Some(protocol));
        let retire_at = self.sender.retire_at();
        let pool = Rc::clone(&self.sender.pool);
        match protocol {
            Protocol::Http1 => {
                let connection = Http1::new(stream, retire_at, pool).await;
                connection.map(Connection::One)
            }
            Protocol::Http2 => {
                let connection = Http2::new(stream, retire_at, pool).await;
                connection.map(|connection| {
                    destination.share_http2(&connection);
                    Connection::Two(connection)
                })
            }
        }
        .map_err(Failure::of_exchange)
    }

    async fn exchange_one(
        &self,
        connection: Box<Http1>,
        mut request: OutRequest,
        may_start: &impl Fn() -> bool,
    ) -> Exchange {
        let mut held = Held {
            connection: Some(connection),
            trace: self.trace,
        };
        self.trace.protocol.set(Some(Protocol::Http1));
        self.destination.address(&mut request, Protocol::Http1);
        let connection = held.connection.as_mut().expect("filled above");
        // From here to the first poll of `send` there is no await.
        if !may_start() {
            held.give_back(self.destination, Instant::now());
            return not_started();
        }
        let handed_over = self.hand_over();
        let response = match connection.send(request).await {
            Ok(response) => response,
            Err(Unsent::HandedBack(request, error)) => {
                connection.end = CloseReason::Peer;
                return Exchange::HandedBack(request, error);
            }
            Err(Unsent::Failed(error)) => {
                connection.end = CloseReason::Failed;
                return Exchange::Over(Err(Failure::of_exchange(error)));
            }
        };
        let (mut response, body) = match self.read_head(response, handed_over) {
            Ok(head) => head,
            Err(failure) => {
                connection.end = CloseReason::Failed;
                return Exchange::Over(Err(failure));
            }
        };
        if let Some(body) = body {
            let drained = self
                .drain(body, &mut response, |cx| connection.drive(cx))
                .await;
            match drained {
                Ok(true) => {}
                Ok(false) => {
                    connection.end = CloseReason::Undrained;
                    return Exchange::Over(Ok(response));
                }
                Err(failure) => {
                    connection.end = CloseReason::Failed;
                    return Exchange::Over(Err(failure));
                }
            }
        }
        if poll_fn(|cx| Poll::Ready(connection.settle(cx))).await {
            held.give_back(self.destination, Instant::now());
        } else {
            connection.end = CloseReason::Peer;
        }
        Exchange::Over(Ok(response))
    }

    async fn exchange_two(
        &self,
        connection: Rc<Http2>,
        mut request: OutRequest,
        may_start: &impl Fn() -> bool,
    ) -> Exchange {
        self.trace.protocol.set(Some(Protocol::Http2));
        self.destination.address(&mut request, Protocol::Http2);
        let mut stream = HeldStream::new(connection, self.destination, self.trace);
        if !may_start() {
            stream.finished = true;
            return not_started();
        }
        let handed_over = self.hand_over();
        stream.since = Some(handed_over);
        let response = stream.connection.send(request).await;
        stream.finished = true;
        let response = match response {
            Ok(response) => response,
            Err(Unsent::HandedBack(request, error)) => {
                stream.forget(CloseReason::Peer);
                return Exchange::HandedBack(request, error);
            }
            Err(Unsent::Failed(error)) => {
                return Exchange::Over(Err(Failure::of_exchange(error)));
            }
        };
        stream.connection.heard.set(Instant::now());
        let (mut response, body) = match self.read_head(response, handed_over) {
            Ok(head) => head,
            Err(failure) => return Exchange::Over(Err(failure)),
        };
        if let Some(body) = body
            && let Err(failure) = self.drain(body, &mut response, |_cx| {}).await
        {
            return Exchange::Over(Err(failure));
        }
        Exchange::Over(Ok(response))
    }

    fn hand_over(&self) -> Instant {
        self.trace.started.set(true);
        self.trace.step.set(Step::Head);
        Instant::now()
    }

    /// Takes from the head what matters; the body only if there is one.
    fn read_head(
        &self,
        response: http::Response<Incoming>,
        handed_over: Instant,
    ) -> Result<(Response, Option<Incoming>), Failure> {
        self.trace.first_byte.set(Some(handed_over.elapsed()));
        let status = response.status();
        self.trace.status.set(Some(status.as_u16()));
        if status.is_informational() {
            // 101: we asked for no upgrade.
            return Err(Failure::new(FailureReason::Protocol));
        }
        let head = Response::of_head(status, response.headers());
        let body = response.into_body();
        Ok((head, (!body.is_end_stream()).then_some(body)))
    }

    /// Reads the body as far as it is worth it. `Ok(false)`: there is more.
    async fn drain(
        &self,
        mut body: Incoming,
        response: &mut Response,
        mut drive: impl FnMut(&mut Context<'_>),
    ) -> Result<bool, Failure> {
        self.trace.step.set(Step::Body);
        let config = &self.sender.config;
        let mut excerpt = BytesMut::new();
        let mut read = 0;
        let whole = poll_fn(|cx| {
            loop {
                drive(cx);
                let mut moved = false;
                loop {
                    match Pin::new(&mut body).poll_frame(cx) {
                        Poll::Ready(Some(Ok(frame))) => {
                            moved = true;
                            let Some(data) = frame.data_ref() else {
                                continue;
                            };
                            read += data.len();
                            let keep = config.excerpt_max.saturating_sub(excerpt.len());
                            excerpt.extend_from_slice(&data[..keep.min(data.len())]);
                            if read > config.drain_max {
                                return Poll::Ready(Ok(false));
                            }
                        }
                        Poll::Ready(Some(Err(error))) => {
                            return Poll::Ready(Err(Failure::of_exchange(error)));
                        }
                        Poll::Ready(None) => return Poll::Ready(Ok(true)),
                        Poll::Pending => break,
                    }
                }
                if !moved {
                    return Poll::Pending;
                }
            }
        })
        .await?;
        if config.excerpt_max > 0 {
            response.excerpt = Some(excerpt.freeze());
        }
        Ok(whole)
    }
}

fn not_started() -> Exchange {
    Exchange::Over(Err(Failure::new(FailureReason::NotStarted)))
}

/// A connection of HTTP/1.1 at work. Dropped with it still inside, it closes.
struct Held<'a> {
    connection: Option<Box<Http1>>,
    trace: &'a Trace,
}

impl Held<'_> {
    fn give_back(&mut self, destination: &Rc<Destination>, now: Instant) {
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
struct HeldStream<'a> {
    connection: Rc<Http2>,
    destination: &'a Rc<Destination>,
    trace: &'a Trace,
    since: Option<Instant>,
    finished: bool,
}

impl<'a> HeldStream<'a> {
    fn new(connection: Rc<Http2>, destination: &'a Rc<Destination>, trace: &'a Trace) -> Self {
        destination.stream_begins(&connection);
        Self {
            connection,
            destination,
            trace,
            since: None,
            finished: false,
        }
    }

    fn forget(&self, reason: CloseReason) {
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
struct Probe<'a>(&'a Destination);

impl<'a> Probe<'a> {
    fn new(destination: &'a Destination) -> Self {
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
