//! HMAC-SHA256 of the body alone, without a time: a captured request can be
//! replayed, which is why these schemes are for receivers that know no other.

use super::ToSign;
use super::key::Key;
use super::text::{push_base64, push_hex};

/// `sha256=` and hex.
pub(super) fn hex(what: &ToSign<'_>, key: &Key) -> String {
    let mut text = String::with_capacity(71);
    text.push_str("sha256=");
    push_hex(&mut text, key.hmac(&[what.body]).as_ref());
    text
}

/// Base64 and nothing else.
pub(super) fn base64(what: &ToSign<'_>, key: &Key) -> String {
    let mut text = String::with_capacity(44);
    push_base64(&mut text, key.hmac(&[what.body]).as_ref());
    text
}
