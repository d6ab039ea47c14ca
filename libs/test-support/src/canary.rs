//! A port that nobody may connect to.

use std::net::{SocketAddr, TcpListener, TcpStream};

use anyhow::{Context, ensure};

/// A listener that is sure, at the end, that nobody connected to it.
///
/// A connection that was made, even one closed at once, waits in the accept
/// queue. So the one that [`Canary::heard_nothing`] makes itself, and that must
/// be the first one accepted, proves that there was none before it.
#[derive(Debug)]
pub struct Canary(TcpListener);

impl Canary {
    /// Listens there.
    ///
    /// # Errors
    /// When it can't.
    pub fn at(addr: SocketAddr) -> anyhow::Result<Canary> {
        let listener = TcpListener::bind(addr).with_context(|| format!("listen on {addr}"))?;
        Ok(Canary(listener))
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn addr(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.0.local_addr()?)
    }

    /// Ends it.
    ///
    /// # Errors
    /// When somebody had connected.
    pub fn heard_nothing(self) -> anyhow::Result<()> {
        let ours = TcpStream::connect(self.addr()?)?;
        let (_, first) = self.0.accept()?;
        ensure!(first == ours.local_addr()?, "{first} connected before us");
        Ok(())
    }
}
