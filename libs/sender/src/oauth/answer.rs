//! What a token server answered (RFC 6749, 5.1 and 5.2).
//!
//! Nothing of an answer but the token itself goes anywhere: not its text, not
//! its description of an error, and no error of the JSON parser, which repeats
//! what it found.

use std::time::Duration;

use http::HeaderValue;
use serde::Deserialize;
use serde_json::Value;
use zeroize::Zeroizing;

use super::failure::{TokenFailure, TokenReason};
use crate::failure::Failure;
use crate::report::Response;
use crate::retry_after::RetryAfter;

/// Bytes of an answer that are read: four times the longest token.
pub(super) const BODY_MAX: usize = 32 << 10;

/// Servers bound a line of the head by 8 KiB, and the name stands in it, too.
const TOKEN_MAX: usize = 8_000;

/// How long a token is taken to live whose server does not say.
const LIFETIME_UNSAID: Duration = Duration::from_secs(300);
/// However long it is said to live, once a day another one is asked for.
const LIFETIME_MAX: Duration = Duration::from_secs(86_400);

/// A token, as it is used.
pub(super) struct Granted {
    pub(super) header: HeaderValue,
    pub(super) lifetime: Duration,
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    token_type: String,
    #[serde(default)]
    expires_in: Value,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
}

/// What a token request brought.
pub(super) fn granted(result: Result<Response, Failure>) -> Result<Granted, TokenFailure> {
    let response = result.map_err(TokenFailure::of_request)?;
    let body = response.excerpt.as_deref().unwrap_or_default();
    // A date is left alone: wall time does not exist here.
    let wait = match response.retry_after {
        Some(RetryAfter::Delay(wait)) => wait,
        Some(RetryAfter::At(_)) | None => Duration::ZERO,
    };
    let about = (response.status, wait);
    let failed = |reason, detail| Err(TokenFailure::answered(reason, about, detail));
    match response.status {
        200..=299 if response.excerpt.is_none() => {
            failed(TokenReason::Unavailable, "not whole in time")
        }
        200..=299 => match read(body) {
            Ok(granted) => Ok(granted),
            Err(detail) => failed(TokenReason::Invalid, detail),
        },
        300..=399 => failed(TokenReason::Refused, "redirects are not followed"),
        408 | 425 | 429 | 500..=599 => failed(TokenReason::Unavailable, said(body)),
        _ => match said(body) {
            word @ ("server_error" | "temporarily_unavailable") => {
                failed(TokenReason::Unavailable, word)
            }
            word => failed(TokenReason::Refused, word),
        },
    }
}

fn read(body: &[u8]) -> Result<Granted, &'static str> {
    if body.len() > BODY_MAX {
        return Err("longer than 32 KiB");
    }
    let answer: Answer = serde_json::from_slice(body)
        .map_err(|_shows_its_text| "not JSON with access_token and token_type")?;
    let token = Zeroizing::new(answer.access_token);
    if !answer.token_type.eq_ignore_ascii_case("bearer") {
        return Err("another token_type than Bearer");
    }
    let token = token.as_bytes();
    // RFC 6750's b68token and the other characters of RFC 6749's without the
    // space: widely used servers give out tokens with `!` or `|`. None of them
    // ends a header or its value.
    if token.is_empty() || !token.iter().all(u8::is_ascii_graphic) {
        return Err("a token with other characters than visible ASCII");
    }
    if token.len() > TOKEN_MAX {
        return Err("a token longer than 8,000 characters");
    }
    let text = Zeroizing::new([b"Bearer ", token].concat());
    let mut header = HeaderValue::from_bytes(&text).map_err(|_invalid| "a token of no header")?;
    header.set_sensitive(true);
    Ok(Granted {
        header,
        lifetime: lifetime(&answer.expires_in),
    })
}

/// How long a token may be used. Some servers say it as a text; zero, less and
/// nothing at all are in use for "does not expire", and a token that is over
/// earlier than it was thought is refused by the receiver and replaced.
fn lifetime(expires_in: &Value) -> Duration {
    let seconds = match expires_in {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    match seconds {
        Some(seconds) if seconds > 0.0 => {
            Duration::from_secs_f64(seconds.min(LIFETIME_MAX.as_secs_f64()))
        }
        _ => LIFETIME_UNSAID,
    }
}

/// The words of RFC 6749, 4.1.2.1 and 5.2, and of RFC 8707; any other text is
/// the server's own and is not repeated.
const ERRORS: [&str; 10] = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "access_denied",
    "invalid_target",
    "server_error",
    "temporarily_unavailable",
];

fn said(body: &[u8]) -> &'static str {
    let refusal: Option<Refusal> = serde_json::from_slice(body).ok();
    let known = |refusal: Refusal| ERRORS.into_iter().find(|word| *word == refusal.error);
    refusal.and_then(known).unwrap_or("no known error code")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Result<Granted, TokenFailure> {
        granted(Ok(Response {
            status,
            retry_after: None,
            directive: None,
            excerpt: Some(body.to_owned().into()),
            headers: None,
        }))
    }

    fn failure(status: u16, body: &str) -> TokenFailure {
        answer(status, body).map(|_| ()).unwrap_err()
    }

    #[test]
    fn the_example_of_the_rfc_reads() {
        let body = r#"{"access_token":"2YotnFZFEjr1zCsicMWpAA","token_type":"example",
            "expires_in":3600,"example_parameter":"example_value"}"#;
        let granted = answer(200, &body.replace("\"example\"", "\"BEARER\""));
        let granted = granted.map_err(|e| e.to_string()).unwrap();
        assert_eq!(granted.header, "Bearer 2YotnFZFEjr1zCsicMWpAA");
        assert!(granted.header.is_sensitive());
        assert_eq!(granted.lifetime, Duration::from_secs(3_600));
        let other = failure(200, body);
        assert_eq!(other.reason, TokenReason::Invalid);
        assert!(other.to_string().contains("token_type"), "{other}");
    }

    /// The head of an answer counts for receivers; a token stands in the body.
    #[test]
    fn an_answer_whose_body_did_not_come_is_not_called_invalid() {
        let cut = granted(Ok(Response {
            status: 200,
            retry_after: None,
            directive: None,
            headers: None,
            excerpt: None,
        }));
        let failure = cut.map(|_| ()).unwrap_err();
        assert_eq!(failure.reason, TokenReason::Unavailable);
        assert_eq!(
            failure.to_string(),
            "unavailable: not whole in time (status 200)"
        );
        assert_eq!(self::failure(200, "").reason, TokenReason::Invalid);
    }

    #[test]
    fn lifetimes() {
        for (said, seconds) in [
            ("1", 1.0),
            ("3600", 3_600.0),
            ("0.5", 0.5),
            ("\"3599\"", 3_599.0),
            ("\" 60 \"", 60.0),
            ("86401", 86_400.0),
            ("1e300", 86_400.0),
            ("18446744073709551616", 86_400.0),
            ("\"inf\"", 86_400.0),
            ("0", 300.0),
            ("-1", 300.0),
            ("\"-1\"", 300.0),
            ("\"NaN\"", 300.0),
            ("\"soon\"", 300.0),
            ("null", 300.0),
            ("[60]", 300.0),
        ] {
            let body =
                format!(r#"{{"access_token":"x","token_type":"bearer","expires_in":{said}}}"#);
            let granted = answer(200, &body).map_err(|e| e.to_string()).unwrap();
            assert_eq!(granted.lifetime, Duration::from_secs_f64(seconds), "{said}");
        }
        let unsaid = answer(200, r#"{"access_token":"x","token_type":"bearer"}"#);
        assert_eq!(
            unsaid.map_err(|e| e.to_string()).unwrap().lifetime,
            LIFETIME_UNSAID
        );
    }

    #[test]
    fn no_token_can_end_a_header() {
        let token = |text: &str| {
            let text = serde_json::to_string(text).unwrap();
            answer(
                200,
                &format!(r#"{{"access_token":{text},"token_type":"bearer"}}"#),
            )
        };
        for good in ["a.b-c_d~e+f/g==", "00Dx!AQ4", "a|b", &"x".repeat(8_000)] {
            assert!(token(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "hunter2\r\nhost: x",
            "hunter2 x",
            " hunter2",
            "hunter2\0",
            "hünter2",
            "x\x7f",
        ] {
            let failure = token(bad).map(|_| ()).unwrap_err();
            assert_eq!(failure.reason, TokenReason::Invalid, "{bad:?}");
            let said = format!("{failure} {failure:?}");
            assert!(!said.contains("hunter2"), "{said}");
        }
        assert!(token(&"x".repeat(8_001)).is_err());
    }

    #[test]
    fn what_is_no_answer() {
        let long = format!(
            r#"{{"access_token":"hunter2","token_type":"bearer","x":"{}"}}"#,
            "x".repeat(BODY_MAX)
        );
        for body in [
            "",
            "<html>hunter2</html>",
            r#"{"access_token":["hunter2"],"token_type":"bearer"}"#,
            r#"{"access_token":"hunter2"}"#,
            r#"{"token_type":"bearer"}"#,
            r#"{"access_token":"hunter2","token_type":"bearer"} x"#,
            r#"{"access_token":"hunter2","access_token":"hunter3","token_type":"bearer"}"#,
            r#"{"access_token":"hunter2","token_type":"mac"}"#,
            r#"["hunter2"]"#,
            &long,
        ] {
            let failure = failure(200, body);
            assert_eq!(failure.reason, TokenReason::Invalid, "{body}");
            let said = format!("{failure} {failure:?}");
            assert!(!said.contains("hunter"), "{said}");
        }
    }

    #[test]
    fn refusals_and_outages() {
        use TokenReason::{Refused, Unavailable};
        for (status, body, reason, said) in [
            (
                400,
                r#"{"error":"invalid_scope"}"#,
                Refused,
                "refused: invalid_scope (status 400)",
            ),
            (
                401,
                r#"{"error":"invalid_client","error_description":"hunter2"}"#,
                Refused,
                "refused: invalid_client (status 401)",
            ),
            (
                403,
                "hunter2",
                Refused,
                "refused: no known error code (status 403)",
            ),
            (
                400,
                r#"{"error":"hunter2"}"#,
                Refused,
                "refused: no known error code (status 400)",
            ),
            (
                302,
                "",
                Refused,
                "refused: redirects are not followed (status 302)",
            ),
            (
                400,
                r#"{"error":"temporarily_unavailable"}"#,
                Unavailable,
                "unavailable: temporarily_unavailable (status 400)",
            ),
            (
                429,
                "",
                Unavailable,
                "unavailable: no known error code (status 429)",
            ),
            (
                503,
                "",
                Unavailable,
                "unavailable: no known error code (status 503)",
            ),
        ] {
            let failure = failure(status, body);
            assert_eq!(failure.reason, reason, "{status} {body}");
            assert_eq!(failure.to_string(), said);
            assert!(!format!("{failure:?}").contains("hunter2"));
        }
    }
}
