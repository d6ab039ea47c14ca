//! Whether a receiver must agree before anything is delivered to it, and how
//! it is asked.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use super::Endpoint;

/// How a receiver is asked whether it wants to be called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verification {
    /// It is not asked.
    #[default]
    None,
    /// `OPTIONS` by the CloudEvents rules for webhooks: it consents by a
    /// header, and may say how many requests a minute it takes.
    Handshake,
    /// A signed event with a random token, which it gives back.
    Challenge,
    /// A signed event that it answers with a 2xx.
    Ping,
}

impl Verification {
    /// The word in manifests, records and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Handshake => "handshake",
            Self::Challenge => "challenge",
            Self::Ping => "ping",
        }
    }

    pub(super) const WORDS: [(&'static str, Self); 4] = [
        ("none", Self::None),
        ("handshake", Self::Handshake),
        ("challenge", Self::Challenge),
        ("ping", Self::Ping),
    ];
}

/// What a receiver was asked: by which method, at which URL, in whose name. A
/// consent is for one of these; an edit of anything else leaves it standing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(u128);

impl Fingerprint {
    /// Of the question that an endpoint asks, if it asks one. `origin` is who
    /// we say that we are; only a handshake says it.
    #[must_use]
    pub fn of(endpoint: &Endpoint, origin: &str) -> Option<Self> {
        let method = endpoint.spec.verification;
        let origin = match method {
            Verification::None => return None,
            Verification::Handshake => origin,
            Verification::Challenge | Verification::Ping => "",
        };
        let mut hash = Sha256::new();
        // With their lengths, so that no two different questions are the same
        // bytes.
        for text in [method.as_str(), endpoint.spec.url.as_str(), origin] {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        }
        let digest = hash.finalize();
        let mut first = [0u8; 16];
        first.copy_from_slice(&digest[..16]);
        Some(Self(u128::from_be_bytes(first)))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let read = digits.then(|| u128::from_str_radix(text, 16).ok());
        let read = read.flatten().map(Self);
        read.ok_or_else(|| format!("`{text}` is not 32 hex digits"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resource::{Manifest, Strictness, parse_value};

    fn endpoint(method: Verification, url: &str, timeout: &str) -> Endpoint {
        let document = json!({
            "apiVersion": "hooklane/v1", "kind": "Endpoint",
            "metadata": {"tenant": "acme", "name": "erp"},
            "spec": {"url": url, "timeout": timeout},
        });
        let parsed = parse_value(document, Strictness::Write).unwrap();
        let Manifest::Endpoint(mut endpoint) = parsed.0.manifest else {
            panic!("not an endpoint");
        };
        endpoint.spec.verification = method;
        endpoint
    }

    #[test]
    fn what_is_asked_is_told_apart_and_nothing_else_is() {
        use Verification::{Challenge, Handshake, None, Ping};
        let url = "https://erp.example/hooks";
        let of = |method, url, origin| Fingerprint::of(&endpoint(method, url, "5s"), origin);
        assert_eq!(of(None, url, "a.example"), Option::None);
        let asked = of(Handshake, url, "a.example").unwrap();
        // Stands in records: another value would ask everybody again.
        assert_eq!(asked.to_string(), "1a6d62bd85fcb367559ed1ae29654536");
        assert_eq!(asked.to_string().parse(), Ok(asked));
        for other in [
            of(Handshake, "https://erp.example/hook", "a.example"),
            of(Handshake, url, "b.example"),
            of(Challenge, url, "a.example"),
            of(Ping, url, "a.example"),
        ] {
            assert_ne!(other, Some(asked));
        }
        assert_eq!(of(Ping, url, "a.example"), of(Ping, url, "b.example"));
        let slower = endpoint(Handshake, url, "9s");
        assert_eq!(Fingerprint::of(&slower, "a.example"), Some(asked));
        assert!("12".parse::<Fingerprint>().is_err());
    }
}
