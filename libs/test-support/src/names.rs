//! Names and ports that no other test has.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::Context;

/// `prefix` and ten random letters: a topic, a group, a tenant of one test.
#[must_use]
pub fn unique(prefix: &str) -> String {
    let letters: String = std::iter::repeat_with(fastrand::lowercase)
        .take(10)
        .collect();
    format!("{prefix}-{letters}")
}

/// An address on 127.0.0.1 that nobody listens on now.
///
/// Taken from below the range that outgoing connections get their ports from:
/// a port from that range can be lost to a client while its server is
/// restarted, and a client that keeps knocking there can even connect to
/// itself.
///
/// # Errors
/// When a hundred random ports are all taken.
pub fn free_addr() -> anyhow::Result<SocketAddr> {
    std::iter::repeat_with(|| {
        SocketAddr::from((Ipv4Addr::LOCALHOST, fastrand::u16(20_000..32_000)))
    })
    .take(100)
    .find(|addr| TcpListener::bind(addr).is_ok())
    .context("no free port between 20000 and 32000")
}
