//! A webhook receiver inside the test process that records every request and
//! answers by a script per path, faults included.
//!
//! HTTP/1.1 in clear text, or HTTP/2 and HTTP/1.1 over TLS with a certificate of
//! its own. It runs on one thread of its own, so it measures arrival times
//! without the test's scheduling, and it is no match for a load generator.

mod http1;
mod http2;
mod log;
mod script;
mod tls;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::authority::Authority;
use crate::listener::Listener;
use crate::names::free_addr;
use crate::wait::wait_until;
use log::{ConnectionGuard, Log};

pub use log::Request;
pub use script::{Answer, Fault, Gate, OnConnect, Reply, Script, Seen};

/// A running receiver; dropped, it closes its port and every connection.
#[derive(Debug)]
pub struct Receiver {
    listener: Listener,
    ca_pem: Option<String>,
    log: Arc<Log>,
}

impl Receiver {
    /// HTTP/1.1 on a free port.
    ///
    /// # Errors
    /// When it can't listen.
    pub fn start() -> anyhow::Result<Receiver> {
        Receiver::start_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    /// HTTP/1.1 on this address: one from [`free_addr`] for a receiver that is
    /// to go and come back.
    ///
    /// # Errors
    /// When it can't listen there.
    pub fn start_at(addr: SocketAddr) -> anyhow::Result<Receiver> {
        Receiver::run(addr, None, None)
    }

    /// TLS on a free port; HTTP/2 or HTTP/1.1, by ALPN. Clients have to trust
    /// [`Receiver::ca_pem`].
    ///
    /// # Errors
    /// When it can't listen.
    pub fn start_tls() -> anyhow::Result<Receiver> {
        Receiver::start_tls_with(&[b"h2", b"http/1.1"])
    }

    /// TLS that offers these protocols only.
    ///
    /// # Errors
    /// When it can't listen.
    pub fn start_tls_with(alpn: &[&[u8]]) -> anyhow::Result<Receiver> {
        Receiver::start_secure(alpn, None)
    }

    /// TLS that offers these protocols, for clients alone that `clients`
    /// vouches for.
    ///
    /// # Errors
    /// When it can't listen.
    pub fn start_mutual_tls(alpn: &[&[u8]], clients: &Authority) -> anyhow::Result<Receiver> {
        Receiver::start_secure(alpn, Some(clients))
    }

    fn start_secure(alpn: &[&[u8]], clients: Option<&Authority>) -> anyhow::Result<Receiver> {
        let (acceptor, pem) = tls::acceptor(alpn, clients)?;
        Receiver::run(
            SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            Some(acceptor),
            Some(pem),
        )
    }

    fn run(
        addr: SocketAddr,
        tls: Option<TlsAcceptor>,
        ca_pem: Option<String>,
    ) -> anyhow::Result<Receiver> {
        let log = Arc::new(Log::new());
        let served = Arc::clone(&log);
        let listener = Listener::start("receiver", addr, move |listener| async move {
            tokio::select! {
                biased;
                () = accept(listener, tls, Arc::clone(&served)) => {}
                () = measure_stalls(&served) => {}
            }
        })?;
        Ok(Receiver {
            listener,
            ca_pem,
            log,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.listener.addr()
    }

    /// URL of a path, which begins with a slash.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        let scheme = if self.ca_pem.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://{}{path}", self.addr())
    }

    /// The authority that signed the certificate of a TLS receiver.
    #[must_use]
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// How a path (without query) answers from now on; 200 where nothing is said.
    pub fn script(&self, path: &str, script: Script) {
        self.log.script(path, script);
    }

    /// What happens to connections from now on.
    pub fn on_connect(&self, on_connect: OnConnect) {
        self.log.set_on_connect(on_connect);
    }

    /// A copy of every request so far, in order of their being read.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.log.read(<[Request]>::to_vec)
    }

    /// Looks at the requests so far without a copy; the receiver waits meanwhile.
    pub fn read<T>(&self, look: impl FnOnce(&[Request]) -> T) -> T {
        self.log.read(look)
    }

    /// Requests on a path.
    #[must_use]
    pub fn count(&self, path: &str) -> usize {
        self.read(|all| all.iter().filter(|request| request.route() == path).count())
    }

    /// Requests with a `webhook-id`.
    #[must_use]
    pub fn count_id(&self, webhook_id: &str) -> usize {
        self.read(|all| {
            all.iter()
                .filter(|request| request.webhook_id() == webhook_id)
                .count()
        })
    }

    /// Connections accepted so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.log.connections()
    }

    /// Connections open now.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.log.open_connections()
    }

    /// Bytes of response bodies that were written so far.
    #[must_use]
    pub fn bytes_sent(&self) -> u64 {
        self.log.bytes_sent()
    }

    /// The longest that the receiver's thread was kept from running, by its own
    /// work or by others on its core: how much later than it arrived a request
    /// may have been read. One that lasts counts as well.
    #[must_use]
    pub fn longest_stall(&self) -> Duration {
        self.log.longest_stall()
    }

    /// Forgets requests and counts, keeps scripts.
    pub fn clear(&self) {
        self.log.clear();
    }

    /// Waits until the requests so far satisfy `condition`.
    ///
    /// # Errors
    /// After `deadline`, with what came instead.
    pub fn wait_until(
        &self,
        what: &str,
        deadline: Duration,
        condition: impl Fn(&[Request]) -> bool,
    ) -> anyhow::Result<()> {
        wait_until(what, deadline, || self.read(&condition)).with_context(|| {
            let seen = self.read(|all| {
                let last = all.iter().rev().take(20);
                let line = |r: &Request| format!("{} {} {:?}", r.path, r.webhook_id(), r.status);
                (all.len(), last.map(line).collect::<Vec<_>>())
            });
            format!(
                "the receiver saw {} requests, the last: {:#?}",
                seen.0, seen.1
            )
        })
    }

    /// Waits for at least `n` requests on a path.
    ///
    /// # Errors
    /// After `deadline`, with what came instead.
    pub fn wait_count(&self, path: &str, n: usize, deadline: Duration) -> anyhow::Result<()> {
        self.wait_until(&format!("{n} requests on {path}"), deadline, |all| {
            all.iter().filter(|request| request.route() == path).count() >= n
        })
    }
}

/// A URL at which connections are refused.
///
/// # Errors
/// When no port is free.
pub fn refused_url(path: &str) -> anyhow::Result<String> {
    Ok(format!("http://{}{path}", free_addr()?))
}

/// How often the receiver's thread is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

async fn measure_stalls(log: &Log) {
    loop {
        log.running(Instant::now() + LOOK_EVERY);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, log: Arc<Log>) {
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            continue;
        };
        socket.set_nodelay(true).ok();
        let connection = log.connected();
        tokio::spawn(serve(socket, tls.clone(), Arc::clone(&log), connection));
    }
}

async fn serve(
    mut socket: TcpStream,
    tls: Option<TlsAcceptor>,
    log: Arc<Log>,
    connection: ConnectionGuard,
) {
    match log.on_connect() {
        OnConnect::Serve => {}
        OnConnect::Close => return,
        OnConnect::Reset => {
            socket.set_zero_linger().ok();
            return;
        }
        OnConnect::Hang => return http1::until_closed(&mut socket).await,
    }
    let Some(tls) = tls else {
        return http1::serve(socket, log, connection).await;
    };
    let Ok(socket) = tls.accept(socket).await else {
        return;
    };
    if socket.get_ref().1.alpn_protocol() == Some(b"h2") {
        http2::serve(socket, log, connection).await;
    } else {
        http1::serve(socket, log, connection).await;
    }
}
