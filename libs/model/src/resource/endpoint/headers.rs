//! Which headers an endpoint may add to its requests.

/// Headers that frame the message, route it, or are set by Hooklane.
const DENIED: [&str; 34] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "metadata",
    "metadata-flavor",
    "range",
    "set-cookie",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "trailers",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
    "authorization",
    "www-authenticate",
];

/// Families of such headers. Among them are those by which cloud metadata
/// services tell a wanted request from a forged one.
const DENIED_PREFIXES: [&str; 7] = [
    "webhook-",
    "ce-",
    "proxy-",
    "sec-",
    "x-forwarded-",
    "x-aws-ec2-metadata-token",
    "x-metadata-",
];

/// Longest name of a header; common servers allow no more of a line.
const NAME_MAX: usize = 128;

/// The name of a header that an endpoint chooses, in lower case.
///
/// # Errors
/// Why it cannot be chosen.
pub(super) fn header_name(text: &str) -> Result<String, &'static str> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if text.is_empty() || text.len() > NAME_MAX || !text.bytes().all(token) {
        return Err("must be 1 to 128 letters, digits and `-_.!#$%&'*+^|~`");
    }
    let name = text.to_ascii_lowercase();
    let denied = DENIED.contains(&name.as_str())
        || DENIED_PREFIXES
            .iter()
            .any(|prefix| name.starts_with(prefix));
    if denied {
        return Err("is a header that frames or routes the request, or that Hooklane sets itself");
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_tokens_in_lower_case() {
        assert_eq!(header_name("X-Acme-Signature").unwrap(), "x-acme-signature");
        for bad in [
            "",
            "x y",
            "x:y",
            "x\r\ny",
            "x\0",
            "überschrift",
            &"x".repeat(129),
        ] {
            assert!(header_name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_frames_routes_or_is_ours_is_denied() {
        for name in [
            "Host",
            "Content-Length",
            "Transfer-Encoding",
            "Connection",
            "TE",
            "Expect",
            "Proxy-Authorization",
            "Webhook-Id",
            "webhook-signature",
            "ce-id",
            "Cookie",
            "X-Forwarded-For",
            "X-Aws-Ec2-Metadata-Token-Ttl-Seconds",
            "Metadata-Flavor",
            "Metadata",
            "User-Agent",
            "Traceparent",
            "Authorization",
            "X-HTTP-Method-Override",
        ] {
            assert!(header_name(name).is_err(), "{name}");
        }
    }
}
