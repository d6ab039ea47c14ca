//! The addresses of this machine.
//!
//! A public address that is on one of our own interfaces is not on the deny
//! list, and yet the kernel brings what is sent to it to our own sockets. Only
//! an own address can be bound to, so binding is asked instead of keeping a
//! list: it is right at once when interfaces change. Costs two system calls a
//! connect, none on a warm connection.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

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

fn can_bind(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_addresses_and_others() {
        for own in ["127.0.0.1", "127.0.0.9"] {
            assert!(is_own_address(own.parse().unwrap()), "{own}");
        }
        for other in ["192.0.2.1", "1.1.1.1", "2606:4700::1111"] {
            assert!(!is_own_address(other.parse().unwrap()), "{other}");
        }
    }
}
