//! An endpoint: where deliveries go, and how.

mod auth;
mod breaker;
mod format;
mod headers;
mod rate_limit;
mod retry;
mod signing;
mod tls;
mod verification;

use std::time::Duration;

use url::Url;

use self::breaker::{read_breaker, read_disable_after};
use self::format::FORMATS;
use self::rate_limit::read_rate_limit;
use self::retry::read_retry;
use super::Metadata;
use crate::fields::{Fields, Findings};
use crate::id::EndpointUid;
use crate::secret::SecretRef;
use crate::url_rule::{UrlRule, broken_rules, holds_blanks};

pub use self::auth::{Auth, ClientAuthentication, OAuth2, check_credential};
pub use self::breaker::BreakerPolicy;
pub use self::format::PayloadFormat;
pub use self::headers::CustomHeaders;
pub use self::rate_limit::RateLimit;
pub use self::retry::RetryPolicy;
pub use self::signing::{Signing, SigningScheme, SigningSecret, StandardKey, Validity};
pub use self::tls::{ClientCertificate, Tls, TlsVersion};
pub use self::verification::{Fingerprint, Verification};

/// Where deliveries go, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// Name, tenant, uid, generation.
    pub meta: Metadata,
    /// What a person declared.
    pub spec: EndpointSpec,
}

impl Endpoint {
    /// The uid as its type.
    #[must_use]
    pub fn uid(&self) -> EndpointUid {
        EndpointUid(self.meta.uid)
    }
}

/// The spec of an endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointSpec {
    /// Where requests go. Canonical: parsed once, and requests are built from
    /// this form, so that what was checked is what is sent.
    pub url: Url,
    /// Requests started per time; `None` is unlimited.
    pub rate_limit: Option<RateLimit>,
    /// Requests open at a time.
    pub max_concurrency: u32,
    /// From connect to the end of the response body.
    pub timeout: Duration,
    /// Whether first attempts keep the order of a key.
    pub ordering: Ordering,
    /// What an exhausted delivery does to its successors under `ordering: key`.
    pub on_exhausted: OnExhausted,
    /// When to try again, and when to stop.
    pub retry: RetryPolicy,
    /// How requests are signed.
    pub signing: Signing,
    /// When requests stop but for probes; `None` is never.
    pub breaker: Option<BreakerPolicy>,
    /// After how long of nothing but failure it is disabled; `None` is never.
    pub disable_after: Option<Duration>,
    /// What requests carry as their body.
    pub format: PayloadFormat,
    /// What requests carry as headers besides; boxed, for few endpoints have
    /// any.
    pub headers: Option<Box<CustomHeaders>>,
    /// What lets them in at the receiver; boxed, for few endpoints have it.
    pub auth: Option<Box<Auth>>,
    /// What its connections show and accept; boxed, for few endpoints have it.
    pub tls: Option<Box<Tls>>,
    /// How its receiver is asked before anything is delivered.
    pub verification: Verification,
    /// Matched and parked, not sent.
    pub paused: bool,
}

/// Whether first attempts keep the order of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ordering {
    /// As fast as the limits allow.
    None,
    /// Per key, in log order.
    Key,
}

/// What an exhausted delivery does to its successors under `ordering: key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExhausted {
    /// They go on.
    Skip,
    /// They wait until a person decides.
    Block,
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// A request slot is held this long by a receiver that never answers.
const TIMEOUT_MAX: Duration = MINUTE;
const CONCURRENCY_MAX: u64 = 1_000;

const ORDERINGS: [(&str, Ordering); 2] = [("none", Ordering::None), ("key", Ordering::Key)];
const EXHAUSTIONS: [(&str, OnExhausted); 2] =
    [("skip", OnExhausted::Skip), ("block", OnExhausted::Block)];

impl EndpointSpec {
    /// `None` when there is no usable URL; the findings say why.
    pub(super) fn read(mut fields: Fields, findings: &mut Findings) -> Option<Self> {
        let url = read_url(&mut fields, "url", findings);
        let ordering = fields
            .word("ordering", &ORDERINGS, findings)
            .unwrap_or(Ordering::None);
        if ordering == Ordering::Key {
            findings.problem(
                fields.path_of("ordering"),
                "`key` is not available in this release; use none",
            );
        }
        let tls = Tls::read(&mut fields, url.as_ref(), findings).map(Box::new);
        let signing = Signing::read(&mut fields, findings);
        let headers = CustomHeaders::read(&mut fields, &signing, findings);
        let spec = Self {
            url: url.unwrap_or_else(placeholder_url),
            rate_limit: read_rate_limit(&mut fields, findings),
            max_concurrency: small(
                fields.integer("maxConcurrency", (1, CONCURRENCY_MAX), findings),
                8,
            ),
            timeout: fields
                .duration("timeout", (SECOND / 10, TIMEOUT_MAX), findings)
                .unwrap_or(15 * SECOND),
            ordering,
            on_exhausted: fields
                .word("onExhausted", &EXHAUSTIONS, findings)
                .unwrap_or(OnExhausted::Skip),
            retry: read_retry(&mut fields, findings),
            breaker: read_breaker(&mut fields, findings),
            disable_after: read_disable_after(&mut fields, findings),
            format: fields
                .word("format", &FORMATS, findings)
                .unwrap_or_default(),
            auth: Auth::read(&mut fields, (&signing, &headers), findings).map(Box::new),
            headers: (headers != CustomHeaders::default()).then(|| Box::new(headers)),
            signing,
            tls,
            verification: fields
                .word("verification", &Verification::WORDS, findings)
                .unwrap_or_default(),
            paused: fields.boolean("paused", findings).unwrap_or(false),
        };
        fields.finish(findings);
        (spec.url.has_host()).then_some(spec)
    }
}

impl EndpointSpec {
    /// Where secrets stand in the spec, each with the JSON pointer (RFC 6901,
    /// from the spec on) of the object that holds `value`, `valueFrom` or
    /// `sealed`: those that sign, then the one of `auth`, then the key of `tls`.
    #[must_use]
    pub fn secrets(&self) -> Vec<(String, &SecretRef)> {
        let signing = self.signing.secrets.iter().enumerate();
        signing
            .map(|(i, one)| (format!("/signing/secrets/{i}"), &one.secret))
            .chain(self.auth.iter().map(|auth| {
                let (pointer, secret) = auth.secret();
                (pointer.to_owned(), secret)
            }))
            .chain(self.tls.iter().filter_map(|tls| {
                let (pointer, secret) = tls.secret()?;
                Some((pointer.to_owned(), secret))
            }))
            .collect()
    }
}

fn small(number: Option<u64>, default: u32) -> u32 {
    number
        .and_then(|n| u32::try_from(n).ok())
        .unwrap_or(default)
}

/// Stands in for a URL that could not be read, so that the other fields are
/// still checked; it has no host, which marks the spec as unusable.
fn placeholder_url() -> Url {
    Url::parse("none:none").expect("a constant URL")
}

/// Reads what requests are made to; `None` if it is no such URL.
fn read_url(fields: &mut Fields, field: &'static str, findings: &mut Findings) -> Option<Url> {
    let path = fields.path_of(field);
    let text = fields.required_text(field, findings);
    if text.is_empty() {
        return None;
    }
    let url = match Url::parse(&text) {
        Ok(url) => url,
        Err(error) => {
            findings.problem(path, format!("not a URL: {error}"));
            return None;
        }
    };
    let mut problems: Vec<String> = broken_rules(&url).iter().map(ToString::to_string).collect();
    if holds_blanks(&text) {
        problems.push(UrlRule::Blank.to_string());
    }
    let usable = problems.is_empty();
    for problem in problems {
        findings.problem(&*path, problem);
    }
    usable.then_some(url)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn headers(spec: Value) -> Option<Box<CustomHeaders>> {
        let mut findings = Findings::default();
        let fields = Fields::of(spec, "spec", &mut findings);
        let spec = EndpointSpec::read(fields, &mut findings).unwrap();
        assert_eq!(findings.problems.len(), 0, "{:?}", findings.problems);
        spec.headers
    }

    #[test]
    fn headers_are_there_only_where_some_are_declared() {
        let url = "https://erp.example/hooks";
        assert_eq!(headers(json!({"url": url})), None);
        let read = headers(json!({"url": url, "headers": {"X-A": "1"}})).unwrap();
        assert_eq!(read.headers, [("x-a".to_owned(), "1".to_owned())]);
        let read = headers(json!({"url": url, "userAgent": "acme/1"})).unwrap();
        assert_eq!(read.user_agent.as_deref(), Some("acme/1"));
        assert!(
            headers(json!({"url": url, "extraHeaders": true}))
                .unwrap()
                .extra
        );
    }

    /// A million of them are held at once, most with nothing but a URL and
    /// limits: what few endpoints have is boxed.
    #[test]
    fn an_endpoint_takes_no_more_than_416_bytes() {
        assert!(size_of::<Endpoint>() <= 416, "{}", size_of::<Endpoint>());
    }
}
