//! An endpoint: where deliveries go, and how.

use std::num::NonZeroU32;
use std::time::Duration;

use url::Url;

use super::Metadata;
use crate::fields::{Fields, Findings};
use crate::id::EndpointUid;

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
    pub signing: SigningScheme,
    /// Matched and parked, not sent.
    pub paused: bool,
}

/// In every window `w`: at most `w / period + burst` requests started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Time per request, rounded up so that the limit is never exceeded.
    pub period: Duration,
    /// Requests that may start at once after a quiet time.
    pub burst: NonZeroU32,
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

/// How requests are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningScheme {
    /// Not at all.
    None,
}

/// When to try again, and when to stop.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    /// Wait after the first, second, ... failed attempt. After the last wait
    /// one more attempt is made.
    pub schedule: Vec<Duration>,
    /// Part of each wait added at random, 0 to 1.
    pub jitter: f64,
    /// From the first sight of the event to giving up.
    pub max_age: Duration,
}

impl RetryPolicy {
    /// The attempts a delivery gets: the first and one after each wait.
    #[must_use]
    pub fn attempts_max(&self) -> u16 {
        u16::try_from(self.schedule.len() + 1).unwrap_or(u16::MAX)
    }
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// The example schedule of Standard Webhooks 1.0, after its immediate attempt.
const DEFAULT_SCHEDULE: [Duration; 10] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3_600),
    Duration::from_secs(5 * 3_600),
    Duration::from_secs(10 * 3_600),
    Duration::from_secs(14 * 3_600),
    Duration::from_secs(20 * 3_600),
    Duration::from_secs(24 * 3_600),
];
/// More waits than anybody schedules by hand; bounds the stored record.
const SCHEDULE_MAX: usize = 50;
/// A request slot is held this long by a receiver that never answers.
const TIMEOUT_MAX: Duration = MINUTE;
/// A longer URL is refused by common servers and proxies.
const URL_MAX: usize = 2_048;
/// The fastest limit the bucket keeps exactly.
const RATE_MAX: f64 = 50_000.0;
const CONCURRENCY_MAX: u64 = 1_000;

const ORDERINGS: [(&str, Ordering); 2] = [("none", Ordering::None), ("key", Ordering::Key)];
const EXHAUSTIONS: [(&str, OnExhausted); 2] =
    [("skip", OnExhausted::Skip), ("block", OnExhausted::Block)];

impl EndpointSpec {
    /// `None` when there is no usable URL; the findings say why.
    pub(super) fn read(mut fields: Fields, findings: &mut Findings) -> Option<Self> {
        let url = read_url(&mut fields, findings);
        let ordering = fields
            .word("ordering", &ORDERINGS, findings)
            .unwrap_or(Ordering::None);
        if ordering == Ordering::Key {
            findings.problem(
                fields.path_of("ordering"),
                "`key` is not available in this release; use none",
            );
        }
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
            signing: read_signing(&mut fields, findings),
            paused: fields.boolean("paused", findings).unwrap_or(false),
        };
        fields.finish(findings);
        (spec.url.has_host()).then_some(spec)
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

fn read_url(fields: &mut Fields, findings: &mut Findings) -> Option<Url> {
    let path = fields.path_of("url");
    let text = fields.required_text("url", findings);
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
    let problems = url_problems(&url, text.len());
    let usable = problems.is_empty();
    for problem in problems {
        findings.problem(&*path, problem);
    }
    usable.then_some(url)
}

/// What can be said about a URL without resolving it. The address it leads to
/// is checked at every connect, whatever was said here.
fn url_problems(url: &Url, length: usize) -> Vec<&'static str> {
    let checks = [
        (
            !matches!(url.scheme(), "https" | "http"),
            "must begin with https:// (or http://)",
        ),
        (!url.has_host(), "must name a host"),
        (
            !url.username().is_empty() || url.password().is_some(),
            "must not hold a user name or password: it would stand in logs",
        ),
        (
            url.fragment().is_some(),
            "must not hold a fragment (#...): it is never sent",
        ),
        (url.port() == Some(0), "must not name port 0"),
        (length > URL_MAX, "must not be longer than 2,048 characters"),
    ];
    checks
        .into_iter()
        .filter(|(wrong, _)| *wrong)
        .map(|(_, reason)| reason)
        .collect()
}

fn read_rate_limit(fields: &mut Fields, findings: &mut Findings) -> Option<RateLimit> {
    let path = fields.path_of("rateLimit");
    let mut object = fields.object("rateLimit", findings)?;
    let mut rates = Vec::new();
    for (field, per) in [
        ("perSecond", SECOND),
        ("perMinute", MINUTE),
        ("perHour", HOUR),
    ] {
        if object.has(field) {
            let max = RATE_MAX * per.as_secs_f64();
            let rate = object.number(field, (1.0 / 3_600.0, max), findings);
            rates.extend(rate.map(|rate| (rate, per)));
        } else {
            let _absent = object.take(field);
        }
    }
    let burst = object.integer("burst", (1, 1_000_000), findings);
    object.finish(findings);
    let [(rate, per)] = rates[..] else {
        findings.problem(path, "give exactly one of perSecond, perMinute, perHour");
        return None;
    };
    let default_burst = rate.ceil().clamp(1.0, RATE_MAX);
    // Whole and within 1 to 50,000: the cast is exact.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped above"
    )]
    let burst = small(burst, default_burst as u32);
    Some(RateLimit {
        period: period(rate, per),
        burst: NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN),
    })
}

/// Time per request in whole nanoseconds, rounded up.
fn period(rate: f64, per: Duration) -> Duration {
    let nanos = (per.as_secs_f64() / rate * 1e9).ceil();
    // The smallest rate is one per 3,600 hours: 1.3e16 ns, far below 2^63.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bounded above"
    )]
    Duration::from_nanos(nanos as u64)
}

fn read_retry(fields: &mut Fields, findings: &mut Findings) -> RetryPolicy {
    let mut policy = RetryPolicy {
        schedule: DEFAULT_SCHEDULE.to_vec(),
        jitter: 0.2,
        max_age: 3 * DAY,
    };
    let Some(mut object) = fields.object("retry", findings) else {
        return policy;
    };
    if let Some(schedule) = object.durations("schedule", (SECOND, DAY), findings) {
        if schedule.len() > SCHEDULE_MAX {
            findings.problem(
                object.path_of("schedule"),
                format!("has {} waits; at most {SCHEDULE_MAX}", schedule.len()),
            );
        }
        policy.schedule = schedule;
    }
    if let Some(jitter) = object.number("jitter", (0.0, 1.0), findings) {
        policy.jitter = jitter;
    }
    if let Some(max_age) = object.duration("maxAge", (SECOND, 14 * DAY), findings) {
        policy.max_age = max_age;
    }
    object.finish(findings);
    policy
}

fn read_signing(fields: &mut Fields, findings: &mut Findings) -> SigningScheme {
    let Some(mut object) = fields.object("signing", findings) else {
        return SigningScheme::None;
    };
    let path = object.path_of("scheme");
    let scheme = object.required_text("scheme", findings);
    if !scheme.is_empty() && scheme != "none" {
        findings.problem(
            path,
            format!("`{scheme}` is not available in this release, which sends unsigned; use none"),
        );
    }
    object.finish(findings);
    SigningScheme::None
}
