//! One attempt, from a connection to a report.
//!
//! [`Sender::attempt`] is one future in the caller's task: no spawn, no
//! channel, no lock on the path of a connection that is there already. A
//! single deadline lies over all of it. Redirects are never followed, no proxy
//! is taken from the environment, nothing is decompressed, and a request that
//! may have been written is never written again.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, header};
use http_body_util::Full;
use rustls::ClientConfig;
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::config::SenderConfig;
use crate::connect::Connecting;
use crate::destination::Destination;
use crate::egress::UrlError;
use crate::exchange::Running;
use crate::failure::{Failure, FailureReason};
use crate::http1::OutRequest;
use crate::pool::{Pool, Stats};
use crate::report::AttemptReport;
use crate::resolve::Resolve;
use crate::tls::TlsDefaults;
use crate::trace::Trace;

/// What one attempt sends.
#[derive(Debug)]
pub struct AttemptRequest {
    /// The attempt's headers; begin with [`Destination::headers`]. Host and
    /// length are set here, and framing headers are refused.
    pub headers: HeaderMap,
    /// The body, as it is.
    pub body: Bytes,
    /// Added to the destination's query; `name=value` in URL characters.
    pub query: Option<String>,
    /// The limit of the whole attempt, from the call on.
    pub timeout: Duration,
}

/// Sends attempts from one thread. Neither `Send` nor `Sync`: one per worker.
pub struct Sender {
    pub(crate) config: SenderConfig,
    tls: TlsDefaults,
    pub(crate) connecting: Connecting,
    pub(crate) pool: Rc<Pool>,
    ages: RefCell<fastrand::Rng>,
}

impl Sender {
    /// A sender without connections. What TLS trusts by default and the
    /// resolver may be shared by all.
    #[must_use]
    pub fn new(config: SenderConfig, tls: TlsDefaults, resolver: Arc<dyn Resolve>) -> Self {
        Self {
            connecting: Connecting {
                resolver,
                egress: Arc::new(config.egress.clone()),
                proxy: config.proxy.clone().map(Arc::new),
                timeout: config.connect_timeout,
            },
            pool: Rc::new(Pool::new(config.idle_connections_max)),
            ages: RefCell::new(fastrand::Rng::with_seed(config.seed)),
            tls,
            config,
        }
    }

    /// Prepares `url` as a destination, with the TLS that all share. Connects
    /// nowhere. A literal host that the policy forbids is refused by each
    /// attempt, not here.
    ///
    /// # Errors
    /// The first rule that the URL breaks.
    pub fn destination(&self, url: &Url) -> Result<Rc<Destination>, UrlError> {
        self.destination_with(url, &self.tls.shared)
    }

    /// The same with the TLS of one endpoint, which [`Sender::tls`] makes.
    ///
    /// # Errors
    /// The first rule that the URL breaks.
    pub fn destination_with(
        &self,
        url: &Url,
        tls: &Arc<ClientConfig>,
    ) -> Result<Rc<Destination>, UrlError> {
        let pool = Rc::clone(&self.pool);
        Destination::try_new(url, tls, &self.config, pool).map(Rc::new)
    }

    /// What TLS is made with: the one configuration, or one for an endpoint.
    #[must_use]
    pub fn tls(&self) -> &TlsDefaults {
        &self.tls
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
    pub fn attempt(
        &self,
        destination: &Rc<Destination>,
        request: AttemptRequest,
        may_start: impl Fn() -> bool,
    ) -> impl Future<Output = AttemptReport> {
        let excerpt_max = self.config.excerpt_max;
        self.exchange(destination, request, excerpt_max, may_start)
    }

    /// The same, and keeps so much of the response's body.
    pub(crate) fn exchange(
        &self,
        destination: &Rc<Destination>,
        request: AttemptRequest,
        excerpt_max: usize,
        may_start: impl Fn() -> bool,
    ) -> impl Future<Output = AttemptReport> {
        let asks = (Method::POST, (false, excerpt_max));
        self.made(destination, request, asks, may_start)
    }

    /// As [`Sender::attempt`], by any method, and keeps the headers of the
    /// response and so much of its body.
    ///
    /// Cancel safe: as that.
    pub(crate) fn ask(
        &self,
        destination: &Rc<Destination>,
        request: AttemptRequest,
        (method, excerpt_max): (Method, usize),
        may_start: impl Fn() -> bool,
    ) -> impl Future<Output = AttemptReport> {
        let asks = (method, (true, excerpt_max));
        self.made(destination, request, asks, may_start)
    }

    async fn made(
        &self,
        destination: &Rc<Destination>,
        request: AttemptRequest,
        (method, (keeps_headers, excerpt_max)): (Method, (bool, usize)),
        may_start: impl Fn() -> bool,
    ) -> AttemptReport {
        let begun = Instant::now();
        let trace = Trace::default();
        let result = match outgoing(method, request.headers, request.body) {
            Ok(outgoing) => {
                let running = Running {
                    sender: self,
                    destination,
                    trace: &trace,
                    query: request.query.as_deref(),
                    keeps_headers,
                    excerpt_max,
                };
                let deadline = begun + request.timeout;
                match timeout_at(deadline, running.run(outgoing, begun, may_start)).await {
                    Ok(result) => result,
                    Err(_elapsed) => trace.at_deadline(),
                }
            }
            Err(failure) => Err(failure),
        };
        trace.report(result, begun.elapsed())
    }

    pub(crate) fn retire_at(&self) -> Instant {
        let age = self.config.connection_age_max;
        let spread = 0.2 * self.share();
        Instant::now() + age.mul_f64(1.0 - spread)
    }

    /// A number from zero to one, by which things that begin together end at
    /// several times.
    pub(crate) fn share(&self) -> f64 {
        self.ages.borrow_mut().f64()
    }
}

/// Refuses headers by which a body could be framed differently from how we
/// frame it, or the connection be used differently.
fn outgoing(method: Method, headers: HeaderMap, body: Bytes) -> Result<OutRequest, Failure> {
    // Not a const: that would be built anew, and dropped, for every header.
    static OURS: [header::HeaderName; 8] = [
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
    let empty = body.is_empty() && method == Method::POST;
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    *request.headers_mut() = headers;
    if empty {
        // hyper frames a body that is there; a POST without one needs saying.
        let none = header::HeaderValue::from_static("0");
        request.headers_mut().insert(header::CONTENT_LENGTH, none);
    }
    Ok(request)
}
