//! `t=<seconds>,v1=<hex>[,v1=<hex>]`: HMAC-SHA256 of `seconds.body`, one `v1`
//! for each valid secret.

use super::ToSign;
use super::key::Key;
use super::text::push_hex;

pub(super) fn signatures<'a>(what: &ToSign<'_>, keys: impl Iterator<Item = &'a Key>) -> String {
    let seconds = what.seconds();
    let mut text = String::with_capacity(81);
    text.push_str("t=");
    seconds.push_to(&mut text);
    for key in keys {
        text.push_str(",v1=");
        let tag = key.hmac(&[seconds.as_bytes(), b".", what.body]);
        push_hex(&mut text, tag.as_ref());
    }
    text
}
