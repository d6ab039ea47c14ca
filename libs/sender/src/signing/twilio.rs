//! Base64 HMAC-SHA1 of the URL. A form's parameters are appended to what is
//! signed, sorted; any other body is covered by its SHA-256, which is sent in
//! the URL's query as `bodySHA256`.
//!
//! SHA-1, no time, and the URL as the receiver must know it: only for
//! receivers that check nothing else.

use std::borrow::Cow;

use aws_lc_rs::digest::{SHA256, digest};
use url::{Position, Url, form_urlencoded};

use super::ToSign;
use super::key::Key;
use super::text::{push_base64, push_hex};

const FORM: &[u8] = b"application/x-www-form-urlencoded";

/// The signature, and what must be added to the query.
pub(super) fn signature(what: &ToSign<'_>, key: &Key) -> (String, Option<String>) {
    let mut text = String::with_capacity(28);
    let media_type = what.content_type.split(|b| *b == b';').next();
    let is_form = media_type.is_some_and(|it| it.trim_ascii().eq_ignore_ascii_case(FORM));
    if is_form {
        let mut signed = what.url.as_str().as_bytes().to_vec();
        for (name, value) in form_parameters(what.body) {
            signed.extend_from_slice(name.as_bytes());
            signed.extend_from_slice(value.as_bytes());
        }
        push_base64(&mut text, key.hmac(&[&signed]).as_ref());
        return (text, None);
    }
    let mut hash = String::with_capacity(75);
    hash.push_str("bodySHA256=");
    push_hex(&mut hash, digest(&SHA256, what.body).as_ref());
    let separator: &[u8] = match what.url.query() {
        None => b"?",
        Some("") => b"",
        Some(_) => b"&",
    };
    let url = &before_fragment(what.url).as_bytes();
    push_base64(
        &mut text,
        key.hmac(&[url, separator, hash.as_bytes()]).as_ref(),
    );
    (text, Some(hash))
}

fn before_fragment(url: &Url) -> &str {
    &url[..Position::AfterQuery]
}

/// By name, then value, each pair once.
fn form_parameters(body: &[u8]) -> Vec<(Cow<'_, str>, Cow<'_, str>)> {
    let mut parameters: Vec<_> = form_urlencoded::parse(body).collect();
    parameters.sort();
    parameters.dedup();
    parameters
}
