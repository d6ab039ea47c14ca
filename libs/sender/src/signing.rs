//! The seam where signatures come in.
//!
//! Standard Webhooks (`v1`, `v1a`), the providers' schemes and rotation with
//! overlapping secrets are implementations of [`Signer`]; an endpoint holds
//! one, with its key schedule cached. The bytes that are signed are the bytes
//! that are sent, so it runs after the body is final and right before the
//! attempt, with that attempt's timestamp. It must not log and must not keep
//! the body.

use http::HeaderMap;

/// Adds the signature headers of one attempt.
pub trait Signer {
    /// Signs `body` as delivery `id`, attempted at `timestamp` (Unix seconds),
    /// and inserts the headers.
    fn sign(&self, id: &str, timestamp: u64, body: &[u8], headers: &mut HeaderMap);
}

/// Signs nothing: `signing: {scheme: none}`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unsigned;

impl Signer for Unsigned {
    fn sign(&self, _id: &str, _timestamp: u64, _body: &[u8], _headers: &mut HeaderMap) {}
}
