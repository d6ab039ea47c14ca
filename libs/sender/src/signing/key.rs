//! A secret as a key: its schedule is computed once and copied per signature.

use std::fmt;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hooklane_model::resource::{SigningScheme, StandardKey};
use hooklane_model::secret::Secret;
use zeroize::Zeroizing;

/// A key of an endpoint.
pub(super) enum Key {
    Hmac(Box<hmac::Key>),
    Ed25519(Box<Ed25519KeyPair>),
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hmac(_) => "Hmac(***)",
            Self::Ed25519(_) => "Ed25519(***)",
        })
    }
}

/// Longest HMAC: SHA-256.
pub(super) type Tag = hmac::Tag;

impl Key {
    pub(super) fn try_new(scheme: SigningScheme, secret: &Secret) -> Result<Self, &'static str> {
        let algorithm = match scheme {
            SigningScheme::Standard => return standard(secret),
            SigningScheme::Twilio => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            _ => hmac::HMAC_SHA256,
        };
        // A secret from a file ends with the line; none ends with a space.
        let secret = secret.expose().trim_ascii_end();
        if secret.is_empty() {
            return Err("is empty");
        }
        Ok(Self::Hmac(Box::new(hmac::Key::new(algorithm, secret))))
    }

    /// HMAC over the parts, one after the other.
    ///
    /// # Panics
    /// With a key that is not HMAC's, which only `standard` makes.
    pub(super) fn hmac(&self, parts: &[&[u8]]) -> Tag {
        let Self::Hmac(key) = self else {
            unreachable!("only `standard` has other keys, and asks first");
        };
        let mut context = hmac::Context::with_key(key);
        for part in parts {
            context.update(part);
        }
        context.sign()
    }
}

/// The ed25519 pair of a seed, as Standard Webhooks writes it: the secret
/// (`whsk_`, seed and public key) and what receivers get (`whpk_`).
///
/// # Panics
/// Never: every seed is one.
#[must_use]
pub fn key_pair(seed: &[u8; 32]) -> (Secret, String) {
    let pair = Ed25519KeyPair::from_seed_unchecked(seed).expect("32 bytes are a seed");
    let public = pair.public_key().as_ref();
    let both = Zeroizing::new([&seed[..], public].concat());
    // Room for all of it at once: a text that grows leaves copies behind.
    let mut secret = String::with_capacity(96);
    secret.push_str("whsk_");
    STANDARD.encode_string(&*both, &mut secret);
    let public = format!("whpk_{}", STANDARD.encode(public));
    (Secret::from(secret), public)
}

fn standard(secret: &Secret) -> Result<Key, &'static str> {
    let seed = match StandardKey::parse(secret.expose())? {
        StandardKey::Symmetric(key) => {
            return Ok(Key::Hmac(Box::new(hmac::Key::new(hmac::HMAC_SHA256, &key))));
        }
        StandardKey::Asymmetric(key) => key,
    };
    let pair = match seed.split_at_checked(32) {
        Some((seed, [])) => Ed25519KeyPair::from_seed_unchecked(seed),
        Some((seed, public)) => Ed25519KeyPair::from_seed_and_public_key(seed, public),
        None => return Err("is too short"),
    };
    let pair = pair.map_err(|_| "holds a public key that is not its seed's")?;
    Ok(Key::Ed25519(Box::new(pair)))
}
