//! Identities: what a resource or a delivery is, whatever it is called.
//!
//! A resource gets its uid when it is created and keeps it; a name that is
//! used again gets a new uid, so that it inherits nothing. All ids are 128
//! bits, shown as a prefix and 32 lower-case hex digits (never a `.`, which
//! the Standard Webhooks signature uses as its separator).

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::str::FromStr;

use bincode::{Decode, Encode};
use sha2::{Digest, Sha256};
use thiserror::Error;

/// A text that is not an id of the expected kind.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{text}` is not an id of the form {prefix}<32 hex digits>")]
pub struct IdError {
    text: String,
    prefix: &'static str,
}

fn parse_id(text: &str, prefix: &'static str) -> Result<u128, IdError> {
    text.strip_prefix(prefix)
        .filter(|hex| hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
        .and_then(|hex| u128::from_str_radix(hex, 16).ok())
        .ok_or_else(|| IdError {
            text: text.to_owned(),
            prefix,
        })
}

/// An id as text, on the stack: ids are written for every attempt, and the
/// formatter of 128-bit integers takes several times as long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdText {
    bytes: [u8; IdText::LEN_MAX],
    len: u8,
}

impl IdText {
    /// A prefix of four and 32 digits.
    const LEN_MAX: usize = 36;

    fn new(prefix: &str, id: u128) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut bytes = [0u8; Self::LEN_MAX];
        let (head, hex) = bytes.split_at_mut(prefix.len());
        head.copy_from_slice(prefix.as_bytes());
        let (pairs, _) = hex.as_chunks_mut::<2>();
        for (pair, byte) in pairs.iter_mut().zip(id.to_be_bytes()) {
            *pair = [
                DIGITS[usize::from(byte >> 4)],
                DIGITS[usize::from(byte & 0xf)],
            ];
        }
        let len = u8::try_from(prefix.len() + 32).expect("a prefix is at most four letters");
        Self { bytes, len }
    }
}

impl std::ops::Deref for IdText {
    type Target = str;

    fn deref(&self) -> &str {
        let text = &self.bytes[..usize::from(self.len)];
        std::str::from_utf8(text).expect("a prefix and hex digits")
    }
}

/// A map by id. A delivery looks up a dozen of them, and the standard library's
/// hash, made for keys that an attacker writes, took longer than the look-ups;
/// this one is seeded at random as well, which is enough for ids that are made
/// here or are a hash already.
pub type IdMap<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// A set of ids; see [`IdMap`].
pub type IdSet<K> = HashSet<K, foldhash::fast::RandomState>;

/// Identity of an endpoint.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct EndpointUid(pub u128);

/// Identity of a subscription.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct SubscriptionUid(pub u128);

/// Identity of a source.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct SourceUid(pub u128);

/// Identity of one event for one subscription, sent as `webhook-id`: the same
/// on every attempt and after every crash, and so the receiver's idempotency
/// key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct DeliveryId(pub u128);

impl DeliveryId {
    /// The id of the event `(event_source, event_id)` of `tenant` for one
    /// subscription.
    ///
    /// A truncated SHA-256, because tenants choose three of the four inputs
    /// and must not be able to make ids collide. Lengths are hashed with the
    /// texts, so that no two different inputs are the same bytes.
    #[must_use]
    pub fn derive(
        tenant: &str,
        event_source: &str,
        event_id: &str,
        subscription: SubscriptionUid,
    ) -> Self {
        let mut hash = Sha256::new();
        for text in [tenant, event_source, event_id] {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        }
        hash.update(subscription.0.to_be_bytes());
        let digest = hash.finalize();
        let mut first = [0u8; 16];
        first.copy_from_slice(&digest[..16]);
        Self(u128::from_be_bytes(first))
    }
}

/// Text, Display, Debug and FromStr for one id type. A macro, against the house
/// rule, because the alternative is these lines four times over.
macro_rules! shown_as {
    ($type:ident, $prefix:literal) => {
        impl $type {
            /// The id as text, without an allocation.
            #[must_use]
            pub fn text(self) -> IdText {
                IdText::new($prefix, self.0)
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.text())
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.text())
            }
        }
        impl FromStr for $type {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                parse_id(text, $prefix).map(Self)
            }
        }
    };
}
shown_as!(EndpointUid, "ep_");
shown_as!(SubscriptionUid, "sub_");
shown_as!(SourceUid, "src_");
shown_as!(DeliveryId, "dlv_");

/// A fresh uid: a version 7 UUID, so that uids sort by creation.
#[must_use]
pub fn new_uid() -> u128 {
    uuid::Uuid::now_v7().as_u128()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_ids_read_back() {
        let id = EndpointUid(0x0102_0304);
        assert_eq!(id.to_string(), "ep_00000000000000000000000001020304");
        assert_eq!(id.to_string().parse(), Ok(id));
        let all = DeliveryId(0xfedc_ba98_7654_3210_0123_4567_89ab_cdef);
        assert_eq!(all.to_string(), "dlv_fedcba98765432100123456789abcdef");
        assert!(
            "sub_00000000000000000000000001020304"
                .parse::<EndpointUid>()
                .is_err()
        );
        assert!("ep_0102".parse::<EndpointUid>().is_err());
        assert!(
            "ep_+0000000000000000000000001020304"
                .parse::<EndpointUid>()
                .is_err()
        );
    }

    /// A delivery id is a wire format: receivers keep it for years. These are
    /// the first 16 bytes of SHA-256 over length-prefixed inputs.
    #[test]
    fn delivery_ids_are_golden() {
        let id = DeliveryId::derive("acme", "/shop", "evt-1", SubscriptionUid(7));
        assert_eq!(id.to_string(), "dlv_87c2f65179322da5cf79110dd2e38827");
        assert_ne!(
            id,
            DeliveryId::derive("acm", "e/shop", "evt-1", SubscriptionUid(7))
        );
        assert_ne!(
            id,
            DeliveryId::derive("acme", "/shop", "evt-1", SubscriptionUid(8))
        );
    }
}
