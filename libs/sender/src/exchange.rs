//! The inside of an attempt: find or make a connection, exchange a request for
//! a response on it, and give it back or close it.
//!
//! Whatever ends here early ends by dropping a guard. A request goes to a
//! second connection in one case only: the first gave it back unwritten.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Incoming};
use tokio::time::Instant;

use crate::connect::{Progress, connect};
use crate::destination::{Destination, with_query};
use crate::failure::{Failure, FailureReason};
use crate::held::{Held, HeldStream, Probe};
use crate::http1::{Http1, OutRequest, Unsent};
use crate::http2::Http2;
use crate::pool::CloseReason;
use crate::report::{Protocol, Response};
use crate::sender::Sender;
use crate::trace::{Step, Trace};

enum Connection {
    One(Box<Http1>),
    Two(Rc<Http2>),
}

enum Exchange {
    Over(Result<Response, Failure>),
    HandedBack(Box<OutRequest>, Failure),
}

pub(crate) struct Running<'a> {
    pub(crate) sender: &'a Sender,
    pub(crate) destination: &'a Rc<Destination>,
    pub(crate) trace: &'a Trace,
    /// Added to the destination's query.
    pub(crate) query: Option<&'a str>,
    /// So much of the response's body is kept.
    pub(crate) excerpt_max: usize,
    /// Whether its headers are, too.
    pub(crate) keeps_headers: bool,
}

impl Running<'_> {
    pub(crate) async fn run(
        &self,
        mut request: OutRequest,
        now: Instant,
        may_start: impl Fn() -> bool,
    ) -> Result<Response, Failure> {
        let mut connection = self.find(now);
        self.trace.reused.set(connection.is_some());
        loop {
            // A connection that was there is handed the request right now.
            let (ready, now) = match connection.take() {
                Some(ready) => (ready, now),
                // Boxed: rare, and large beside the rest of this future.
                None => (Box::pin(self.open()).await?, Instant::now()),
            };
            let exchange = match ready {
                Connection::One(it) => self.exchange_one(it, request, now, &may_start).await,
                Connection::Two(it) => self.exchange_two(it, request, now, &may_start).await,
            };
            match exchange {
                Exchange::Over(result) => return result,
                Exchange::HandedBack(again, failure) => {
                    self.trace.started.set(false);
                    if !self.trace.reused.replace(false) {
                        return Err(failure);
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
        now: Instant,
        may_start: &impl Fn() -> bool,
    ) -> Exchange {
        let mut held = Held {
            connection: Some(connection),
            trace: self.trace,
        };
        self.trace.protocol.set(Some(Protocol::Http1));
        self.address(&mut request, Protocol::Http1);
        let connection = held.connection.as_mut().expect("filled above");
        // From here to the first poll of `send` there is no await.
        if !may_start() {
            held.give_back(self.destination, now);
            return not_started();
        }
        self.hand_over();
        let response = match connection.send(request).await {
            Ok(response) => response,
            Err(Unsent::HandedBack(request, error)) => {
                connection.end = CloseReason::Peer;
                let failure = connection.io.explain(Failure::of_exchange(error));
                return Exchange::HandedBack(request, failure);
            }
            Err(Unsent::Failed(error)) => {
                connection.end = CloseReason::Failed;
                let failure = connection.io.explain(Failure::of_exchange(error));
                return Exchange::Over(Err(failure));
            }
        };
        let answered = Instant::now();
        let (mut response, body) = match self.read_head(response, answered - now) {
            Ok(head) => head,
            Err(failure) => {
                connection.end = CloseReason::Failed;
                return Exchange::Over(Err(failure));
            }
        };
        if let Some(body) = body {
            // Also if the deadline drops this while it reads.
            connection.end = CloseReason::Undrained;
            let drained = self
                .drain(body, &mut response, |cx| connection.drive(cx))
                .await;
            match drained {
                Ok(true) => {}
                Ok(false) => return Exchange::Over(Ok(response)),
                Err(failure) => {
                    connection.end = CloseReason::Failed;
                    return Exchange::Over(Err(connection.io.explain(failure)));
                }
            }
        }
        if poll_fn(|cx| Poll::Ready(connection.settle(cx))).await {
            // The body took no time worth another look at the clock.
            held.give_back(self.destination, answered);
        } else {
            connection.end = CloseReason::Peer;
        }
        Exchange::Over(Ok(response))
    }

    async fn exchange_two(
        &self,
        connection: Rc<Http2>,
        mut request: OutRequest,
        now: Instant,
        may_start: &impl Fn() -> bool,
    ) -> Exchange {
        self.trace.protocol.set(Some(Protocol::Http2));
        self.address(&mut request, Protocol::Http2);
        let mut stream = HeldStream::new(connection, self.destination, self.trace);
        if !may_start() {
            stream.finished = true;
            return not_started();
        }
        self.hand_over();
        stream.since = Some(now);
        let response = stream.connection.send(request).await;
        stream.finished = true;
        let response = match response {
            Ok(response) => response,
            Err(Unsent::HandedBack(request, error)) => {
                stream.forget(CloseReason::Peer);
                let failure = stream.connection.io.explain(Failure::of_exchange(error));
                return Exchange::HandedBack(request, failure);
            }
            Err(Unsent::Failed(error)) => {
                let failure = Failure::of_exchange(error);
                return Exchange::Over(Err(stream.connection.io.explain(failure)));
            }
        };
        let answered = Instant::now();
        stream.connection.heard.set(answered);
        let (mut response, body) = match self.read_head(response, answered - now) {
            Ok(head) => head,
            Err(failure) => return Exchange::Over(Err(failure)),
        };
        if let Some(body) = body
            && let Err(failure) = self.drain(body, &mut response, |_cx| {}).await
        {
            let failure = stream.connection.io.explain(failure);
            if failure.reason != FailureReason::ResponseTooLarge {
                return Exchange::Over(Err(failure));
            }
        }
        Exchange::Over(Ok(response))
    }

    fn address(&self, request: &mut OutRequest, protocol: Protocol) {
        self.destination.address(request, protocol);
        if let Some(added) = self.query {
            *request.uri_mut() = with_query(request.uri(), added);
        }
    }

    fn hand_over(&self) {
        self.trace.started.set(true);
        self.trace.step.set(Step::Head);
    }

    /// Takes from the head what matters; the body only if there is one.
    fn read_head(
        &self,
        response: http::Response<Incoming>,
        first_byte: Duration,
    ) -> Result<(Response, Option<Incoming>), Failure> {
        self.trace.first_byte.set(Some(first_byte));
        let status = response.status();
        self.trace.status.set(Some(status.as_u16()));
        if status.is_informational() {
            // 101: we asked for no upgrade.
            return Err(Failure::new(FailureReason::Protocol));
        }
        let mut head = Response::of_head(status, response.headers());
        if self.keeps_headers {
            head.headers = Some(Box::new(response.headers().clone()));
        }
        let body = response.into_body();
        if body.is_end_stream() {
            head.excerpt = (self.excerpt_max > 0).then(Bytes::new);
            return Ok((head, None));
        }
        self.trace.head.replace(Some(head.clone()));
        Ok((head, Some(body)))
    }

    /// Reads the body as far as it is worth it, for the connection's sake: the
    /// answer is its head. `Ok(false)`: there is more.
    async fn drain(
        &self,
        mut body: Incoming,
        response: &mut Response,
        mut drive: impl FnMut(&mut Context<'_>),
    ) -> Result<bool, Failure> {
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
                            let keep = self.excerpt_max.saturating_sub(excerpt.len());
                            excerpt.extend_from_slice(&data[..keep.min(data.len())]);
                            if read > config.drain_max {
                                return Poll::Ready(Ok(false));
                            }
                        }
                        Poll::Ready(Some(Err(error))) => {
                            let failure = Failure::of_exchange(error);
                            // We have left off: the receiver goes on.
                            if failure.reason == FailureReason::ResponseTooLarge {
                                return Poll::Ready(Ok(false));
                            }
                            return Poll::Ready(Err(failure));
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
        if self.excerpt_max > 0 {
            response.excerpt = Some(excerpt.freeze());
        }
        Ok(whole)
    }
}

fn not_started() -> Exchange {
    Exchange::Over(Err(Failure::new(FailureReason::NotStarted)))
}
