//! One endpoint as the sender sees it: its address, its request line, its
//! connections.
//!
//! Made once per endpoint and URL, and never shared by two endpoints, so that
//! nothing of one (connection, certificate, header) can reach the other.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use hooklane_model::url_rule::UrlRule;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Uri, header};
use rustls::pki_types::ServerName;
use tokio::sync::Notify;
use tokio::time::Instant;
use url::{Position, Url};

use crate::config::SenderConfig;
use crate::connect::{Host, Target};
use crate::egress::UrlError;
use crate::http1::{Http1, OutRequest};
use crate::http2::Http2;
use crate::pool::{CloseReason, Pool};
use crate::report::Protocol;

/// One endpoint's address and its connections. See [`Sender::destination`](crate::Sender::destination).
pub struct Destination {
    pub(crate) target: Target,
    /// The request line of HTTP/1.1.
    origin_form: Uri,
    host: HeaderValue,
    user_agent: HeaderValue,
    idle_timeout: Duration,
    pub(crate) pool: Rc<Pool>,
    http1: RefCell<VecDeque<Idle>>,
    http2: RefCell<Vec<Rc<Http2>>>,
    /// What the last TLS handshake agreed on.
    pub(crate) protocol: Cell<Option<Protocol>>,
    /// A first TLS connection is being made, and others should wait for what
    /// it turns out to be.
    pub(crate) probing: Cell<bool>,
    pub(crate) probed: Notify,
}

struct Idle {
    connection: Box<Http1>,
    since: Instant,
    stamp: u64,
}

impl fmt::Debug for Destination {
    /// Never the URL: its path and query may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Destination")
            .field("host", &self.target.host)
            .field("port", &self.target.port)
            .finish_non_exhaustive()
    }
}

impl Destination {
    pub(crate) fn try_new(
        url: &Url,
        tls: &Arc<rustls::ClientConfig>,
        config: &SenderConfig,
        pool: Rc<Pool>,
    ) -> Result<Self, UrlError> {
        config.egress.check_form(url)?;
        let secure = url.scheme() == "https";
        let (host, server_name) = match url.host() {
            Some(url::Host::Ipv4(ip)) => literal(IpAddr::V4(ip)),
            Some(url::Host::Ipv6(ip)) => literal(IpAddr::V6(ip)),
            Some(url::Host::Domain(name)) => {
                let server_name =
                    ServerName::try_from(name.to_owned()).map_err(UrlError::ServerName)?;
                (Host::Name(Arc::from(name)), server_name)
            }
            None => return Err(UrlError::Rule(UrlRule::NoHost)),
        };
        let authority = &url[Position::BeforeHost..Position::AfterPort];
        let path = PathAndQuery::try_from(&url[Position::BeforePath..Position::AfterQuery])
            .map_err(|error| UrlError::Unsendable(error.into()))?;
        let absolute = Uri::builder()
            .scheme(url.scheme())
            .authority(authority)
            .path_and_query(path.clone())
            .build()
            .map_err(UrlError::Unsendable)?;
        Ok(Self {
            target: Target {
                host,
                port: url
                    .port_or_known_default()
                    .unwrap_or(if secure { 443 } else { 80 }),
                uri: absolute,
                tls: secure.then(|| (server_name, Arc::clone(tls))),
            },
            origin_form: Uri::from(path),
            host: HeaderValue::from_str(authority)
                .map_err(|error| UrlError::Unsendable(error.into()))?,
            user_agent: config.user_agent.clone(),
            idle_timeout: config.idle_timeout,
            pool,
            http1: RefCell::default(),
            http2: RefCell::default(),
            protocol: Cell::new(None),
            probing: Cell::new(false),
            probed: Notify::new(),
        })
    }

    /// A header map with what is this destination's own, and room for an
    /// attempt's headers. Starting from it puts `host` first on the wire.
    #[must_use]
    pub fn headers(&self) -> HeaderMap {
        // 12 = host, user-agent, content-type, three webhook headers, extras.
        let mut headers = HeaderMap::with_capacity(12);
        headers.insert(header::HOST, self.host.clone());
        headers.insert(header::USER_AGENT, self.user_agent.clone());
        headers
    }

    /// Puts the request into the form that `protocol` wants. Whatever the
    /// caller's headers say, the host is this destination's.
    pub(crate) fn address(&self, request: &mut OutRequest, protocol: Protocol) {
        match protocol {
            Protocol::Http1 => {
                *request.uri_mut() = self.origin_form.clone();
                request
                    .headers_mut()
                    .insert(header::HOST, self.host.clone());
            }
            Protocol::Http2 => {
                *request.uri_mut() = self.target.uri.clone();
                request.headers_mut().remove(header::HOST);
            }
        }
        if let http::header::Entry::Vacant(entry) = request.headers_mut().entry(header::USER_AGENT)
        {
            entry.insert(self.user_agent.clone());
        }
    }

    /// The most recently used idle connection of HTTP/1.1 that is still good.
    pub(crate) fn take_http1(&self, now: Instant) -> Option<Box<Http1>> {
        let mut idle = self.http1.borrow_mut();
        while let Some(mut last) = idle.pop_back() {
            self.pool.checked_out(1);
            if now >= last.since + self.idle_timeout {
                last.connection.end = CloseReason::Idle;
            } else if now >= last.connection.retire_at {
                last.connection.end = CloseReason::Age;
            } else {
                last.connection.end = CloseReason::Aborted;
                return Some(last.connection);
            }
        }
        None
    }

    pub(crate) fn put_http1(self: &Rc<Self>, mut connection: Box<Http1>, now: Instant) {
        if now >= connection.retire_at {
            connection.end = CloseReason::Age;
            return;
        }
        connection.end = CloseReason::Dropped;
        let stamp = self.pool.next_stamp();
        self.http1.borrow_mut().push_back(Idle {
            connection,
            since: now,
            stamp,
        });
        self.pool.checked_in(self, stamp);
    }

    /// A connection of HTTP/2 that would write a request at once.
    pub(crate) fn take_http2(&self, now: Instant) -> Option<Rc<Http2>> {
        let mut shared = self.http2.borrow_mut();
        if shared.is_empty() {
            return None;
        }
        shared.retain(|connection| {
            let end = self.end_of(connection, now);
            if let Some(reason) = end {
                self.retire(connection, reason);
            }
            end.is_none()
        });
        let found = shared.iter().find(|connection| connection.has_room())?;
        Some(Rc::clone(found))
    }

    fn end_of(&self, connection: &Http2, now: Instant) -> Option<CloseReason> {
        if connection.is_closed() {
            Some(CloseReason::Peer)
        } else if now >= connection.retire_at {
            Some(CloseReason::Age)
        } else if let Some((_, since)) = connection.idle.get()
            && now >= since + self.idle_timeout
        {
            Some(CloseReason::Idle)
        } else {
            None
        }
    }

    /// Takes a connection's idle mark, if it has one, and says why it ends.
    fn retire(&self, connection: &Http2, reason: CloseReason) {
        connection.end.set(reason);
        if connection.idle.take().is_some() {
            self.pool.checked_out(1);
        }
    }

    pub(crate) fn share_http2(&self, connection: &Rc<Http2>) {
        self.http2.borrow_mut().push(Rc::clone(connection));
    }

    /// Takes a connection out of use; streams that are open go on.
    pub(crate) fn forget_http2(&self, connection: &Rc<Http2>, reason: CloseReason) {
        let mut shared = self.http2.borrow_mut();
        if let Some(at) = shared.iter().position(|it| Rc::ptr_eq(it, connection)) {
            let gone = shared.swap_remove(at);
            self.retire(&gone, reason);
        }
    }

    pub(crate) fn stream_begins(&self, connection: &Http2) {
        connection.in_flight.set(connection.in_flight.get() + 1);
        if connection.idle.take().is_some() {
            self.pool.checked_out(1);
        }
    }

    pub(crate) fn stream_ends(self: &Rc<Self>, connection: &Rc<Http2>) {
        let left = connection.in_flight.get().saturating_sub(1);
        connection.in_flight.set(left);
        let shared = || {
            let shared = self.http2.borrow();
            shared.iter().any(|it| Rc::ptr_eq(it, connection))
        };
        if left == 0 && shared() {
            let stamp = self.pool.next_stamp();
            connection.idle.set(Some((stamp, Instant::now())));
            self.pool.checked_in(self, stamp);
        }
    }

    pub(crate) fn has_idle(&self, stamp: u64) -> bool {
        self.http1_at(stamp).is_some() || self.http2_at(stamp).is_some()
    }

    /// Closes the idle connection `stamp`; false if there is none.
    pub(crate) fn close_idle(&self, stamp: u64, reason: CloseReason) -> bool {
        if let Some(at) = self.http1_at(stamp) {
            let gone = self.http1.borrow_mut().remove(at);
            if let Some(mut gone) = gone {
                gone.connection.end = reason;
                self.pool.checked_out(1);
            }
            return true;
        }
        let Some(connection) = self.http2_at(stamp) else {
            return false;
        };
        self.forget_http2(&connection, reason);
        true
    }

    /// Closes the idle connection `stamp` if its time is over or its peer has
    /// closed it; says whether it is kept.
    pub(crate) fn keep_idle(&self, stamp: u64, now: Instant) -> bool {
        let end = if let Some(at) = self.http1_at(stamp) {
            let mut idle = self.http1.borrow_mut();
            let entry = &mut idle[at];
            // Nobody waits on an idle connection: this poll sees a close, and
            // lets go of the waker of the last attempt's task.
            let alive = entry
                .connection
                .settle_idle(&mut Context::from_waker(Waker::noop()));
            if !alive {
                Some(CloseReason::Peer)
            } else if now >= entry.since + self.idle_timeout {
                Some(CloseReason::Idle)
            } else if now >= entry.connection.retire_at {
                Some(CloseReason::Age)
            } else {
                None
            }
        } else {
            self.http2_at(stamp)
                .and_then(|connection| self.end_of(&connection, now))
        };
        match end {
            Some(reason) => !self.close_idle(stamp, reason),
            None => true,
        }
    }

    fn http1_at(&self, stamp: u64) -> Option<usize> {
        // Sorted: pushed at the back with a growing stamp, taken from any place.
        let idle = self.http1.borrow();
        idle.binary_search_by_key(&stamp, |entry| entry.stamp).ok()
    }

    fn http2_at(&self, stamp: u64) -> Option<Rc<Http2>> {
        let shared = self.http2.borrow();
        let found = shared
            .iter()
            .find(|connection| connection.idle.get().is_some_and(|(at, _)| at == stamp))?;
        Some(Rc::clone(found))
    }
}

impl Drop for Destination {
    fn drop(&mut self) {
        let http2 = self.http2.get_mut();
        let idle = http2.iter().filter(|it| it.idle.take().is_some()).count();
        self.pool.checked_out(self.http1.get_mut().len() + idle);
    }
}

/// `uri` with `added` at the end of its query, as a URL would be written by
/// hand: `?` before the first, `&` before others. The same where it is no URI.
pub(crate) fn with_query(uri: &Uri, added: &str) -> Uri {
    let target = match uri.query() {
        None | Some("") => format!("{}?{added}", uri.path()),
        Some(query) => format!("{}?{query}&{added}", uri.path()),
    };
    let mut parts = uri.clone().into_parts();
    let Ok(target) = PathAndQuery::try_from(target) else {
        return uri.clone();
    };
    parts.path_and_query = Some(target);
    Uri::from_parts(parts).unwrap_or_else(|_| uri.clone())
}

fn literal(ip: IpAddr) -> (Host, ServerName<'static>) {
    (Host::Address(ip), ServerName::IpAddress(ip.into()))
}
