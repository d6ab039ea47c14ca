//! The text of a sealed secret: `hks1.KEY_ID.VERSION.WRAPPED.BODY`.
//!
//! `VERSION` is 32 hex digits, drawn at random when the value is sealed.
//! `WRAPPED` is nonce and encrypted data key, `BODY` nonce and encrypted
//! value, both base64url without padding. One text has one meaning: bits that
//! base64 leaves over must be zero. The first three parts alone are the
//! secret's handle: they name it and hold nothing of it.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use thiserror::Error;

use crate::keyring::{KEY_BYTES, KeyId};

/// What a sealed secret of this version begins with.
pub const PREFIX: &str = "hks1";

pub(crate) const NONCE_BYTES: usize = 24;
pub(crate) const TAG_BYTES: usize = 16;
const WRAPPED_BYTES: usize = NONCE_BYTES + KEY_BYTES + TAG_BYTES;
/// Longest value, as manifests have it: a certificate chain with its key.
pub(crate) const VALUE_BYTES_MAX: usize = 64 * 1024;

/// Why a text is no sealed secret.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum FormatError {
    /// It begins otherwise.
    #[error("is not a sealed secret: it does not begin with {PREFIX}")]
    Prefix,
    /// A newer release has written it.
    #[error("was sealed by a newer release, in a form this one does not know")]
    Newer,
    /// A part is missing, has the wrong length or other characters.
    #[error("is not a whole sealed secret: its {0} is damaged")]
    Part(&'static str),
}

/// A sealed secret, its text checked but not opened. It is no secret itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    pub(crate) key_id: KeyId,
    pub(crate) version: u128,
    pub(crate) wrapped: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

impl Sealed {
    /// Reads the text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let mut parts = text.split('.');
        let prefix = parts.next().unwrap_or_default();
        if prefix != PREFIX {
            let newer = prefix
                .strip_prefix("hks")
                .and_then(|version| version.parse::<u32>().ok())
                .is_some_and(|version| version > 1);
            return Err(if newer {
                FormatError::Newer
            } else {
                FormatError::Prefix
            });
        }
        let key_id = parts
            .next()
            .and_then(KeyId::parse)
            .ok_or(FormatError::Part("key id"))?;
        let version = parts
            .next()
            .and_then(read_version)
            .ok_or(FormatError::Part("version"))?;
        let mut bytes = |what| {
            let part = parts.next().ok_or(FormatError::Part(what))?;
            URL_SAFE_NO_PAD
                .decode(part)
                .map_err(|_| FormatError::Part(what))
        };
        let wrapped = bytes("wrapped key")?;
        let body = bytes("body")?;
        if wrapped.len() != WRAPPED_BYTES {
            return Err(FormatError::Part("wrapped key"));
        }
        let value_bytes = body.len().checked_sub(NONCE_BYTES + TAG_BYTES);
        if value_bytes.is_none_or(|bytes| bytes > VALUE_BYTES_MAX) || parts.next().is_some() {
            return Err(FormatError::Part("body"));
        }
        Ok(Self {
            key_id,
            version,
            wrapped,
            body,
        })
    }

    /// The key that its data key is wrapped under.
    #[must_use]
    pub fn key_id(&self) -> &KeyId {
        &self.key_id
    }

    /// Names this value among all that its endpoint ever had.
    #[must_use]
    pub fn version(&self) -> u128 {
        self.version
    }
}

fn read_version(text: &str) -> Option<u128> {
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    let plain = text.len() == 32 && text.bytes().all(hex);
    plain.then(|| u128::from_str_radix(text, 16).ok())?
}

impl fmt::Display for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wrapped = URL_SAFE_NO_PAD.encode(&self.wrapped);
        let body = URL_SAFE_NO_PAD.encode(&self.body);
        let (key, version) = (&self.key_id, self.version);
        write!(f, "{PREFIX}.{key}.{version:032x}.{wrapped}.{body}")
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({}, {:032x})", self.key_id, self.version)
    }
}
