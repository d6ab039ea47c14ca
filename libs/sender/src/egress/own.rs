//! The addresses of this machine.
//!
//! A public address that is on one of our own interfaces is not on the deny
//! list, and yet the kernel brings what is sent to it to our own sockets. Only
//! an own address can be bound to, so binding is asked instead of keeping a
//! list: it is right at once when interfaces change. Costs one system call for
//! each address of a connect, none on a warm connection.

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::net::TcpSocket;

/// Of the documentation range: never on an interface.
const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// Whether `address` is one of this machine's.
///
/// Where the kernel lets anything be bound (`ip_nonlocal_bind`) this can't
/// tell, and says no.
#[must_use]
pub fn is_own_address(address: IpAddr) -> bool {
    can_bind(address) && !can_bind(NOBODY)
}

thread_local! {
    // Not bound to anything: refused an address, a socket is as it was and can
    // be asked about the next. Opening and closing one for each costs ten
    // times as much as asking.
    static UNBOUND_V4: Cell<Option<TcpSocket>> = const { Cell::new(None) };
    static UNBOUND_V6: Cell<Option<TcpSocket>> = const { Cell::new(None) };
}

fn can_bind(address: IpAddr) -> bool {
    let (kept, open): (_, fn() -> _) = match address {
        IpAddr::V4(_) => (&UNBOUND_V4, TcpSocket::new_v4),
        IpAddr::V6(_) => (&UNBOUND_V6, TcpSocket::new_v6),
    };
    let Some(socket) = kept.take().or_else(|| open().ok()) else {
        return false;
    };
    let bound = socket.bind(SocketAddr::new(address, 0)).is_ok();
    if !bound {
        kept.set(Some(socket));
    }
    bound
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_addresses_and_others() {
        let own = ["127.0.0.1", "127.0.0.9"];
        let others = ["192.0.2.1", "1.1.1.1", "2606:4700::1111"];
        // By turns and again: an answer must not depend on the one before.
        for _ in 0..2 {
            for (own, other) in own.into_iter().zip(others) {
                assert!(is_own_address(own.parse().unwrap()), "{own}");
                assert!(!is_own_address(other.parse().unwrap()), "{other}");
            }
            for other in others {
                assert!(!is_own_address(other.parse().unwrap()), "{other}");
            }
        }
    }
}
