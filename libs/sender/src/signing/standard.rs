//! Standard Webhooks 1.0: `v1,` HMAC-SHA256 or `v1a,` ed25519 of
//! `id.timestamp.body`, one for each valid secret, separated by spaces.

use super::ToSign;
use super::key::Key;
use super::text::push_base64;

pub(super) fn signatures<'a>(what: &ToSign<'_>, keys: impl Iterator<Item = &'a Key>) -> String {
    let seconds = what.seconds();
    let parts: [&[u8]; 5] = [
        what.id.as_bytes(),
        b".",
        seconds.as_bytes(),
        b".",
        what.body,
    ];
    // "v1," and 44 characters.
    let mut text = String::with_capacity(47);
    for key in keys {
        if !text.is_empty() {
            text.push(' ');
        }
        match key {
            Key::Hmac(_) => {
                text.push_str("v1,");
                push_base64(&mut text, key.hmac(&parts).as_ref());
            }
            // ed25519 reads its message twice: it must be in one piece.
            Key::Ed25519(pair) => {
                text.push_str("v1a,");
                push_base64(&mut text, pair.sign(&parts.concat()).as_ref());
            }
        }
    }
    text
}
