//! A network that can be taken away: a TCP proxy between clients and a server,
//! which forwards, swallows, or resets.
//!
//! A swallowed connection stays open and silent, as behind a cable that was
//! pulled: new ones are accepted (a kernel does that), what either side sends
//! stays where it is, and arrives late when the network is back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::listener::Listener;

/// Large enough that forwarding costs little beside a broker.
const BUFFER: usize = 64 << 10;

#[derive(Debug)]
struct Network {
    /// Whether anything gets through.
    works: bool,
    /// How often all connections were reset.
    resets: u64,
}

/// A running proxy; dropped, it closes its port and every connection.
#[derive(Debug)]
pub struct Proxy {
    listener: Listener,
    network: watch::Sender<Network>,
    connections: Arc<AtomicUsize>,
}

impl Proxy {
    /// Listens on `addr` and forwards to `server`, which need not run yet.
    ///
    /// # Errors
    /// When it can't listen there.
    pub fn start(addr: SocketAddr, server: SocketAddr) -> anyhow::Result<Proxy> {
        let (network, seen) = watch::channel(Network {
            works: true,
            resets: 0,
        });
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        let listener = Listener::start("proxy", addr, move |listener| {
            accept(listener, server, seen, counted)
        })?;
        Ok(Proxy {
            listener,
            network,
            connections,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.listener.addr()
    }

    /// Connections accepted so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// The network works, from now on and at first. What was swallowed arrives.
    pub fn forward(&self) {
        self.network.send_modify(|network| network.works = true);
    }

    /// Nothing gets through, in either direction, and nobody is told.
    pub fn swallow(&self) {
        self.network.send_modify(|network| network.works = false);
    }

    /// Every open connection is reset, on both sides.
    pub fn reset(&self) {
        self.network.send_modify(|network| network.resets += 1);
    }
}

async fn accept(
    listener: TcpListener,
    server: SocketAddr,
    network: watch::Receiver<Network>,
    connections: Arc<AtomicUsize>,
) {
    loop {
        if let Ok((client, _)) = listener.accept().await {
            connections.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(serve(client, server, network.clone()));
        }
    }
}

/// One connection, until either side or the network ends it.
async fn serve(mut client: TcpStream, server: SocketAddr, network: watch::Receiver<Network>) {
    let mut resets = network.clone();
    let before = resets.borrow().resets;
    let reset = resets.wait_for(|network| network.resets != before);
    tokio::pin!(reset);
    let connected = tokio::select! {
        biased;
        _ = &mut reset => None,
        connected = connect(server, network.clone()) => connected,
    };
    let Some(mut upstream) = connected else {
        client.set_zero_linger().ok();
        return;
    };
    client.set_nodelay(true).ok();
    upstream.set_nodelay(true).ok();
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = upstream.split();
    let carried = async {
        tokio::join!(
            carry(from_client, to_server, network.clone()),
            carry(from_server, to_client, network),
        )
    };
    let was_reset = tokio::select! {
        biased;
        _ = &mut reset => true,
        _ = carried => false,
    };
    if was_reset {
        client.set_zero_linger().ok();
        upstream.set_zero_linger().ok();
    }
}

async fn connect(server: SocketAddr, mut network: watch::Receiver<Network>) -> Option<TcpStream> {
    works(&mut network).await;
    TcpStream::connect(server).await.ok()
}

/// Returns when the network works.
async fn works(network: &mut watch::Receiver<Network>) {
    if network.wait_for(|network| network.works).await.is_err() {
        // The proxy is going, and this task with it.
        std::future::pending().await
    }
}

/// One direction, until its sender has no more to say; that is passed on.
async fn carry(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut network: watch::Receiver<Network>,
) {
    let mut buffer = vec![0; BUFFER];
    loop {
        works(&mut network).await;
        let read = tokio::select! {
            biased;
            // Looked at again above, before anything is read.
            _ = network.changed() => continue,
            read = from.read(&mut buffer) => read,
        };
        match read {
            Ok(read) if read > 0 => {
                if to.write_all(&buffer[..read]).await.is_err() {
                    return;
                }
            }
            _ => {
                to.shutdown().await.ok();
                return;
            }
        }
    }
}
