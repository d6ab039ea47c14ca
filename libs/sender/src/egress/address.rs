//! The deny list: every address range that no webhook has business in.
//!
//! From the IANA special-purpose registries, the well-known cloud metadata
//! addresses, and every IPv6 form that carries an IPv4 address, because a
//! NAT64, 6to4 or Teredo router, or the kernel, turns it back into one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::Ipv6Net;

/// An address that the deny list has, and the range that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("address {address} is in {range}")]
pub struct Forbidden {
    /// The address.
    pub address: IpAddr,
    /// The range, as CIDR and name.
    pub range: &'static str,
}

struct V4(Ipv4Addr, u32, &'static str);
struct V6(Ipv6Addr, u32, &'static str);

const fn v4(a: u8, b: u8, c: u8, d: u8, bits: u32, range: &'static str) -> V4 {
    V4(Ipv4Addr::new(a, b, c, d), bits, range)
}

const fn v6(head: [u16; 4], bits: u32, range: &'static str) -> V6 {
    let [a, b, c, d] = head;
    V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0), bits, range)
}

const DENIED_V4: &[V4] = &[
    v4(0, 0, 0, 0, 8, "0.0.0.0/8 this network"),
    v4(10, 0, 0, 0, 8, "10.0.0.0/8 private"),
    v4(100, 64, 0, 0, 10, "100.64.0.0/10 carrier-grade NAT"),
    v4(127, 0, 0, 0, 8, "127.0.0.0/8 loopback"),
    v4(169, 254, 0, 0, 16, "169.254.0.0/16 link-local"),
    v4(172, 16, 0, 0, 12, "172.16.0.0/12 private"),
    v4(192, 0, 0, 0, 24, "192.0.0.0/24 IETF protocols"),
    v4(192, 0, 2, 0, 24, "192.0.2.0/24 documentation"),
    v4(192, 31, 196, 0, 24, "192.31.196.0/24 AS112"),
    v4(192, 52, 193, 0, 24, "192.52.193.0/24 AMT"),
    v4(192, 88, 99, 0, 24, "192.88.99.0/24 6to4 relay"),
    v4(192, 168, 0, 0, 16, "192.168.0.0/16 private"),
    v4(192, 175, 48, 0, 24, "192.175.48.0/24 AS112"),
    v4(198, 18, 0, 0, 15, "198.18.0.0/15 benchmarking"),
    v4(198, 51, 100, 0, 24, "198.51.100.0/24 documentation"),
    v4(203, 0, 113, 0, 24, "203.0.113.0/24 documentation"),
    v4(224, 0, 0, 0, 4, "224.0.0.0/4 multicast"),
    v4(240, 0, 0, 0, 4, "240.0.0.0/4 reserved"),
    // Looks public, answers only inside Azure.
    v4(168, 63, 129, 16, 32, "168.63.129.16/32 Azure platform"),
];

// ::/8 has unspecified, loopback, IPv4-compatible, IPv4-mapped and SIIT;
// 64:ff9b::/96 (NAT64) lies in it too and is decoded before this table.
const DENIED_V6: &[V6] = &[
    v6([0x64, 0xff9b, 1, 0], 48, "64:ff9b:1::/48 local NAT64"),
    v6([0, 0, 0, 0], 8, "::/8 loopback, mapped and compatible"),
    v6([0x100, 0, 0, 0], 64, "100::/64 discard"),
    v6([0x100, 0, 0, 1], 64, "100:0:0:1::/64 dummy"),
    v6([0x2001, 0, 0, 0], 23, "2001::/23 IETF protocols, Teredo"),
    v6([0x2001, 0xdb8, 0, 0], 32, "2001:db8::/32 documentation"),
    v6([0x2002, 0, 0, 0], 16, "2002::/16 6to4"),
    v6([0x2620, 0x4f, 0x8000, 0], 48, "2620:4f:8000::/48 AS112"),
    v6([0x3fff, 0, 0, 0], 20, "3fff::/20 documentation"),
    v6([0x5f00, 0, 0, 0], 16, "5f00::/16 SRv6"),
    v6([0xfc00, 0, 0, 0], 7, "fc00::/7 unique local"),
    v6([0xfe80, 0, 0, 0], 10, "fe80::/10 link-local"),
    v6([0xfec0, 0, 0, 0], 10, "fec0::/10 site-local"),
    v6([0xff00, 0, 0, 0], 8, "ff00::/8 multicast"),
];

const UNASSIGNED: &str = "what is not assigned, outside of 2000::/3";
const ISATAP: &str = "ISATAP interface identifier";
const NAT64: Ipv6Addr = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0);

/// Whether an address is one that webhooks may go to, by the deny list alone.
///
/// # Errors
/// The range that has it.
pub fn verdict(address: IpAddr) -> Result<(), Forbidden> {
    let range = match address {
        IpAddr::V4(ip) => denied_v4(ip),
        IpAddr::V6(ip) => denied_v6(ip),
    };
    match range {
        Some(range) => Err(Forbidden { address, range }),
        None => Ok(()),
    }
}

fn denied_v4(ip: Ipv4Addr) -> Option<&'static str> {
    let bits = ip.to_bits();
    DENIED_V4
        .iter()
        .find(|V4(net, len, _)| (bits ^ net.to_bits()) >> (32 - len) == 0)
        .map(|V4(_, _, range)| *range)
}

fn denied_v6(ip: Ipv6Addr) -> Option<&'static str> {
    let bits = ip.to_bits();
    if (bits ^ NAT64.to_bits()) >> 32 == 0 {
        // The one embedding with a legitimate use (IPv6-only clusters): it is
        // as good or bad as the IPv4 address it stands for.
        return denied_v4(low_v4(bits));
    }
    let listed = DENIED_V6
        .iter()
        .find(|V6(net, len, _)| (bits ^ net.to_bits()) >> (128 - len) == 0)
        .map(|V6(_, _, range)| *range);
    if listed.is_some() {
        return listed;
    }
    // Nobody on the internet has an address there; a network that helps itself
    // to one is an inside.
    if bits >> 125 != 1 {
        return Some(UNASSIGNED);
    }
    // ISATAP: an IPv4 address behind ::0:5efe in any prefix, whatever the
    // universal and group bits of the identifier.
    let identifier = (bits >> 32) & 0xfcff_ffff;
    (identifier == 0x0000_5efe).then_some(ISATAP)
}

/// The IPv4 address that a NAT64 gateway makes of `ip`: under the well-known
/// prefix, or under one of this network's own (RFC 6052, section 2.2).
pub(crate) fn behind_nat64(ip: Ipv6Addr, prefixes: &[Ipv6Net]) -> Option<Ipv4Addr> {
    let bits = ip.to_bits();
    if (bits ^ NAT64.to_bits()) >> 32 == 0 {
        return Some(low_v4(bits));
    }
    let prefix = prefixes.iter().find(|prefix| prefix.contains(&ip))?;
    let octets = ip.octets();
    // The eighth octet stays free in all lengths but the longest.
    let at: [usize; 4] = match prefix.prefix_len() {
        32 => [4, 5, 6, 7],
        40 => [5, 6, 7, 9],
        48 => [6, 7, 9, 10],
        56 => [7, 9, 10, 11],
        64 => [9, 10, 11, 12],
        _ => [12, 13, 14, 15],
    };
    Some(Ipv4Addr::from(at.map(|octet| octets[octet])))
}

fn low_v4(bits: u128) -> Ipv4Addr {
    let [.., a, b, c, d] = bits.to_be_bytes();
    Ipv4Addr::new(a, b, c, d)
}

#[cfg(test)]
mod tests;
