use super::*;
use proptest::prelude::*;

fn allowed(text: &str) -> bool {
    verdict(text.parse().unwrap()).is_ok()
}

/// Every IPv6 form that some router or kernel turns back into `ip`.
fn embeddings(ip: Ipv4Addr) -> Vec<(&'static str, Ipv6Addr)> {
    let low = u128::from(ip.to_bits());
    let of = |high: u128| Ipv6Addr::from_bits(high | low);
    let global = Ipv6Addr::new(0x2606, 0x4700, 1, 2, 0, 0, 0, 0).to_bits();
    vec![
        ("compatible", of(0)),
        ("mapped", of(0xffff << 32)),
        ("translated (SIIT)", of(0xffff_0000_u128 << 32)),
        ("NAT64", of(NAT64.to_bits())),
        (
            "local NAT64",
            of(Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0).to_bits()),
        ),
        (
            "6to4",
            Ipv6Addr::from_bits((0x2002 << 112) | (low << 80) | 1),
        ),
        (
            "Teredo",
            Ipv6Addr::from_bits((0x2001_0000_u128 << 96) | (!low & 0xffff_ffff)),
        ),
        ("ISATAP", of(global | (0x5efe << 32))),
        ("ISATAP, global bit", of(global | (0x0200_5efe_u128 << 32))),
        ("ISATAP, group bit", of(global | (0x0100_5efe_u128 << 32))),
    ]
}

fn denied_address() -> impl Strategy<Value = Ipv4Addr> {
    (0..DENIED_V4.len(), any::<u32>()).prop_map(|(at, host)| {
        let V4(net, len, _) = &DENIED_V4[at];
        let mask = u32::MAX.checked_shr(*len).unwrap_or(0);
        Ipv4Addr::from_bits(net.to_bits() | (host & mask))
    })
}

proptest! {
    /// Whatever IPv4 address is denied, all its IPv6 forms are.
    #[test]
    fn every_embedding_of_a_denied_v4_is_refused(ip in denied_address()) {
        prop_assert!(verdict(IpAddr::V4(ip)).is_err(), "{ip}");
        for (form, six) in embeddings(ip) {
            prop_assert!(verdict(IpAddr::V6(six)).is_err(), "{form} {six} of {ip}");
        }
    }

    /// NAT64 says what its IPv4 says; no other embedding is ever let through.
    #[test]
    fn nat64_inherits_and_the_rest_is_refused(bits in any::<u32>()) {
        let ip = Ipv4Addr::from_bits(bits);
        let inner = verdict(IpAddr::V4(ip)).is_ok();
        for (form, six) in embeddings(ip) {
            let outer = verdict(IpAddr::V6(six)).is_ok();
            prop_assert_eq!(outer, inner && form == "NAT64", "{} {}", form, six);
        }
    }

    /// The table agrees with the standard library wherever that has an opinion.
    #[test]
    fn agrees_with_the_standard_library(bits in any::<u32>()) {
        let ip = Ipv4Addr::from_bits(bits);
        if ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_multicast()
            || ip.is_broadcast() || ip.is_documentation() || ip.is_unspecified()
        {
            prop_assert!(verdict(IpAddr::V4(ip)).is_err(), "{ip}");
        }
    }
}

#[test]
fn edges_of_each_v4_range() {
    for V4(net, len, range) in DENIED_V4 {
        let first = net.to_bits();
        let last = first | u32::MAX.checked_shr(*len).unwrap_or(0);
        for inside in [first, last] {
            let ip = Ipv4Addr::from_bits(inside);
            assert!(verdict(IpAddr::V4(ip)).is_err(), "{ip} of {range}");
        }
    }
    // The neighbours that are public.
    for outside in [
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "168.63.129.15",
        "168.63.129.17",
        "1.1.1.1",
        "8.8.8.8",
    ] {
        assert!(allowed(outside), "{outside}");
    }
}

#[test]
fn edges_of_each_v6_range() {
    for V6(net, len, range) in DENIED_V6 {
        let first = net.to_bits();
        let last = first | u128::MAX.checked_shr(*len).unwrap_or(0);
        for inside in [first, last] {
            // Under the NAT64 prefix the address inside decides.
            let ip = Ipv6Addr::from_bits(inside);
            assert!(verdict(IpAddr::V6(ip)).is_err(), "{ip} of {range}");
        }
    }
    // The neighbours that are public, and the edges of what is assigned.
    for outside in [
        "2000::",
        "2000:ffff:ffff::",
        "2001:200::",
        "2001:db7:ffff::",
        "2001:db9::",
        "2001:ffff:ffff::",
        "2003::",
        "2620:4f:7fff::1",
        "2620:4f:8001::",
        "3ffe:ffff:ffff::",
        "3fff:1000::",
        "3fff:ffff:ffff::",
        "2606:4700::5eff:7f00:1",
    ] {
        assert!(allowed(outside), "{outside}");
    }
    for unassigned in [
        "1fff:ffff::",
        "4000::",
        "5eff::1",
        "6000::",
        "fbff::",
        "fe00::",
    ] {
        assert!(!allowed(unassigned), "{unassigned}");
    }
}

#[test]
fn metadata_and_other_well_known_targets() {
    for address in [
        "169.254.169.254",
        "169.254.170.2",
        "169.254.170.23",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "fd00:ec2::254",
        "fd20:ce::254",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "::ffff:0:127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::7f00:1",
        "2002:7f00:1::",
        "2001::1",
        "2001:db8::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "100::1",
        "3fff::1",
        "5f00::1",
        "2620:4f:8000::1",
        "2606:4700::5efe:7f00:1",
        "2606:4700::200:5efe:7f00:1",
        "255.255.255.255",
    ] {
        assert!(!allowed(address), "{address}");
    }
    for address in [
        "2606:4700:4700::1111",
        "2a00:1450:4001::200e",
        "64:ff9b::808:808",
        "2001:4860::1",
    ] {
        assert!(allowed(address), "{address}");
    }
}
