//! Asking a receiver whether it wants to be called.
//!
//! A handshake is that of CloudEvents' HTTP 1.1 Web Hooks: `OPTIONS` to the
//! endpoint's own URL, and consent is a header, never a status. A challenge
//! and a ping are events like any other, in the endpoint's format, signed and
//! with its credentials, so that a receiver checks and reads them as it will
//! check and read deliveries. What a receiver answers is untrusted and goes no
//! further than the word that it comes to.

use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use hooklane_model::envelope::EventHead;
use hooklane_model::resource::Verification;
use hooklane_model::time::UnixMillis;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde::Deserialize;
use serde_json::json;
use subtle::ConstantTimeEq;
use tokio::time::Instant;

use crate::failure::FailureReason;
use crate::payload::Event;
use crate::recipient::{Delivery, Recipient};
use crate::report::{AttemptReport, Response};
use crate::sender::{AttemptRequest, Sender};

pub(crate) const REQUEST_ORIGIN: HeaderName = HeaderName::from_static("webhook-request-origin");
const REQUEST_RATE: HeaderName = HeaderName::from_static("webhook-request-rate");
const ALLOWED_ORIGIN: &str = "webhook-allowed-origin";
const ALLOWED_RATE: &str = "webhook-allowed-rate";

/// The most that is read of an answer to a challenge: many times the longest
/// that can be right.
const ANSWER_MAX: usize = 4 << 10;

/// What came of asking.
#[derive(Debug)]
pub enum Asked {
    /// It agrees, to so many requests a minute; `None` is any number.
    Agrees(Option<NonZeroU32>),
    /// It has answered, and does not agree.
    Refuses(Refusal),
    /// There was no answer, or not a byte was sent.
    NoAnswer(AttemptReport),
    /// There was no token to ask with, and so no request.
    NoToken(FailureReason),
    /// It cannot be asked: something of ours is missing.
    CannotAsk(&'static str),
}

/// An answer that is no consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Stable word for records.
    pub reason: &'static str,
    /// The status it came with.
    pub status: u16,
    /// How long it asked to wait.
    pub retry_after: Option<crate::RetryAfter>,
}

impl Recipient {
    /// Asks the receiver. `token` is random and used once; `may_start` as in
    /// [`Sender::attempt`].
    ///
    /// Cancel safe: as that.
    pub async fn verify(
        &self,
        sender: &Rc<Sender>,
        token: &str,
        now: UnixMillis,
        may_start: impl Fn() -> bool,
    ) -> Asked {
        let (method, keep) = match self.verification {
            Verification::None => return Asked::Agrees(None),
            Verification::Handshake => (Method::OPTIONS, 0),
            Verification::Challenge => (Method::POST, ANSWER_MAX + 1),
            Verification::Ping => (Method::POST, 0),
        };
        let mut request = match self.question(token, now) {
            Ok(request) => request,
            Err(reason) => return Asked::CannotAsk(reason),
        };
        let access = match self.tokens() {
            None => None,
            Some(tokens) => {
                let deadline = Instant::now() + self.timeout;
                match tokens.current(sender, deadline).await {
                    Ok(access) => {
                        // In what is left of the time.
                        request.timeout = deadline.saturating_duration_since(Instant::now());
                        Some((tokens, access))
                    }
                    Err(failure) => return Asked::NoToken(failure.attempt_reason()),
                }
            }
        };
        if let Some((_, access)) = &access {
            let authorization = access.header();
            request.headers.insert(header::AUTHORIZATION, authorization);
        }
        let origin = request.headers.get(REQUEST_ORIGIN).cloned();
        let destination = self.destination();
        let report = sender.ask(destination, request, (method, keep), may_start);
        let report = report.await;
        let Ok(response) = &report.result else {
            return Asked::NoAnswer(report);
        };
        if let Some((tokens, access)) = &access {
            // Refused, it is another one that the next request shows.
            if response.status == 401 {
                let _another = tokens.rejected(access);
            } else {
                access.accepted();
            }
        }
        match self.judge(response, origin.as_ref(), token) {
            Ok(rate) => Asked::Agrees(rate),
            Err(reason) => Asked::Refuses(Refusal {
                reason,
                status: response.status,
                retry_after: response.retry_after,
            }),
        }
    }

    fn question(&self, token: &str, now: UnixMillis) -> Result<AttemptRequest, &'static str> {
        let (kind, payload) = match self.verification {
            Verification::None | Verification::Handshake => return self.handshake(),
            Verification::Challenge => {
                let kind = "hooklane.challenge";
                (kind, json!({"type": kind, "challenge": token}))
            }
            Verification::Ping => ("hooklane.ping", json!({"type": "hooklane.ping"})),
        };
        let id = format!("vrf_{token}");
        let head = EventHead {
            id: id.clone(),
            source: "hooklane".to_owned(),
            event_type: kind.to_owned(),
            content_type: Some("application/json".to_owned()),
            ..EventHead::default()
        };
        let delivery = Delivery {
            id: &id,
            attempt: 1,
            event: Event {
                head: &head,
                payload: &Bytes::from(payload.to_string()),
                first_seen: now,
            },
        };
        let request = self.request(&delivery, now);
        request.map_err(|_none| "no_valid_secret")
    }

    fn handshake(&self) -> Result<AttemptRequest, &'static str> {
        let mut headers = self.headers.clone();
        if !headers.contains_key(REQUEST_ORIGIN) {
            return Err("no_origin");
        }
        headers.remove(header::CONTENT_TYPE);
        if let Some(limit) = self.rate_limit {
            let a_minute = Duration::from_secs(60).as_nanos() / limit.period.as_nanos();
            let a_minute = u64::try_from(a_minute).unwrap_or(u64::MAX).max(1);
            headers.insert(REQUEST_RATE, HeaderValue::from(a_minute));
        }
        Ok(AttemptRequest {
            headers,
            body: Bytes::new(),
            query: None,
            timeout: self.timeout,
        })
    }

    /// Whether an answer is a consent.
    fn judge(
        &self,
        response: &Response,
        origin: Option<&HeaderValue>,
        token: &str,
    ) -> Result<Option<NonZeroU32>, &'static str> {
        if !(200..300).contains(&response.status) {
            return Err("status");
        }
        match self.verification {
            Verification::None | Verification::Ping => Ok(None),
            Verification::Handshake => {
                let none = HeaderMap::new();
                let headers = response.headers.as_deref().unwrap_or(&none);
                allowed_origin(headers, origin)?;
                allowed_rate(headers)
            }
            Verification::Challenge => {
                let body = response.excerpt.as_deref().unwrap_or_default();
                answers(body, token).then_some(None).ok_or("wrong_answer")
            }
        }
    }
}

/// The one value of a header; several say nothing that can be relied on.
fn only<'a>(
    headers: &'a HeaderMap,
    name: &str,
    several: &'static str,
) -> Result<Option<&'a str>, &'static str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next();
    if values.next().is_some() {
        return Err(several);
    }
    let text = value.map(|value| value.to_str().map(str::trim).map_err(|_| several));
    text.transpose()
}

/// DNS names are the same in upper and lower case.
fn allowed_origin(headers: &HeaderMap, origin: Option<&HeaderValue>) -> Result<(), &'static str> {
    let allowed = only(headers, ALLOWED_ORIGIN, "wrong_origin")?.ok_or("no_consent")?;
    let ours = origin.and_then(|origin| origin.to_str().ok());
    let same = ours.is_some_and(|ours| allowed.eq_ignore_ascii_case(ours));
    (allowed == "*" || same).then_some(()).ok_or("wrong_origin")
}

/// Requests a minute; a number beyond any that is kept is none at all.
fn allowed_rate(headers: &HeaderMap) -> Result<Option<NonZeroU32>, &'static str> {
    let wrong = "invalid_rate";
    let Some(text) = only(headers, ALLOWED_RATE, wrong)?.filter(|text| *text != "*") else {
        return Ok(None);
    };
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let zero = text.bytes().all(|b| b == b'0');
    if !digits || zero {
        return Err(wrong);
    }
    let most = text.parse().unwrap_or(u32::MAX);
    Ok(NonZeroU32::new(most))
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    challenge: std::borrow::Cow<'a, str>,
}

/// Whether an answer is the token: as it is, or as `challenge` of a JSON object.
fn answers(body: &[u8], token: &str) -> bool {
    if body.len() > ANSWER_MAX {
        return false;
    }
    let same = |given: &[u8]| bool::from(given.ct_eq(token.as_bytes()));
    let text = body.trim_ascii();
    same(text)
        || serde_json::from_slice::<Answer<'_>>(text)
            .is_ok_and(|answer| same(answer.challenge.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn consent_is_a_header_that_names_us() {
        let ours = HeaderValue::from_static("hooks.acme.example");
        for (pairs, expected) in [
            (&[][..], Err("no_consent")),
            (&[(ALLOWED_ORIGIN, "hooks.acme.example")], Ok(())),
            (&[(ALLOWED_ORIGIN, " Hooks.ACME.example ")], Ok(())),
            (&[(ALLOWED_ORIGIN, "*")], Ok(())),
            (&[(ALLOWED_ORIGIN, "")], Err("wrong_origin")),
            (&[(ALLOWED_ORIGIN, "acme.example")], Err("wrong_origin")),
            (&[(ALLOWED_ORIGIN, "*.acme.example")], Err("wrong_origin")),
            (
                &[(ALLOWED_ORIGIN, "hooks.acme.example, other.example")],
                Err("wrong_origin"),
            ),
            (
                &[(ALLOWED_ORIGIN, "*"), (ALLOWED_ORIGIN, "*")],
                Err("wrong_origin"),
            ),
        ] {
            let found = allowed_origin(&headers(pairs), Some(&ours));
            assert_eq!(found, expected, "{pairs:?}");
        }
    }

    #[test]
    fn a_rate_is_a_positive_number_or_any() {
        let wrong = Err("invalid_rate");
        for (text, expected) in [
            ("*", Ok(None)),
            ("120", Ok(NonZeroU32::new(120))),
            ("0120", Ok(NonZeroU32::new(120))),
            ("99999999999999999999999", Ok(NonZeroU32::new(u32::MAX))),
            ("0", wrong),
            ("000", wrong),
            ("", wrong),
            ("-5", wrong),
            ("+5", wrong),
            ("1.5", wrong),
            ("1e3", wrong),
            ("120/min", wrong),
            ("120, 5", wrong),
        ] {
            assert_eq!(
                allowed_rate(&headers(&[(ALLOWED_RATE, text)])),
                expected,
                "{text:?}"
            );
        }
        assert_eq!(allowed_rate(&HeaderMap::new()), Ok(None));
        let twice = headers(&[(ALLOWED_RATE, "5"), (ALLOWED_RATE, "5")]);
        assert_eq!(allowed_rate(&twice), wrong);
    }

    #[test]
    fn an_answer_is_the_token_and_nothing_else() {
        for right in [
            "tok",
            " tok\r\n",
            r#"{"challenge":"tok"}"#,
            r#" {"ok": true, "challenge": "t\u006fk"} "#,
        ] {
            assert!(answers(right.as_bytes(), "tok"), "{right}");
        }
        let long = format!("{}tok", " ".repeat(ANSWER_MAX));
        for wrong in [
            "",
            "to",
            "token",
            "the token is tok",
            "\"tok\"",
            r#"{"challenge":"other"}"#,
            r#"{"challenge":["tok"]}"#,
            r#"{"data":{"challenge":"tok"}}"#,
            r#"[{"challenge":"tok"}]"#,
            &long,
        ] {
            assert!(!answers(wrong.as_bytes(), "tok"), "{wrong}");
        }
    }
}
