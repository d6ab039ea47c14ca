//! What can be said about an endpoint's URL without resolving it.
//!
//! The rules hold wherever Hooklane runs, so they are the same when a manifest
//! is applied and when a connection is made. Which addresses may be connected
//! to depends on the deployment and is the sender's to judge, at every connect.

use url::{Host, Url};

/// The longest URL taken, in bytes; common servers and proxies refuse more.
pub const URL_MAX: usize = 2_048;

/// A rule that a URL breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlRule {
    /// Neither https nor http.
    #[error("must begin with https:// (or http://)")]
    Scheme,
    /// Nothing to connect to.
    #[error("must name a host")]
    NoHost,
    /// Credentials in a URL end up in logs.
    #[error("must not hold a user name or password: it would stand in logs")]
    UserInfo,
    /// Never sent.
    #[error("must not hold a fragment (#...): it is never sent")]
    Fragment,
    /// Not a port.
    #[error("must not name port 0")]
    PortZero,
    /// A port of another protocol, from the Fetch standard.
    #[error("must not name port {0}, which belongs to another protocol")]
    PortOfAnotherProtocol(u16),
    /// Longer than [`URL_MAX`].
    #[error("must not be longer than 2,048 characters")]
    TooLong,
    /// Parsers strip these, and then two readers see two URLs.
    #[error("must not hold spaces, tabs or other control characters")]
    Blank,
    /// This machine, by definition.
    #[error("must not name localhost, which is this machine")]
    Localhost,
    /// Names are looked up as they stand.
    #[error("must name its host in full: search domains are not used")]
    ShortName,
    /// `localhost..` is no `localhost` to a rule, and might be to a resolver.
    #[error("must not name a host with an empty part, as in a..example")]
    EmptyLabel,
}

/// The ports that the Fetch standard blocks ("bad ports"): services that can be
/// made to act on the bytes of an HTTP request.
const OTHER_PROTOCOLS: [u16; 83] = [
    0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101,
    102, 103, 104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427,
    465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990,
    993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667,
    6668, 6669, 6679, 6697, 10080,
];

/// Whether a port belongs to another protocol than HTTP.
#[must_use]
pub fn is_port_of_another_protocol(port: u16) -> bool {
    OTHER_PROTOCOLS.binary_search(&port).is_ok()
}

/// Endings of names that are answered inside of a machine, cluster or network.
const INTERNAL: [&str; 8] = [
    "local",
    "internal",
    "svc",
    "localdomain",
    "lan",
    "home.arpa",
    "corp",
    "cluster.local",
];

/// Whether a name is internal by its form: a receiver on the internet has none
/// such, and what an internal resolver says about it is nobody's business.
#[must_use]
pub fn is_internal_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    INTERNAL.iter().any(|ending| ends_with_label(name, ending))
}

/// Whether a name is `localhost` or below it.
#[must_use]
pub fn is_localhost(name: &str) -> bool {
    ends_with_label(name.strip_suffix('.').unwrap_or(name), "localhost")
}

/// Whether `name` is `ending` or below it, whatever the case.
fn ends_with_label(name: &str, ending: &str) -> bool {
    let Some(at) = name.len().checked_sub(ending.len()) else {
        return false;
    };
    name.is_char_boundary(at)
        && name[at..].eq_ignore_ascii_case(ending)
        && (at == 0 || name.as_bytes()[at - 1] == b'.')
}

/// All rules that a parsed URL breaks.
#[must_use]
pub fn broken_rules(url: &Url) -> Vec<UrlRule> {
    let port = url.port();
    let name = match url.host() {
        Some(Host::Domain(name)) => Some(name),
        _ => None,
    };
    let localhost = name.is_some_and(is_localhost);
    let bare = |name| str::strip_suffix(name, '.').unwrap_or(name);
    let short = |name| !bare(name).contains('.');
    let gap = |name| bare(name).split('.').any(str::is_empty);
    let checks = [
        (!matches!(url.scheme(), "https" | "http"), UrlRule::Scheme),
        (url.host_str().is_none_or(str::is_empty), UrlRule::NoHost),
        (
            !url.username().is_empty() || url.password().is_some(),
            UrlRule::UserInfo,
        ),
        (url.fragment().is_some(), UrlRule::Fragment),
        (port == Some(0), UrlRule::PortZero),
        (
            port.is_some_and(|port| port != 0 && is_port_of_another_protocol(port)),
            UrlRule::PortOfAnotherProtocol(port.unwrap_or(0)),
        ),
        (url.as_str().len() > URL_MAX, UrlRule::TooLong),
        (localhost, UrlRule::Localhost),
        (
            !localhost && name.is_some_and(|name| !name.is_empty() && short(name)),
            UrlRule::ShortName,
        ),
        (
            name.is_some_and(|name| !name.is_empty() && gap(name)),
            UrlRule::EmptyLabel,
        ),
    ];
    checks
        .into_iter()
        .filter(|(broken, _)| *broken)
        .map(|(_, rule)| rule)
        .collect()
}

/// Whether a text holds what URL parsers strip or skip, so that what was read
/// is not what was written.
#[must_use]
pub fn holds_blanks(text: &str) -> bool {
    text.bytes().any(|byte| byte <= b' ' || byte == 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_has_a_url_that_breaks_it_alone() {
        let long = format!("https://a.example/{}", "x".repeat(URL_MAX));
        for (text, rule) in [
            ("ftp://a.example/", UrlRule::Scheme),
            ("https://u@a.example/", UrlRule::UserInfo),
            ("https://:p@a.example/", UrlRule::UserInfo),
            ("https://a.example/#x", UrlRule::Fragment),
            ("https://a.example:0/", UrlRule::PortZero),
            ("https://a.example:22/", UrlRule::PortOfAnotherProtocol(22)),
            (
                "https://a.example:6667/",
                UrlRule::PortOfAnotherProtocol(6667),
            ),
            (&long, UrlRule::TooLong),
            ("https://localhost/", UrlRule::Localhost),
            ("https://LOCALHOST./", UrlRule::Localhost),
            ("https://a.localhost/", UrlRule::Localhost),
            ("https://erp/", UrlRule::ShortName),
            ("https://erp./", UrlRule::ShortName),
            ("https://localhost../", UrlRule::EmptyLabel),
            ("https://.erp.example/", UrlRule::EmptyLabel),
            ("https://erp..example/", UrlRule::EmptyLabel),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!(broken_rules(&url), [rule], "{text}");
        }
        for text in [
            "https://a.example/",
            "https://a.example.:8443/x?y=z",
            "http://a.example:80/",
            "https://notlocalhost.example/",
            "https://1.1.1.1/",
            "https://[2606:4700::1]:8443/",
        ] {
            assert_eq!(broken_rules(&Url::parse(text).unwrap()), [], "{text}");
        }
        let none = Url::parse("mailto:a@b.example").unwrap();
        assert_eq!(broken_rules(&none), [UrlRule::Scheme, UrlRule::NoHost]);
    }

    #[test]
    fn ports_are_sorted_for_the_search() {
        assert!(OTHER_PROTOCOLS.is_sorted());
        assert!(
            OTHER_PROTOCOLS
                .iter()
                .all(|p| is_port_of_another_protocol(*p))
        );
        assert!(
            [80, 443, 8080, 8443, 9092]
                .iter()
                .all(|p| !is_port_of_another_protocol(*p))
        );
    }

    #[test]
    fn names_that_are_internal_by_form() {
        for name in [
            "metadata.google.internal",
            "METADATA.Google.Internal.",
            "printer.local",
            "db.prod.svc",
            "db.prod.svc.cluster.local",
            "router.lan",
            "host.localdomain",
            "nas.home.arpa",
        ] {
            assert!(is_internal_name(name), "{name}");
        }
        for name in ["internal.example", "mylocal", "a.xn--local.example", "arpa"] {
            assert!(!is_internal_name(name), "{name}");
        }
    }

    #[test]
    fn blanks() {
        for text in [
            "https://a.example/\n",
            " https://a.example",
            "https://a\t.example/",
        ] {
            assert!(holds_blanks(text), "{text:?}");
        }
        assert!(!holds_blanks("https://a.example/%20?x=y"));
    }
}
