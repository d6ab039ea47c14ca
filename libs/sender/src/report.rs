//! What one attempt came to.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};

use crate::failure::Failure;
use crate::retry_after::RetryAfter;

/// The HTTP version of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.1, or what a 1.0 server made of it.
    Http1,
    /// HTTP/2.
    Http2,
}

impl Protocol {
    /// The name in metrics and records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http1 => "http1",
            Self::Http2 => "http2",
        }
    }
}

/// What a receiver asks for beyond its status (`webhook-delivery` header).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryDirective {
    /// Disable the endpoint, as with 410.
    Disable,
    /// Give this delivery up; the endpoint is fine.
    Abort,
}

impl DeliveryDirective {
    fn parse(value: &HeaderValue) -> Option<Self> {
        let text = value.as_bytes().trim_ascii();
        if text.eq_ignore_ascii_case(b"disable") {
            Some(Self::Disable)
        } else if text.eq_ignore_ascii_case(b"abort-message") {
            Some(Self::Abort)
        } else {
            None
        }
    }
}

/// A whole response, reduced to what decides the outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code; never 1xx.
    pub status: u16,
    /// `Retry-After`, where it could be read.
    pub retry_after: Option<RetryAfter>,
    /// `webhook-delivery`, where it is one we know.
    pub directive: Option<DeliveryDirective>,
    /// The first bytes of the body, if excerpts are on, and reading it was not
    /// ended by the deadline. Untrusted.
    pub excerpt: Option<Bytes>,
    /// All headers, where they were asked for. Untrusted.
    pub(crate) headers: Option<Box<HeaderMap>>,
}

impl Response {
    pub(crate) fn of_head(status: http::StatusCode, headers: &HeaderMap) -> Self {
        Self {
            status: status.as_u16(),
            retry_after: headers.get(header::RETRY_AFTER).and_then(RetryAfter::parse),
            directive: headers
                .get("webhook-delivery")
                .and_then(DeliveryDirective::parse),
            excerpt: None,
            headers: None,
        }
    }
}

/// Where an attempt's time went. A step that did not happen is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// Name resolution.
    pub dns: Option<Duration>,
    /// TCP connect, all addresses tried.
    pub connect: Option<Duration>,
    /// TLS handshake.
    pub tls: Option<Duration>,
    /// From the hand-over of the request to the response head.
    pub first_byte: Option<Duration>,
    /// The whole attempt.
    pub total: Duration,
}

/// What one attempt came to.
#[derive(Debug)]
pub struct AttemptReport {
    /// The response, whatever its status, or why there is none.
    pub result: Result<Response, Failure>,
    /// Where the time went.
    pub timings: Timings,
    /// Whether the request was handed over to be written. `false` is certain:
    /// the receiver has seen nothing of it.
    pub started: bool,
    /// Whether a connection was used that had served before.
    pub reused: bool,
    /// Whether a stale connection gave the request back unwritten and a fresh
    /// one took it.
    pub replaced_stale: bool,
    /// The version spoken, where it came to that.
    pub protocol: Option<Protocol>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads() {
        let cases = [
            ("disable", Some(DeliveryDirective::Disable)),
            (" Disable ", Some(DeliveryDirective::Disable)),
            ("abort-message", Some(DeliveryDirective::Abort)),
            ("abort", None),
            ("", None),
        ];
        for (text, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert("webhook-delivery", HeaderValue::from_str(text).unwrap());
            headers.insert("retry-after", HeaderValue::from_static("3"));
            let response = Response::of_head(http::StatusCode::GONE, &headers);
            assert_eq!(response.directive, expected, "{text:?}");
            assert_eq!(response.status, 410);
            assert_eq!(
                response.retry_after,
                Some(RetryAfter::Delay(Duration::from_secs(3)))
            );
        }
    }
}
