//! The notations by which people have walked around such guards, as tables.
//!
//! Each row is a URL as a tenant writes it and what becomes of it on its way
//! from the manifest to the connector. The rows are gathered from public
//! advisories and from the test suites of other guards; none is code of theirs.

#![allow(
    clippy::print_stdout,
    reason = "a table says how many rows it was checked with"
)]

mod known;

use std::net::IpAddr;

use hooklane_sender::{EgressPolicy, UrlError};
use url::{Host, Url};

/// What becomes of a URL before a resolver is asked.
#[derive(Debug, PartialEq)]
enum Fate {
    /// No parser of ours takes it.
    NoUrl,
    /// Refused by its form.
    Refused,
    /// A literal that may not be connected to.
    Forbidden,
    /// A literal that may.
    Public,
    /// A name, which the resolver is asked for as it stands here.
    Name(String),
}

fn fate(text: &str) -> Fate {
    let Ok(url) = Url::parse(text) else {
        return Fate::NoUrl;
    };
    let policy = EgressPolicy {
        allow_http: true,
        ..EgressPolicy::default()
    };
    match policy.check_url(&url) {
        Err(UrlError::Forbidden(_)) => Fate::Forbidden,
        Err(_) => Fate::Refused,
        Ok(()) => match url.host() {
            Some(Host::Domain(name)) => Fate::Name(name.to_owned()),
            _ => Fate::Public,
        },
    }
}

/// Checks a table and says how many rows it has.
fn check<'a>(table: &str, rows: impl IntoIterator<Item = (&'a str, Fate)>) {
    let mut count = 0;
    for (text, expected) in rows {
        assert_eq!(fate(text), expected, "{table}: {text}");
        count += 1;
    }
    println!("{table}: {count} rows");
}

/// Ways to write an IPv4 address that is not public.
const FORBIDDEN_V4: &[&str] = &[
    // Loopback: dotted, short, decimal, octal, hexadecimal, mixed, padded.
    "127.0.0.1",
    "127.0.1",
    "127.1",
    "127.0.0.1.",
    "127.127.127.127",
    "2130706433",
    "017700000001",
    "0x7f000001",
    "0x7F000001",
    "0x7f.1",
    "0x7f.0.0.1",
    "0x7f.0x0.0x0.0x1",
    "0177.0.0.1",
    "0177.1",
    "0177.0.0.01",
    "00000177.0.0.1",
    "127.000.000.001",
    "0x7f.00.0x0.01",
    "127.0x0.1",
    "0",
    "0.0.0.0",
    "00",
    "0x0",
    "0.0",
    // Percent-encoded and full-width digits and dots.
    "%31%32%37.0.0.1",
    "127%2e0%2e0%2e1",
    "127。0。0。1",
    "127．0．0．1",
    "127｡0｡0｡1",
    "①②⑦.⓪.⓪.①",
    "１２７.0.0.1",
    "𝟏𝟐𝟕.0.0.1",
    "⑯⑨。②⑤④。⑯⑨｡②⑤④",
    // Metadata services.
    "169.254.169.254",
    "169.254.170.2",
    "169.254.170.23",
    "2852039166",
    "0xa9fea9fe",
    "0xA9.0xFE.0xA9.0xFE",
    "0251.0376.0251.0376",
    "0251.00376.000251.0000376",
    "169.254.43518",
    "169.16689662",
    "0251.254.169.254",
    "100.100.100.200",
    "192.0.0.192",
    "168.63.129.16",
    // Private, shared, reserved, documentation, multicast, broadcast.
    "10.0.0.1",
    "10.1",
    "167772161",
    "012.1.2.3",
    "0x0a000001",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "192.168.257",
    "3232235777",
    "0300.0250.0.01",
    "100.64.0.1",
    "100.127.255.255",
    "198.18.0.1",
    "192.0.2.1",
    "198.51.100.1",
    "203.0.113.1",
    "192.88.99.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "4294967295",
];

/// Ways to write an IPv6 address that is not public.
const FORBIDDEN_V6: &[&str] = &[
    "[::]",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000::1]",
    "[::0.0.0.1]",
    // IPv4-mapped, IPv4-compatible, SIIT.
    "[::ffff:127.0.0.1]",
    "[::FFFF:7f00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[::ffff:10.0.0.1]",
    "[::ffff:8.8.8.8]",
    "[::127.0.0.1]",
    "[::a9fe:a9fe]",
    "[::ffff:0:127.0.0.1]",
    "[::ffff:0:a9fe:a9fe]",
    // NAT64, 6to4, Teredo, ISATAP.
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b::10.0.0.1]",
    "[64:ff9b:1::127.0.0.1]",
    "[64:ff9b:1:ffff::8.8.8.8]",
    "[2002:7f00:1::]",
    "[2002:a9fe:a9fe::1]",
    "[2002:808:808::1]",
    "[2001:0:4136:e378:8000:63bf:807f:fffe]",
    "[2001::1]",
    "[2606:4700::5efe:127.0.0.1]",
    "[2606:4700::200:5efe:10.0.0.1]",
    // Local scopes and reserved blocks.
    "[fe80::1]",
    "[febf::1]",
    "[fec0::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[fd20:ce::254]",
    "[fdff:ffff::1]",
    "[ff02::1]",
    "[ff0e::1]",
    "[100::1]",
    "[100:0:0:1::1]",
    "[2001:db8::1]",
    "[2001:2::1]",
    "[2001:10::1]",
    "[2001:20::1]",
    "[3fff::1]",
    "[5f00::1]",
    "[2620:4f:8000::1]",
];

#[test]
fn every_notation_of_a_forbidden_literal_is_forbidden() {
    for (table, hosts) in [("IPv4", FORBIDDEN_V4), ("IPv6", FORBIDDEN_V6)] {
        let forms = [
            ("https://", "/hook"),
            ("http://", ":8080/"),
            ("https:\\\\", "\\x"),
            ("HTTPS:///", "?a=b"),
        ];
        for (before, after) in forms {
            let texts: Vec<String> = hosts
                .iter()
                .map(|h| format!("{before}{h}{after}"))
                .collect();
            let rows = texts.iter().map(|text| (&**text, Fate::Forbidden));
            check(&format!("{table} as {before}{after}"), rows);
        }
    }
}

#[test]
fn what_is_no_url_or_not_one_of_ours() {
    check(
        "no URL",
        [
            "https://",
            "https:///",
            "https://[::1",
            "https://::1/",
            "https://[fe80::1%25eth0]/",
            "https://[fe80::1%eth0]/",
            "https://[::ffff:127.0.0.1%lo]/",
            "https://[127.0.0.1]/",
            "https://[stripe.com]/",
            "https://[[stripe.com]]/",
            "https://1.1.1.1.1/",
            "https://256.256.256.256/",
            "https://127.0.0.999/",
            "https://0x100000000/",
            "https://4294967296/",
            "https://a.example:65536/",
            "https://a.example:-1/",
            "https://a.example:http/",
            "https://a b.example/",
            "https://a%00.example/",
            "https://a%0d%0ahost.example/",
            "https://a<b.example/",
            "https://xn--/",
            "//a.example/",
            "a.example",
            "",
        ]
        .map(|text| (text, Fate::NoUrl)),
    );
    check(
        "refused",
        [
            "ftp://a.example/",
            "file:///etc/passwd",
            "gopher://a.example:70/_x",
            "dict://a.example:2628/",
            "ldap://a.example/",
            "javascript:alert(1)",
            "data:text/plain,x",
            "ws://a.example/",
            "unix:/var/run/docker.sock",
            "https://user:pw@a.example/",
            "https://user@a.example/",
            "https://:pw@a.example/",
            "https://a.example@127.0.0.1/",
            "https://127.0.0.1@a.example/",
            "https://a.example\\@127.0.0.1@b.example/#",
            "https://a.example#@127.0.0.1/",
            "https://a.example/#fragment",
            "https://localhost/",
            "https://LOCALHOST/",
            "https://localhost./",
            "https://l%6fcalhost/",
            "https://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/",
            "https://foo.localhost/",
            "https://localhost.:8080/",
            "https://kubernetes/",
            "https://erp./",
            "https://a.example:0/",
            "https://a.example:22/",
            "https://a.example:25/",
            "https://a.example:53/",
            "https://a.example:110/",
            "https://a.example:81/",
            "https://a.example:445/",
            "https://a.example:2049/",
            "https://a.example:6000/",
            "https://a.example:6667/",
            "https://a.example:10080/",
        ]
        .map(|text| (text, Fate::Refused)),
    );
}

#[test]
fn names_are_asked_for_as_they_were_checked() {
    check(
        "names",
        [
            ("https://EXAMPLE.com/", "example.com"),
            ("https://example.com./", "example.com."),
            ("https://ex%41mple.com/", "example.com"),
            ("https://exa\tmple.com/\n", "example.com"),
            ("https:example.com", "example.com"),
            ("https:\\\\example.com\\x", "example.com"),
            ("https://example.com:443/", "example.com"),
            ("https://example.com:00443/", "example.com"),
            ("http://example.com:80/", "example.com"),
            ("https://𝕘itⅼαƄ.com/", "xn--gitl-ocb944a.com"),
            ("https://ᴄοｍ.example/", "xn--m-rmb025q.example"),
            ("https://faß.example/", "xn--fa-hia.example"),
            ("https://☃.example/", "xn--n3h.example"),
            ("https://127.0.0.1.nip.example/", "127.0.0.1.nip.example"),
            (
                "https://127.0.0.1.example.com:8080/",
                "127.0.0.1.example.com",
            ),
            ("https://localhost.example.com/", "localhost.example.com"),
            (
                "https://metadata.google.internal/",
                "metadata.google.internal",
            ),
            ("https://0x7f.1.example/", "0x7f.1.example"),
        ]
        .map(|(text, name)| (text, Fate::Name(name.to_owned()))),
    );
    check(
        "public literals",
        [
            "https://1.1.1.1/",
            "https://8.8.8.8:8443/",
            "https://134744072/",
            "https://0x08080808/",
            "https://010.8.8.8/",
            "https://[2606:4700:4700::1111]/",
            "https://[64:ff9b::8.8.8.8]/",
            "https://168.63.129.17/",
            "https://172.32.0.1/",
            "https://100.128.0.1/",
            "https://11.0.0.1/",
        ]
        .map(|text| (text, Fate::Public)),
    );
}

/// The other parser in the house takes what the connector must never see: if
/// the request's URI decided where to connect, these would get through.
#[test]
fn the_request_uri_is_not_what_decides() {
    let mut apart = 0;
    for host in FORBIDDEN_V4 {
        let Ok(uri) = format!("https://{host}/").parse::<http::Uri>() else {
            continue;
        };
        let text = uri.host().unwrap();
        if text.parse::<IpAddr>().is_err() {
            apart += 1;
        }
    }
    println!("notations that http takes and std does not see as an address: {apart}");
    assert!(apart > 20, "the differential this table is about");
}
