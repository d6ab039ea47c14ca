//! Why there is no access token.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use crate::failure::{Failure, FailureReason, Phase};

/// Why there is no access token, in detail: for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenReason {
    /// The token request brought no response.
    Request(FailureReason),
    /// The token server can't for now: 408, 425, 429, 5xx, or a 2xx whose body
    /// did not come in time.
    Unavailable,
    /// It won't: another 4xx, or a redirect.
    Refused,
    /// What it answered with a 2xx is no token that could be used.
    Invalid,
}

impl TokenReason {
    /// Every reason, for metrics.
    pub(super) fn all() -> Vec<Self> {
        let requests = FailureReason::ALL.into_iter();
        let requests = requests.filter(|reason| reason.is_of_request());
        [Self::Unavailable, Self::Refused, Self::Invalid]
            .into_iter()
            .chain(requests.map(Self::Request))
            .collect()
    }

    /// The stable name in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request(reason) => reason.as_str(),
            Self::Unavailable => "unavailable",
            Self::Refused => "refused",
            Self::Invalid => "invalid",
        }
    }
}

/// Why there is no access token. Clones share the cause.
#[derive(Clone, Debug)]
pub struct TokenFailure {
    /// The reason.
    pub reason: TokenReason,
    /// What the server said, in words of our own: nothing of its text.
    detail: &'static str,
    status: Option<u16>,
    retry_after: Duration,
    cause: Option<Rc<Failure>>,
}

impl TokenFailure {
    pub(super) fn of_request(failure: Failure) -> Self {
        Self {
            reason: TokenReason::Request(failure.reason),
            detail: "no response",
            status: failure.status,
            retry_after: Duration::ZERO,
            cause: Some(Rc::new(failure)),
        }
    }

    pub(super) fn answered(
        reason: TokenReason,
        (status, retry_after): (u16, Duration),
        detail: &'static str,
    ) -> Self {
        Self {
            reason,
            detail,
            status: Some(status),
            retry_after,
            cause: None,
        }
    }

    /// The attempt's time is over before the token request's is.
    pub(super) fn late() -> Self {
        Self {
            reason: TokenReason::Request(FailureReason::Timeout(Phase::ResponseHeaders)),
            detail: "no time left",
            status: None,
            retry_after: Duration::ZERO,
            cause: None,
        }
    }

    /// Whether it is no more than that: nothing is known of the token server.
    #[must_use]
    pub fn is_late(&self) -> bool {
        self.status.is_none() && self.cause.is_none()
    }

    pub(super) fn retry_after(&self) -> Duration {
        self.retry_after
    }

    /// What an attempt that was not made for it is called.
    #[must_use]
    pub fn attempt_reason(&self) -> FailureReason {
        match self.reason {
            TokenReason::Request(reason) if reason.is_outage_of_ours() => reason,
            // What tenants see as one for deliveries they see as one here;
            // and a name that does not resolve is told to nobody twice.
            TokenReason::Request(reason) if reason.shown().hides_time => {
                FailureReason::TokenUnreachable
            }
            TokenReason::Request(FailureReason::Dns) => FailureReason::TokenUnreachable,
            TokenReason::Request(_) | TokenReason::Unavailable => FailureReason::TokenUnavailable,
            TokenReason::Refused => FailureReason::TokenRefused,
            TokenReason::Invalid => FailureReason::TokenInvalid,
        }
    }

    /// The failure of the request underneath, where there was no response.
    #[must_use]
    pub fn cause(&self) -> Option<&Failure> {
        self.cause.as_deref()
    }
}

impl fmt::Display for TokenFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason.as_str(), self.detail)?;
        match self.status {
            Some(status) => write!(f, " (status {status})"),
            None => Ok(()),
        }
    }
}
