//! Names and ports that no other test has.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Mutex, PoisonError};

use anyhow::Context;

/// `prefix` and ten random letters: a topic, a group, a tenant of one test.
#[must_use]
pub fn unique(prefix: &str) -> String {
    let letters: String = std::iter::repeat_with(fastrand::lowercase)
        .take(10)
        .collect();
    format!("{prefix}-{letters}")
}

/// Ports given away: whoever asked for one need not have bound it yet.
static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);

/// An address on 127.0.0.1 that nobody listens on now and that nobody else in
/// this process was given.
///
/// Taken from below the range that outgoing connections get their ports from:
/// a port from that range can be lost to a client while its server is
/// restarted, and a client that keeps knocking there can even connect to
/// itself.
///
/// # Errors
/// When a hundred random ports are all taken.
pub fn free_addr() -> anyhow::Result<SocketAddr> {
    free_port(|| fastrand::u16(20_000..32_000))
        .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .context("no free port between 20000 and 32000")
}

fn free_port(ports: impl FnMut() -> u16) -> Option<u16> {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let given = given.get_or_insert_default();
    std::iter::repeat_with(ports)
        .take(100)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok() && given.insert(*port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_given_a_port_that_another_was_given() {
        let first = free_addr().unwrap().port();
        let mut ports = [first, first, free_addr().unwrap().port()].into_iter();
        let last = ports.clone().last();
        // The third was given away, too: there is none left.
        assert_eq!(free_port(|| ports.next().unwrap_or(first)), None);
        assert_ne!(Some(first), last);
    }
}
