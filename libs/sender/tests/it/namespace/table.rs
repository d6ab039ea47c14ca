//! Every class of forbidden address, said once more and in other words than
//! the guard says it: networks, of which some addresses are tried.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

/// Networks that webhooks have no business in.
const V4: &[&str] = &[
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "168.63.129.16/32",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "192.175.48.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
];

const V6: &[&str] = &[
    "::/128",
    "::1/128",
    "::/96",
    "::ffff:0:0/96",
    "::ffff:0:0:0/96",
    "1::/16",
    "64:ff9b:1::/48",
    "200::/7",
    "1000::/4",
    "4000::/3",
    "6000::/3",
    "8000::/2",
    "e000::/4",
    "fe00::/9",
    "100::/64",
    "100:0:0:1::/64",
    "2001::/32",
    "2001:2::/48",
    "2001:10::/28",
    "2001:20::/28",
    "2001:100::/24",
    "2001:db8::/32",
    "2002::/16",
    "2620:4f:8000::/48",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
];

/// Single addresses that somebody is known to answer at.
const WELL_KNOWN: &[&str] = &[
    "169.254.169.254",
    "169.254.170.2",
    "169.254.170.23",
    "100.100.100.200",
    "192.0.0.192",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fe80::a9fe:a9fe",
];

/// Addresses that anybody may be called at.
pub(super) const PUBLIC: &[&str] = &[
    "93.184.216.34",
    "1.1.1.1",
    "11.0.0.1",
    "172.32.0.1",
    "168.63.129.17",
    "2606:4700:4700::1111",
    "2a00:1450:4001::200e",
    "64:ff9b::808:808",
];

/// One address that must not be connected to.
pub(super) struct Row {
    /// The class it stands for.
    pub(super) class: String,
    pub(super) ip: IpAddr,
}

/// First, last and a middle address of every class, a middle one of each IPv4
/// class in every IPv6 form that carries it, and the well-known ones.
pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut add = |class: String, ip: IpAddr| rows.push(Row { class, ip });
    for class in V4 {
        let net: Ipv4Net = class.parse().unwrap();
        for ip in three(IpNet::V4(net)) {
            add((*class).to_owned(), ip);
        }
        let IpAddr::V4(middle) = three(IpNet::V4(net))[1] else {
            unreachable!("an IPv4 network has IPv4 addresses");
        };
        for (form, ip) in forms(middle) {
            add(format!("{class} {form}"), IpAddr::V6(ip));
        }
    }
    for class in V6 {
        for ip in three(class.parse().unwrap()) {
            add((*class).to_owned(), ip);
        }
    }
    for ip in WELL_KNOWN {
        add("well known".to_owned(), ip.parse().unwrap());
    }
    rows
}

fn three(net: IpNet) -> [IpAddr; 3] {
    let middle: IpAddr = match net {
        IpNet::V4(net) => {
            let half = net.hostmask().to_bits() / 2;
            Ipv4Addr::from_bits(net.network().to_bits() + half).into()
        }
        IpNet::V6(net) => {
            let half = net.hostmask().to_bits() / 2;
            Ipv6Addr::from_bits(net.network().to_bits() + half).into()
        }
    };
    [net.network(), middle, net.broadcast()]
}

/// `ip` as IPv6 carries it.
fn forms(ip: Ipv4Addr) -> [(&'static str, Ipv6Addr); 10] {
    let [a, b, c, d] = ip.octets();
    let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let six = |head: [u16; 6]| {
        let [s, t, u, v, w, x] = head;
        Ipv6Addr::new(s, t, u, v, w, x, high, low)
    };
    [
        ("compatible", six([0; 6])),
        ("mapped", six([0, 0, 0, 0, 0, 0xffff])),
        ("SIIT", six([0, 0, 0, 0, 0xffff, 0])),
        ("NAT64", six([0x64, 0xff9b, 0, 0, 0, 0])),
        ("local NAT64", six([0x64, 0xff9b, 1, 0, 0, 0])),
        ("6to4", Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1)),
        (
            "Teredo",
            Ipv6Addr::new(0x2001, 0, 0x4136, 0xe378, 0x8000, 0x63bf, !high, !low),
        ),
        ("ISATAP", six([0x2606, 0x4700, 0, 1, 0, 0x5efe])),
        ("ISATAP, global", six([0x2606, 0x4700, 0, 1, 0x200, 0x5efe])),
        ("ISATAP, group", six([0x2606, 0x4700, 0, 1, 0x100, 0x5efe])),
    ]
}
