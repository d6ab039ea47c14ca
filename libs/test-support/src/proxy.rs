//! A network that can be taken away: a TCP proxy between clients and a server,
//! which forwards, swallows, or resets.
//!
//! A swallowed connection stays open and silent, as behind a cable that was
//! pulled: new ones are accepted (a kernel does that), what either side sends
//! stays where it is, and arrives late when the network is back.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{oneshot, watch};

/// Large enough that forwarding costs little beside a broker.
const BUFFER: usize = 64 << 10;

/// What the network does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Forward,
    Swallow,
    Reset,
}

/// A running proxy; dropped, it closes its port and every connection.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    mode: watch::Sender<Mode>,
    connections: Arc<AtomicUsize>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Listens on `addr` and forwards to `server`, which need not run yet.
    ///
    /// # Errors
    /// When it can't listen there.
    pub fn start(addr: SocketAddr, server: SocketAddr) -> anyhow::Result<Proxy> {
        let listener = TcpListener::bind(addr).with_context(|| format!("listen on {addr}"))?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let (mode, seen) = watch::channel(Mode::Forward);
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = std::thread::Builder::new()
            .name("proxy".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        biased;
                        _ = stopped => {}
                        () = accept(listener, server, seen, &counted) => {}
                    }
                });
                // Dropping the runtime drops every connection with it.
            })?;
        Ok(Proxy {
            addr,
            mode,
            connections,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Connections accepted so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// The network works, from now on and at first. What was swallowed arrives.
    pub fn forward(&self) {
        self.mode.send_replace(Mode::Forward);
    }

    /// Nothing gets through, in either direction, and nobody is told.
    pub fn swallow(&self) {
        self.mode.send_replace(Mode::Swallow);
    }

    /// Connections are reset, those that are open and those that come.
    pub fn reset(&self) {
        self.mode.send_replace(Mode::Reset);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

async fn accept(
    listener: TcpListener,
    server: SocketAddr,
    mode: watch::Receiver<Mode>,
    connections: &AtomicUsize,
) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("we are inside a runtime");
    loop {
        if let Ok((client, _)) = listener.accept().await {
            connections.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(serve(client, server, mode.clone()));
        }
    }
}

/// One connection, until either side or the network ends it.
async fn serve(mut client: TcpStream, server: SocketAddr, mut mode: watch::Receiver<Mode>) {
    let (mut cut, mut cut_later) = (mode.clone(), mode.clone());
    let connected = tokio::select! {
        biased;
        () = reached(&mut cut, Mode::Reset) => None,
        connected = connect(server, &mut mode) => connected,
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
            carry(from_client, to_server, mode.clone()),
            carry(from_server, to_client, mode),
        )
    };
    let reset = tokio::select! {
        biased;
        () = reached(&mut cut_later, Mode::Reset) => true,
        _ = carried => false,
    };
    if reset {
        client.set_zero_linger().ok();
        upstream.set_zero_linger().ok();
    }
}

async fn connect(server: SocketAddr, mode: &mut watch::Receiver<Mode>) -> Option<TcpStream> {
    reached(mode, Mode::Forward).await;
    TcpStream::connect(server).await.ok()
}

/// Returns when the network is in this mode.
async fn reached(mode: &mut watch::Receiver<Mode>, wanted: Mode) {
    if mode.wait_for(|mode| *mode == wanted).await.is_err() {
        // The proxy is going, and this task with it.
        std::future::pending().await
    }
}

/// One direction, until its sender has no more to say; that is passed on.
async fn carry(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, mut mode: watch::Receiver<Mode>) {
    let mut buffer = vec![0; BUFFER];
    loop {
        reached(&mut mode, Mode::Forward).await;
        let read = tokio::select! {
            biased;
            // Looked at again above, before anything is read.
            _ = mode.changed() => continue,
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
