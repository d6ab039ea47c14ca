//! From a destination to a connected stream: names, policy, TCP, TLS.
//!
//! The policy is checked on the very addresses that are connected to, in the
//! same function and with nothing in between. TLS is hyper-rustls over
//! [`Tcp`]. Not the hot path: futures are boxed and shared state is atomic,
//! because hyper-rustls asks for `Send`.

pub(crate) mod proxy;

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use hooklane_model::url_rule::is_internal_name;
use http::Uri;
use hyper_rustls::{FixedServerNameResolver, HttpsConnector};
use hyper_util::client::legacy::connect::Connection as _;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout_at};
use tower_service::Service;

use crate::egress::{EgressPolicy, Forbidden};
use crate::failure::{Cause, Failure, FailureReason, Phase, connect_reason, handshake_reason};
use crate::io::Stream;
use crate::report::Protocol;
use crate::resolve::{Resolve, ResolveError};

use self::proxy::{Asked, EgressProxy, ProxyError};

/// Addresses of a name that one attempt tries. Each gets a share of the time,
/// so with more of them none would get enough to answer from far away.
const DIALS_MAX: usize = 4;

/// Where a destination's connections go.
#[derive(Clone, Debug)]
pub(crate) enum Host {
    /// A literal address: no resolver is asked.
    Address(IpAddr),
    /// A name.
    Name(Arc<str>),
}

/// All that a connection is made from.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) host: Host,
    pub(crate) port: u16,
    /// With the scheme, for hyper-rustls.
    pub(crate) uri: Uri,
    /// The name to verify; `None` is plain HTTP.
    pub(crate) tls: Option<(ServerName<'static>, Arc<rustls::ClientConfig>)>,
}

/// What connecting needs beside its target.
#[derive(Clone)]
pub(crate) struct Connecting {
    pub(crate) resolver: Arc<dyn Resolve>,
    pub(crate) egress: Arc<EgressPolicy>,
    pub(crate) proxy: Option<Arc<EgressProxy>>,
    pub(crate) timeout: Duration,
}

/// Why no TCP connection came about.
#[derive(Debug, thiserror::Error)]
enum TcpError {
    #[error("resolve")]
    Resolve {
        /// Whether the name is internal by its form.
        internal: bool,
        #[source]
        source: ResolveError,
    },
    #[error("egress policy")]
    Forbidden(#[source] Forbidden),
    #[error("connect")]
    Connect(#[source] std::io::Error),
    #[error("no connection within {0:?}")]
    Timeout(Duration),
    #[error("egress proxy")]
    Proxy(#[source] ProxyError),
    #[error("the egress proxy says {0}: it can't reach the target")]
    Unreachable(u16),
}

impl TcpError {
    fn reason(&self) -> FailureReason {
        match self {
            Self::Resolve {
                source: ResolveError::Busy | ResolveError::Gone,
                ..
            } => FailureReason::Local,
            Self::Resolve { internal: true, .. } => FailureReason::DnsInternal,
            Self::Resolve { .. } => FailureReason::Dns,
            Self::Forbidden(_) => FailureReason::ForbiddenAddress,
            Self::Connect(error) => connect_reason(error),
            Self::Timeout(_) | Self::Unreachable(504) => FailureReason::ConnectTimeout,
            Self::Unreachable(_) => FailureReason::Connect,
            Self::Proxy(_) => FailureReason::Proxy,
        }
    }
}

/// How far a connection attempt has come; read when its deadline passes.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    step: AtomicU8,
    dns: AtomicU64,
    connect: AtomicU64,
    tls: AtomicU64,
    handshake_since: OnceLock<Instant>,
}

const RESOLVING: u8 = 0;
const CONNECTING: u8 = 1;
const HANDSHAKE: u8 = 2;
const RESOLVING_INTERNAL: u8 = 3;
const TO_PROXY: u8 = 4;

impl Progress {
    /// What a deadline that passes now is to be called.
    pub(crate) fn timeout_reason(&self) -> FailureReason {
        match self.step.load(Relaxed) {
            RESOLVING => FailureReason::Dns,
            RESOLVING_INTERNAL => FailureReason::DnsInternal,
            TO_PROXY => FailureReason::Proxy,
            CONNECTING => FailureReason::ConnectTimeout,
            _ => FailureReason::Timeout(Phase::Tls),
        }
    }

    /// DNS, connect and TLS time, as far as they are over.
    pub(crate) fn timings(&self) -> [Option<Duration>; 3] {
        [&self.dns, &self.connect, &self.tls].map(|step| match step.load(Relaxed) {
            0 => None,
            nanos => Some(Duration::from_nanos(nanos)),
        })
    }

    fn begin_handshake(&self) {
        self.step.store(HANDSHAKE, Relaxed);
        // Set once: a progress belongs to one connection attempt.
        self.handshake_since.get_or_init(Instant::now);
    }

    fn finish_handshake(&self) {
        if let Some(since) = self.handshake_since.get() {
            Self::finish(&self.tls, *since);
        }
    }

    fn finish(step: &AtomicU64, since: Instant) {
        // Zero means "did not happen"; under a paused clock a step takes none.
        let nanos = u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        step.store(nanos.max(1), Relaxed);
    }
}

/// Connects, with TLS where the target asks for it.
pub(crate) async fn connect(
    connecting: Connecting,
    target: Target,
    progress: Arc<Progress>,
) -> Result<(Stream, Protocol), Failure> {
    let uri = target.uri.clone();
    let tcp = Tcp {
        connecting,
        host: target.host,
        port: target.port,
        progress: Arc::clone(&progress),
    };
    let Some((name, config)) = target.tls else {
        let stream = tcp.connect().await.map_err(tcp_failure)?;
        return Ok((Stream::Http(stream), Protocol::Http1));
    };
    let resolver = Arc::new(FixedServerNameResolver::new(name));
    let mut https = HttpsConnector::new(tcp, config, true, resolver);
    let stream = https
        .call(uri)
        .await
        .map_err(|error| match error.downcast::<TcpError>() {
            Ok(tcp) => tcp_failure(*tcp),
            Err(tls) => Failure::caused(handshake_reason(tls.as_ref()), tls),
        })?;
    progress.finish_handshake();
    let protocol = if stream.connected().is_negotiated_h2() {
        Protocol::Http2
    } else {
        Protocol::Http1
    };
    Ok((stream, protocol))
}

fn tcp_failure(error: TcpError) -> Failure {
    Failure::caused(error.reason(), Cause::from(error))
}

/// The TCP part, as the service that hyper-rustls wants under it.
#[derive(Clone)]
struct Tcp {
    connecting: Connecting,
    host: Host,
    port: u16,
    progress: Arc<Progress>,
}

impl Service<Uri> for Tcp {
    type Response = TokioIo<TcpStream>;
    type Error = TcpError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, TcpError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), TcpError>> {
        Poll::Ready(Ok(()))
    }

    /// The URI is not looked at: a URI's host is text, and text is what
    /// notations of forbidden addresses hide in.
    fn call(&mut self, _uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect())
    }
}

impl Tcp {
    async fn connect(self) -> Result<TokioIo<TcpStream>, TcpError> {
        let limit = self.connecting.timeout;
        let begun = Instant::now();
        let deadline = begun + limit;
        if self.is_internal() {
            self.progress.step.store(RESOLVING_INTERNAL, Relaxed);
        }
        let addresses = match timeout_at(deadline, self.addresses()).await {
            Ok(resolved) => resolved?,
            Err(_elapsed) => return Err(self.unresolved(ResolveError::Timeout(limit))),
        };
        self.progress.step.store(CONNECTING, Relaxed);
        let since = Instant::now();
        let mut last = TcpError::Timeout(limit);
        let tried = &addresses[..addresses.len().min(DIALS_MAX)];
        for (at, address) in tried.iter().enumerate() {
            // What is left is shared by the addresses that are left, so that a
            // black hole in front does not use up its neighbours' time.
            let left = deadline.saturating_duration_since(Instant::now());
            let share = u32::try_from(tried.len() - at).unwrap_or(u32::MAX);
            let until = Instant::now() + left / share;
            match timeout_at(until, self.dial(*address)).await {
                Ok(Ok(stream)) => {
                    Progress::finish(&self.progress.connect, since);
                    self.progress.begin_handshake();
                    return Ok(TokioIo::new(stream));
                }
                Ok(Err(error @ (TcpError::Forbidden(_) | TcpError::Proxy(_)))) => {
                    return Err(error);
                }
                Ok(Err(error)) => last = error,
                Err(_elapsed) if self.progress.step.load(Relaxed) == TO_PROXY => {
                    return Err(TcpError::Proxy(ProxyError::Timeout));
                }
                Err(_elapsed) => last = TcpError::Timeout(limit),
            }
        }
        Err(last)
    }

    async fn addresses(&self) -> Result<Arc<[IpAddr]>, TcpError> {
        let name = match &self.host {
            Host::Address(ip) => return Ok(Arc::from([*ip])),
            Host::Name(name) => name,
        };
        let since = Instant::now();
        let answers = self.connecting.resolver.resolve(name).await;
        Progress::finish(&self.progress.dns, since);
        let answers = answers.map_err(|error| self.unresolved(error))?;
        if answers.is_empty() {
            return Err(self.unresolved(ResolveError::NoAddress));
        }
        self.connecting
            .egress
            .check_answers(name, &answers)
            .map_err(TcpError::Forbidden)?;
        Ok(answers)
    }

    fn is_internal(&self) -> bool {
        matches!(&self.host, Host::Name(name) if is_internal_name(name))
    }

    fn unresolved(&self, source: ResolveError) -> TcpError {
        TcpError::Resolve {
            internal: self.is_internal(),
            source,
        }
    }

    /// A connection to `ip`, direct or through the proxy, and the check that
    /// guards it.
    async fn dial(&self, ip: IpAddr) -> Result<TcpStream, TcpError> {
        self.connecting
            .egress
            .check(ip)
            .map_err(TcpError::Forbidden)?;
        let target = SocketAddr::new(ip, self.port);
        let Some(proxy) = &self.connecting.proxy else {
            return open(target).await.map_err(TcpError::Connect);
        };
        self.progress.step.store(TO_PROXY, Relaxed);
        let mut stream = self.reach(proxy).await?;
        self.progress.step.store(CONNECTING, Relaxed);
        match proxy.ask(&mut stream, target).await {
            Ok(Asked::Connected) => Ok(stream),
            Ok(Asked::Unreachable(status)) => Err(TcpError::Unreachable(status)),
            Err(error) => Err(TcpError::Proxy(error)),
        }
    }

    /// A connection to the proxy, whose address is the deployment's and not
    /// judged.
    async fn reach(&self, proxy: &EgressProxy) -> Result<TcpStream, TcpError> {
        let addresses = match &proxy.host {
            Host::Address(ip) => Arc::from([*ip]),
            Host::Name(name) => {
                let answers = self.connecting.resolver.resolve(name).await;
                answers.map_err(|error| TcpError::Proxy(ProxyError::Resolve(error)))?
            }
        };
        let mut last = TcpError::Proxy(ProxyError::Resolve(ResolveError::NoAddress));
        for ip in addresses.iter().take(DIALS_MAX) {
            match open(SocketAddr::new(*ip, proxy.port)).await {
                Ok(stream) => return Ok(stream),
                Err(error) if connect_reason(&error) == FailureReason::Local => {
                    return Err(TcpError::Connect(error));
                }
                Err(error) => last = TcpError::Proxy(ProxyError::Connect(error)),
            }
        }
        Err(last)
    }
}

/// The one place where a socket is made.
async fn open(address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    socket.set_nodelay(true)?;
    socket.set_keepalive(true)?;
    socket.connect(address).await
}
