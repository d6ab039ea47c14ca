//! Sealing, opening and re-wrapping.

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use thiserror::Error;

use crate::entropy::{Entropy, EntropyError};
use crate::keyring::{KEY_BYTES, Key, KeyId, Keyring};
use crate::sealed::{NONCE_BYTES, Sealed, VALUE_BYTES_MAX};
use hooklane_model::secret::Secret;

/// Where a secret belongs; it opens nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The endpoint's tenant.
    pub tenant: &'a str,
    /// The endpoint's uid.
    pub endpoint: u128,
}

/// Why a secret was not sealed.
#[derive(Debug, Error)]
pub enum SealError {
    /// There is no randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// It is longer than any secret.
    #[error("is longer than {VALUE_BYTES_MAX} bytes")]
    TooLong,
    /// The cipher refused; it does so for lengths alone, which are bounded.
    #[error("cannot be encrypted")]
    Cipher,
}

/// Why a sealed secret was not opened.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum OpenError {
    /// The keyring lacks its key; a keyring that has it would do.
    #[error("key {0} is not in the key file")]
    UnknownKey(KeyId),
    /// It was changed, belongs elsewhere, or a key was replaced under its id.
    #[error("does not open with key {0}: changed, copied from elsewhere, or that key was replaced")]
    Refused(KeyId),
}

/// What the two layers are told apart by, besides their keys.
const WRAP: &[u8] = b"hooklane/wrap/1";
const BODY: &[u8] = b"hooklane/body/1";

/// Encrypts `value` under a new data key, and that under the writing key.
///
/// # Errors
/// Without randomness; a value beyond the bound.
pub fn seal(
    keyring: &Keyring,
    place: &Place<'_>,
    value: &Secret,
    entropy: &mut dyn Entropy,
) -> Result<Sealed, SealError> {
    if value.expose().len() > VALUE_BYTES_MAX {
        return Err(SealError::TooLong);
    }
    let mut version = [0; 16];
    entropy.fill(&mut version)?;
    let version = u128::from_be_bytes(version);
    let mut data_key = Key::default();
    entropy.fill(&mut *data_key)?;
    let aad = bound(&[BODY], place, version);
    let body = encrypt(&data_key, value.expose(), &aad, entropy)?;
    wrap(keyring, place, (&data_key, version, body), entropy)
}

/// Decrypts.
///
/// # Errors
/// When the key is missing, or the text or the place is another.
pub fn open(keyring: &Keyring, place: &Place<'_>, sealed: &Sealed) -> Result<Secret, OpenError> {
    let data_key = unwrap(keyring, place, sealed)?;
    let plain = decrypt(
        &data_key,
        &sealed.body,
        &bound(&[BODY], place, sealed.version),
    );
    plain.ok_or_else(|| OpenError::Refused(sealed.key_id.clone()))
}

/// The same secret with its data key under the writing key. The value itself
/// is opened too, though it is not needed: what cannot be opened must not look
/// as if it had been brought along.
///
/// # Errors
/// As for [`open`]; without randomness.
pub fn rewrap(
    keyring: &Keyring,
    place: &Place<'_>,
    sealed: &Sealed,
    entropy: &mut dyn Entropy,
) -> Result<Result<Sealed, SealError>, OpenError> {
    open(keyring, place, sealed)?;
    let data_key = unwrap(keyring, place, sealed)?;
    let parts = (&data_key, sealed.version, sealed.body.clone());
    Ok(wrap(keyring, place, parts, entropy))
}

fn wrap(
    keyring: &Keyring,
    place: &Place<'_>,
    (data_key, version, body): (&Key, u128, Vec<u8>),
    entropy: &mut dyn Entropy,
) -> Result<Sealed, SealError> {
    let key_id = keyring.writing().clone();
    let key = keyring
        .key(&key_id)
        .expect("a keyring holds its writing key");
    let aad = bound(&[WRAP, key_id.as_str().as_bytes()], place, version);
    let wrapped = encrypt(key, &**data_key, &aad, entropy)?;
    Ok(Sealed {
        key_id,
        version,
        wrapped,
        body,
    })
}

fn unwrap(keyring: &Keyring, place: &Place<'_>, sealed: &Sealed) -> Result<Key, OpenError> {
    let id = &sealed.key_id;
    let key = keyring
        .key(id)
        .ok_or_else(|| OpenError::UnknownKey(id.clone()))?;
    let aad = bound(&[WRAP, id.as_str().as_bytes()], place, sealed.version);
    let refused = || OpenError::Refused(id.clone());
    let plain = decrypt(key, &sealed.wrapped, &aad).ok_or_else(refused)?;
    let mut data_key = Key::default();
    if plain.expose().len() != KEY_BYTES {
        return Err(refused());
    }
    data_key.copy_from_slice(plain.expose());
    Ok(data_key)
}

/// What a ciphertext is bound to: every part with its length before it, so
/// that no two lists of parts are the same bytes.
fn bound(parts: &[&[u8]], place: &Place<'_>, version: u128) -> Vec<u8> {
    let (endpoint, version) = (place.endpoint.to_be_bytes(), version.to_be_bytes());
    let place = [place.tenant.as_bytes(), &endpoint, &version];
    let mut bytes = Vec::new();
    for part in parts.iter().chain(&place) {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

/// A random nonce, and what `plain` is under it.
fn encrypt(
    key: &Key,
    plain: &[u8],
    aad: &[u8],
    entropy: &mut dyn Entropy,
) -> Result<Vec<u8>, SealError> {
    let mut nonce = [0; NONCE_BYTES];
    entropy.fill(&mut nonce)?;
    let payload = Payload { msg: plain, aad };
    let encrypted = cipher(key)
        .encrypt(&XNonce::from(nonce), payload)
        .map_err(|_| SealError::Cipher)?;
    Ok([&nonce[..], &encrypted].concat())
}

fn decrypt(key: &Key, bytes: &[u8], aad: &[u8]) -> Option<Secret> {
    let (nonce, msg) = bytes.split_first_chunk::<NONCE_BYTES>()?;
    let payload = Payload { msg, aad };
    let plain = cipher(key).decrypt(&XNonce::from(*nonce), payload).ok()?;
    Some(Secret::new(plain))
}

fn cipher(key: &Key) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new((&**key).into())
}

#[cfg(test)]
mod tests;
