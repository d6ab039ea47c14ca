//! The headers that an endpoint adds to its requests, and which it may not.

use super::{Signing, SigningScheme};
use crate::fields::{Fields, Findings};

/// What an endpoint adds to the headers of its requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CustomHeaders {
    /// Name, in lower case, and value; sorted by name.
    pub headers: Vec<(String, String)>,
    /// Instead of the deployment's `user-agent`.
    pub user_agent: Option<String>,
    /// Whether requests say which attempt they are, and of which event.
    pub extra: bool,
}

/// More is refused by common servers together with what else is sent.
const COUNT_MAX: usize = 20;
const BYTES_MAX: usize = 8 << 10;
const USER_AGENT_MAX: usize = 256;

impl CustomHeaders {
    /// Reads `headers`, `userAgent` and `extraHeaders` of an endpoint's spec.
    pub(super) fn read(fields: &mut Fields, signing: &Signing, findings: &mut Findings) -> Self {
        let path = fields.path_of("headers");
        let given = fields.text_map("headers", findings).unwrap_or_default();
        let bytes: usize = given
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        if given.len() > COUNT_MAX || bytes > BYTES_MAX {
            let reason = format!(
                "has {} headers of {bytes} bytes; at most {COUNT_MAX} and {BYTES_MAX} bytes",
                given.len()
            );
            findings.problem(&*path, reason);
        }
        let mut headers: Vec<(String, String)> = Vec::with_capacity(given.len());
        for (text, value) in given {
            let checked = header_name(&text).and_then(|name| {
                if carries_signature(&name, signing) {
                    return Err("carries signatures");
                }
                if headers.iter().any(|(known, _)| *known == name) {
                    return Err("is there twice: upper and lower case are the same");
                }
                check_value(&value).map(|()| name)
            });
            match checked {
                Ok(name) => headers.push((name, value)),
                Err(problem) => findings.problem(format!("{path}.{text:?}"), problem),
            }
        }
        headers.sort();
        let agent_path = fields.path_of("userAgent");
        let user_agent = fields.text("userAgent", findings);
        if let Some(agent) = &user_agent {
            let problem = if agent.len() > USER_AGENT_MAX {
                Err("must not be longer than 256 characters")
            } else {
                check_value(agent)
            };
            if let Err(problem) = problem {
                findings.problem(agent_path, problem);
            }
        }
        Self {
            headers,
            user_agent,
            extra: fields.boolean("extraHeaders", findings).unwrap_or(false),
        }
    }
}

/// A receiver must never find a signature that we did not make.
fn carries_signature(name: &str, signing: &Signing) -> bool {
    SigningScheme::ALL
        .iter()
        .any(|scheme| scheme.default_header() == Some(name))
        || signing.header.as_deref() == Some(name)
}

/// A value that means the same to every server: printable ASCII, no line end,
/// nothing to trim.
pub(super) fn check_value(value: &str) -> Result<(), &'static str> {
    let printable = value.bytes().all(|b| matches!(b, b' '..=b'~'));
    if value.is_empty() || !printable || value.trim() != value {
        return Err("must be printable ASCII without spaces at its ends");
    }
    Ok(())
}

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
    "x-google-metadata-request",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
    "www-authenticate",
];

/// Families of such headers. Among them are those by which cloud metadata
/// services tell a wanted request from a forged one.
const DENIED_PREFIXES: [&str; 8] = [
    "webhook-",
    "ce-",
    "proxy-",
    "sec-",
    "x-forwarded-",
    "x-aliyun-ecs-metadata-token",
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
    if name == "authorization" {
        return Err("carries credentials: give them as `auth`, which keeps them secret");
    }
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
    use serde_json::json;

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

    fn read(spec: serde_json::Value) -> (CustomHeaders, Vec<String>) {
        let mut findings = Findings::default();
        let mut fields = Fields::of(spec, "spec", &mut findings);
        let signing = Signing {
            header: Some("x-acme-signature".into()),
            ..Signing::default()
        };
        let headers = CustomHeaders::read(&mut fields, &signing, &mut findings);
        let problems = findings.problems.iter().map(ToString::to_string);
        (headers, problems.collect())
    }

    #[test]
    fn custom_headers() {
        let (read, problems) = read(json!({
            "headers": {"X-B": "2", "x-a": "1, and more"},
            "userAgent": "acme-hooks/1",
            "extraHeaders": true,
        }));
        assert_eq!(problems, Vec::<String>::new());
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(read.headers, [pair("x-a", "1, and more"), pair("x-b", "2")]);
        assert_eq!(read.user_agent.as_deref(), Some("acme-hooks/1"));
        assert!(read.extra);
    }

    #[test]
    fn custom_headers_that_are_refused() {
        let many: serde_json::Map<_, _> = (0..21).map(|i| (format!("x-{i}"), json!("1"))).collect();
        let cases = [
            (
                json!({"headers": {"Host": "evil"}}),
                "spec.headers.\"Host\": is a header that",
            ),
            (
                json!({"headers": {"X-Hub-Signature-256": "sha256="}}),
                "spec.headers.\"X-Hub-Signature-256\": carries",
            ),
            (
                json!({"headers": {"X-Acme-Signature": "1"}}),
                "spec.headers.\"X-Acme-Signature\": carries",
            ),
            (
                json!({"headers": {"x-a": "1", "X-A": "2"}}),
                "spec.headers.\"x-a\": is there twice",
            ),
            (
                json!({"headers": {"x-a": "1\r\nhost: evil"}}),
                "spec.headers.\"x-a\": must be printable",
            ),
            (
                json!({"headers": {"x-a": "1\0"}}),
                "spec.headers.\"x-a\": must be printable",
            ),
            (
                json!({"headers": {"x-a": "grün"}}),
                "spec.headers.\"x-a\": must be printable",
            ),
            (
                json!({"headers": {"x-a": " 1"}}),
                "spec.headers.\"x-a\": must be printable",
            ),
            (
                json!({"headers": {"x\r\na": "1"}}),
                "spec.headers.\"x\\r\\na\": must be 1 to 128",
            ),
            (json!({"headers": many}), "spec.headers: has 21 headers"),
            (
                json!({"headers": {"x-a": "1".repeat(9000)}}),
                "spec.headers: has 1 headers of 9003 bytes",
            ),
            (
                json!({"userAgent": "a\nb"}),
                "spec.userAgent: must be printable",
            ),
            (
                json!({"userAgent": "a".repeat(257)}),
                "spec.userAgent: must not be longer",
            ),
        ];
        for (spec, expected) in cases {
            let text = spec.to_string();
            let (_, problems) = read(spec);
            assert_eq!(problems.len(), 1, "{text}: {problems:?}");
            assert!(problems[0].starts_with(expected), "{text}: {problems:?}");
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
