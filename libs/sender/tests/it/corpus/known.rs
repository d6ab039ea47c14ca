//! What others have collected: the suites of other guards, cheat sheets, and
//! the corners of the URL and IDNA standards. Rows in our own words; what each
//! table is after, its name says.

use std::net::{IpAddr, ToSocketAddrs};

use hooklane_sender::EgressPolicy;
use url::{Host, Url};

use super::{FORBIDDEN_V4, Fate, check, fate};

fn all(table: &str, fate: fn() -> Fate, rows: &[&str]) {
    check(table, rows.iter().map(|row| (*row, fate())));
}

fn named(table: &str, rows: &[(&str, &str)]) {
    let rows = rows.iter();
    check(
        table,
        rows.map(|(url, name)| (*url, Fate::Name((*name).to_owned()))),
    );
}

/// One reader takes the first host, another the last.
#[test]
fn two_hosts_in_one_url() {
    all(
        "two hosts, a forbidden one counts",
        || Fate::Forbidden,
        &[
            "https://127.1:80\\@127.2.2.2:80/",
            "https://127.1.1.1:80\\@@127.2.2.2:80/",
            "https://127.0.0.1\\a.example/",
            "https://127.0.0.1\\.a.example/",
            "https://127.0.0.1?.a.example/",
            "https://127.0.0.1/.a.example/",
            "https://127.0.0.1?@a.example/",
            "https://127.0.0.1/@a.example/",
            "https://[::1]\\@a.example/",
        ],
    );
    all(
        "two hosts, refused",
        || Fate::Refused,
        &[
            "https://1.1.1.1 &@2.2.2.2# @3.3.3.3/",
            "https://google.com:80#@127.0.0.1:22/",
            "https://google.com:80+&@127.88.23.245:22/#+@google.com:80/",
            "https://a.example:80@127.0.0.1/",
            "https://127.0.0.1%2f@a.example/",
            "https://a.example%2f@127.0.0.1/",
            "https://127.0.0.1#.a.example/",
            "https://@127.0.0.1@a.example/",
            "https://a%40b@127.0.0.1/",
            "https://a:b:c@127.0.0.1/",
            "https://%75ser@a.example/",
        ],
    );
    all(
        "two hosts, no URL",
        || Fate::NoUrl,
        &[
            "https://a.example%40127.0.0.1/",
            "https://a.example%23127.0.0.1/",
            "https://a.example%5c127.0.0.1/",
            "https://a.example%2f127.0.0.1/",
            "https://a.example;127.0.0.1/",
            "https://127.0.0.1%00.a.example/",
            "https://127.0.0.1%0a/",
            "https://127.0.0.1%20/",
            "https://127.0.0.1%09.a.example/",
            "https://a.example\0.b/",
            "0://a.example:80;http://b.example:80/",
        ],
    );
    named(
        "two hosts, the first counts",
        &[
            ("https://google.com:80?@127.0.0.1:22/", "google.com"),
            ("https://a.example\\.127.0.0.1/", "a.example"),
            ("https://a.example/@127.0.0.1/", "a.example"),
            ("https://a.example?//127.0.0.1/", "a.example"),
            ("https://a.example/\r\nHost: b", "a.example"),
            ("https://a.example/%0d%0aHost:%20b", "a.example"),
            ("https://a.example\r\n.b.example/", "a.example.b.example"),
        ],
    );
}

/// Blanks, slashes and empty ports that parsers drop.
#[test]
fn what_parsers_drop() {
    all(
        "dropped, forbidden",
        || Fate::Forbidden,
        &[
            "https:127.0.0.1/",
            "https:/127.0.0.1/",
            "https:///////127.0.0.1/",
            "https:\\127.0.0.1\\",
            "https://127.0.0.\t1/",
            "ht\ntps://127.0.0.1/",
            "\0https://127.0.0.1/",
            " https://127.0.0.1/ ",
            "https://127.0.0.1:/",
            "https://127.0.0.1:0008080/",
            "https://[::1]:/",
            "https://[::]:8080/",
            "https://127.0.0.1\u{ad}/",
            "https://127.0.0\u{200b}.1/",
        ],
    );
    named(
        "dropped, a name",
        &[
            ("https://\u{feff}a.example/", "a.example"),
            ("https://a\u{ad}b.example/", "ab.example"),
            ("https://a\u{2060}b.example/", "ab.example"),
        ],
    );
    all(
        "not dropped",
        || Fate::NoUrl,
        &[
            "https:// a.example/",
            "https://a.example:443 /",
            "https://a.example:+443/",
            "https://a.example:443.0/",
            "https://a.example:٨٠/",
            "https://a.example:80:80/",
            "https://:443/",
            "https://a.example\u{2028}/",
            "https://%5B::1%5D/",
            "https://[::1]a/",
            "https://0000::1:80/",
        ],
    );
}

/// Numbers that are nearly an address, and labels that end like one.
#[test]
fn numbers_that_are_no_address() {
    all(
        "numbers, no URL",
        || Fate::NoUrl,
        &[
            "https://0o177.0.0.1/",
            "https://o177.0.0.1/",
            "https://q177.0.0.1/",
            "https://425.510.425.510/",
            "https://7147006462/",
            "https://0x17f000001/",
            "https://0b1111111.0.0.1/",
            "https://09.8.8.8/",
            "https://08/",
            "https://1.1.1.1.1./",
            "https://foo.0x/",
            "https://foo.1/",
            "https://foo.09/",
            "https://foo.0x4/",
            "https://a.example%3a80/",
            "https://127.0.0.١/",
            "https://[::ffff:0x7f.1]/",
            "https://[::ffff:127.1]/",
            "https://[::ffff:1.2.3.4.5]/",
            "https://[::127.0.0.1.]/",
            "https://[1::2::3]/",
            "https://[12345::]/",
            "https://[1:2:3:4:5:6:7]/",
            "https://[1:2:3:4:5:6:7:8:9]/",
        ],
    );
}

/// Numbers that are an address, though not at first sight.
#[test]
fn numbers_that_are_an_address() {
    all(
        "numbers, forbidden",
        || Fate::Forbidden,
        &[
            "https://0x.0x.0/",
            "https://127.0.0.0x/",
            "https://１２７。１/",
            "https://⑫7.0.0.1/",
            "https://0ⅹ7f.1/",
            "https://0x7Ｆ.1/",
            "https://169.254.169.254./",
            "https://0xa9fea9fe./",
            "https://0177.0376.0251.0376/",
            "https://[::ffff:6440:1]/",
            "https://[::ffff:c0a8:101]/",
            "https://[::ffff:a83f:8110]/",
            "https://[0:0:0:0:0:0:127.0.0.1]/",
            "https://[64:ff9b::192.168.0.1]/",
            "https://[64:ff9b::1:7f00:1]/",
            "https://[64:ff9b:0:1::7f00:1]/",
            "https://[2002:c0a8:101::]/",
            "https://[2002:0a00:0001::1]/",
            "https://[2001:0:0:0:0:0:80ff:fffe]/",
            "https://[fe80::5efe:10.0.0.1]/",
            "https://[fd12:3456::1]/",
            "https://[2001:db8::ffff:127.0.0.1]/",
            "https://[2001:1ff:ffff::1]/",
            "https://[200::1]/",
            "https://[1234::1]/",
            "https://[4000::1]/",
            "https://[8000::1]/",
            "https://[e000::1]/",
            "https://[fbff::1]/",
            "https://[fe00::1]/",
        ],
    );
    all(
        "numbers, public",
        || Fate::Public,
        &[
            "https://9.255.255.255/",
            "https://100.63.255.255/",
            "https://192.0.1.0/",
            "https://198.20.0.0/",
            "https://223.255.255.255/",
            "https://[2001:200::1]/",
            "https://[2001:4860:4860::8888]/",
            "https://[2003::1]/",
            "https://[2620:4f:8001::1]/",
            "https://[3ffe::1]/",
            "https://[64:ff9b::93.184.216.34]/",
        ],
    );
}

/// What the IDNA mapping makes of letters, and what it does not take.
#[test]
fn letters_that_become_others() {
    named(
        "letters, a name",
        &[
            ("https://ⓔⓧⓐⓜⓟⓛⓔ.ⓒⓞⓜ/", "example.com"),
            ("https://𝓔𝔁𝓪𝓶𝓹𝓵𝓮.example/", "example.example"),
            ("https://ªº.example/", "ao.example"),
            ("https://🍕.example/", "xn--vi8h.example"),
            ("https://βόλος.example/", "xn--nxasmm1c.example"),
            ("https://ශ්\u{200d}රී.example/", "xn--10cl1a0b660p.example"),
            ("https://İ.example/", "xn--i-9bb.example"),
            ("https://א1.example/", "xn--1-zhc.example"),
            ("https://x⁄y.example/", "xn--xy-c6t.example"),
            ("https://127.0.0.௧/", "127.0.0.xn--onc"),
            ("https://a_b.example/", "a_b.example"),
            ("https://*.example/", "*.example"),
        ],
    );
    all(
        "letters, no URL",
        || Fate::NoUrl,
        &[
            "https://xn--a.example/",
            "https://xn--zn7c.com/",
            "https://xn--9999.example/",
            "https://a\u{200d}b.example/",
            "https://aא.example/",
            "https://\u{300}a.example/",
            "https://a℀.example/",
            "https://a／b.example/",
            "https://a＼b.example/",
            "https://a＠b.example/",
            "https://a：80.example/",
            "https://a？b.example/",
            "https://a＃b.example/",
            "https://a^b.example/",
            "https://a|b.example/",
        ],
    );
    all(
        "letters and names, refused",
        || Fate::Refused,
        &[
            "https://ⓛocalhost/",
            "https://LocalHost./",
            "https://a.LOCALHOST/",
            "https://ip6-localhost/",
            "https://loopback/",
            "https://metadata/",
            "https://instance-data/",
            "https://1e2/",
            "https://a..example/",
            "https://.a.example/",
            "https://a.example../",
            "https://1.1.1.1../",
        ],
    );
}

/// Nothing but http and https, whatever is behind it.
#[test]
fn other_schemes() {
    all(
        "schemes",
        || Fate::Refused,
        &[
            "jar:http://127.0.0.1!/",
            "netdoc:///etc/passwd",
            "sftp://a.example:22/",
            "tftp://a.example:69/x",
            "php://filter/x",
            "blob:https://127.0.0.1/x",
            "view-source:http://127.0.0.1/",
            "about:blank",
            "mailto:a@a.example",
            "https+unix://%2Fvar%2Frun%2Fdocker.sock/",
            "wss://a.example/",
            "smb://a.example/share",
            "redis://a.example:6379/",
            "httpss://a.example/",
        ],
    );
}

/// Of all ports, those below 1024 but two are refused, and those of other
/// protocols above.
#[test]
fn every_port() {
    // From the Fetch standard's list of bad ports.
    const ABOVE: [u16; 17] = [
        1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668,
        6669, 6679,
    ];
    const HIGHEST: [u16; 2] = [6697, 10080];
    let (mut refused, mut open) = (0, 0);
    for port in 0..=u16::MAX {
        let bad = ABOVE.contains(&port) || HIGHEST.contains(&port);
        let expected = match port {
            80 | 443 => true,
            0..1024 => false,
            _ => !bad,
        };
        let found = fate(&format!("https://a.example:{port}/"));
        assert_eq!(found != Fate::Refused, expected, "{port}: {found:?}");
        *(if expected { &mut open } else { &mut refused }) += 1;
    }
    println!("ports: {refused} refused, {open} open");
}

/// Names that mean something inside: a public answer is no answer for them,
/// and a private one only where the deployment allows it.
#[test]
fn names_of_the_inside() {
    let public: IpAddr = "93.184.216.34".parse().unwrap();
    let strict = EgressPolicy::default();
    let mut rows = 0;
    for name in [
        "metadata.google.internal",
        "metadata.google.internal.",
        "METADATA.google.INTERNAL",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "host.docker.internal",
        "gateway.docker.internal",
        "ip-10-0-0-1.ec2.internal",
        "router.lan",
        "printer.local",
        "intranet.corp",
        "nas.home.arpa",
        "a.localdomain",
    ] {
        let url = Url::parse(&format!("https://{name}/")).unwrap();
        let Some(Host::Domain(name)) = url.host() else {
            panic!("{name} is a name");
        };
        assert!(strict.check_answers(name, &[public]).is_err(), "{name}");
        rows += 1;
    }
    println!("names of the inside: {rows} rows");
    for name in [
        "internal.example",
        "local.example",
        "svc.example.com",
        "xlocal.example",
    ] {
        assert!(strict.check_answers(name, &[public]).is_ok(), "{name}");
    }
}

/// Goal: what the system's resolver makes of a notation is what was judged.
/// Method: those of the notations that are ASCII digits, which it reads without
/// asking anybody.
#[test]
fn the_system_reads_the_same_address() {
    let mut read = 0;
    for host in FORBIDDEN_V4 {
        let digits = |byte: u8| byte.is_ascii_hexdigit() || b".xX".contains(&byte);
        if !host.bytes().all(digits) || host.ends_with('.') {
            continue;
        }
        let url = Url::parse(&format!("https://{host}/")).unwrap();
        let Some(Host::Ipv4(judged)) = url.host() else {
            panic!("{host} is an address");
        };
        let Ok(found) = (*host, 443).to_socket_addrs() else {
            continue;
        };
        for found in found.map(|address| address.ip()) {
            assert_eq!(found, IpAddr::V4(judged), "{host}");
            assert!(EgressPolicy::default().check(found).is_err(), "{host}");
            read += 1;
        }
    }
    println!("notations that the system reads, and as we do: {read}");
    assert!(read > 30, "{read}: the differential this is about");
}
