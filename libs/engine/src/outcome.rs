//! What an attempt came to, and what follows from it.

use std::time::Duration;

use hooklane_model::label::LabelValue;
use hooklane_model::time::UnixMillis;

use crate::breaker::Sign;

/// What came of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptResult {
    /// When it started.
    pub started_at: UnixMillis,
    /// From start to the end of the response, or to the failure.
    pub elapsed: Duration,
    /// How it ended.
    pub end: AttemptEnd,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptEnd {
    /// With a response.
    Response {
        /// HTTP status.
        status: u16,
        /// How long the receiver asked to wait, from the end of the attempt.
        retry_after: Option<Duration>,
        /// What the `webhook-delivery` response header asked for.
        directive: Option<Directive>,
    },
    /// Without a usable response.
    Failed {
        /// Stable word for records and metrics.
        reason: &'static str,
        /// Whose fault.
        side: Side,
    },
    /// Not a byte was sent: the lease had run out.
    NotStarted,
    /// No request could be made: something is missing without which no
    /// delivery to this endpoint can be, such as a key for its secrets, or a
    /// token that the receiver's side gives out.
    Blocked {
        /// Stable word for records and metrics.
        reason: &'static str,
        /// Whose fault. Not ours, it counts for the endpoint's health.
        side: Side,
    },
}

/// Whose side a failure is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The receiver's.
    Receiver,
    /// Between us.
    Network,
    /// Ours.
    Us,
}

impl Side {
    /// The word in records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Receiver => "receiver",
            Self::Network => "network",
            Self::Us => "us",
        }
    }
}

/// What the `webhook-delivery` response header asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directive {
    /// Never call this endpoint again.
    Disable,
    /// Never send this delivery again.
    Abort,
}

/// What is decided about a delivery after an attempt; the word in the
/// attempts topic and the label of the attempts metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has it.
    Delivered,
    /// It is tried again.
    Retry,
    /// The endpoint is held, and then it is tried again.
    Held,
    /// It failed while its endpoint fails altogether: it is parked, and has
    /// spent no attempt.
    Parked,
    /// It is given up.
    Dead,
    /// It was not sent, and will be.
    NotStarted,
}

impl LabelValue for Outcome {
    const ALL: &'static [Self] = &[
        Self::Delivered,
        Self::Retry,
        Self::Held,
        Self::Parked,
        Self::Dead,
        Self::NotStarted,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Retry => "retry",
            Self::Held => "held",
            Self::Parked => "parked",
            Self::Dead => "dead",
            Self::NotStarted => "not_started",
        }
    }
}

/// Why a delivery ended without a 2xx.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadReason {
    /// The schedule is used up.
    Exhausted,
    /// The receiver refused it (other 4xx, 3xx) as often as such are tried.
    Rejected,
    /// 410.
    Gone,
    /// `webhook-delivery: disable`.
    DisabledByReceiver,
    /// `webhook-delivery: abort-message`.
    Aborted,
    /// The endpoint was disabled before this delivery's turn.
    EndpointDisabled,
    /// The endpoint was deleted before this delivery's turn.
    EndpointDeleted,
    /// No endpoint of this uid is configured.
    EndpointUnknown,
    /// Older than maxAge, or would be before its next attempt.
    Expired,
    /// Too large for the topic it had to wait in.
    TooLarge,
}

impl LabelValue for DeadReason {
    const ALL: &'static [Self] = &[
        Self::Exhausted,
        Self::Rejected,
        Self::Gone,
        Self::DisabledByReceiver,
        Self::Aborted,
        Self::EndpointDisabled,
        Self::EndpointDeleted,
        Self::EndpointUnknown,
        Self::Expired,
        Self::TooLarge,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Exhausted => "exhausted",
            Self::Rejected => "rejected",
            Self::Gone => "gone",
            Self::DisabledByReceiver => "disabled_by_receiver",
            Self::Aborted => "aborted",
            Self::EndpointDisabled => "endpoint_disabled",
            Self::EndpointDeleted => "endpoint_deleted",
            Self::EndpointUnknown => "endpoint_unknown",
            Self::Expired => "expired",
            Self::TooLarge => "too_large",
        }
    }
}

impl DeadReason {
    /// The kind of terminal record: an expired delivery is not the
    /// receiver's refusal.
    #[must_use]
    pub fn kind(self) -> &'static str {
        if self == Self::Expired {
            "expired"
        } else {
            "dead"
        }
    }
}

/// Why a delivery waits in Kafka without an attempt being spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParkReason {
    /// Its turn at the endpoint's limits is further away than the queue wait.
    Backlog,
    /// The endpoint asked to be left alone (429, Retry-After).
    Hold,
    /// The endpoint fails altogether: its breaker is open.
    Breaker,
    /// Too many of the endpoint's retries fail.
    RetryBudget,
    /// A person paused the endpoint.
    Paused,
    /// The endpoint's receiver has not agreed to be called.
    Unverified,
    /// It came before its due time.
    NotDue,
    /// Its endpoint is not known yet.
    UnknownEndpoint,
    /// Its tenant holds its share of the memory, or memory is short and its
    /// endpoint is slow.
    Memory,
    /// Its lane went to another owner before its turn, or its answer.
    HandOver,
}

impl LabelValue for ParkReason {
    const ALL: &'static [Self] = &[
        Self::Backlog,
        Self::Hold,
        Self::Breaker,
        Self::RetryBudget,
        Self::Paused,
        Self::Unverified,
        Self::NotDue,
        Self::UnknownEndpoint,
        Self::Memory,
        Self::HandOver,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Backlog => "backlog",
            Self::Hold => "hold",
            Self::Breaker => "breaker",
            Self::RetryBudget => "retry_budget",
            Self::Paused => "paused",
            Self::Unverified => "unverified",
            Self::NotDue => "not_due",
            Self::UnknownEndpoint => "unknown_endpoint",
            Self::Memory => "memory",
            Self::HandOver => "hand_over",
        }
    }
}

/// What the outcome rules say of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Done.
    Delivered {
        /// The receiver has it, and wants no more.
        disable: bool,
    },
    /// Try again by the schedule, at most so many attempts in all.
    Retry {
        /// Further limit on attempts, beside the schedule's own.
        attempts_max: u16,
    },
    /// Leave the whole endpoint alone for this long, then try again.
    Hold {
        /// How long.
        wait: Duration,
        /// Whether the attempt counts against the schedule.
        spends_attempt: bool,
    },
    /// Give the delivery up.
    Dead(DeadReason),
    /// Give the delivery up and call the endpoint no more.
    Disable(DeadReason),
    /// Nothing was sent: start it again when the lease allows.
    Again,
}

/// Attempts that a refusal gets which more attempts will hardly change: the
/// receiver may be in the middle of a deployment.
const REFUSED_ATTEMPTS: u16 = 3;

/// How long a 429 without Retry-After holds the endpoint.
const HOLD_DEFAULT: Duration = Duration::from_secs(60);

/// How long an endpoint waits that we cannot make requests for: soon enough
/// after somebody mended it, and few records while nobody has.
const BLOCKED_HOLD: Duration = Duration::from_secs(15);

/// What an attempt's end says about its endpoint, whatever becomes of the
/// delivery. A receiver that refuses (4xx) or asks for time (429) is there.
pub(crate) fn sign(end: &AttemptEnd) -> Sign {
    match *end {
        AttemptEnd::Response {
            status: 408 | 425 | 500..=599,
            ..
        } => Sign::Failed,
        AttemptEnd::Response { .. } => Sign::Alive,
        AttemptEnd::NotStarted
        | AttemptEnd::Blocked { .. }
        | AttemptEnd::Failed { side: Side::Us, .. } => Sign::Nothing,
        AttemptEnd::Failed { .. } => Sign::Failed,
    }
}

/// The outcome rules.
#[must_use]
pub fn verdict(end: &AttemptEnd) -> Verdict {
    match *end {
        AttemptEnd::NotStarted => Verdict::Again,
        AttemptEnd::Blocked { .. } => Verdict::Hold {
            wait: BLOCKED_HOLD,
            spends_attempt: false,
        },
        AttemptEnd::Failed { .. } => Verdict::Retry {
            attempts_max: u16::MAX,
        },
        AttemptEnd::Response {
            status: 200..=299,
            directive,
            ..
        } => Verdict::Delivered {
            disable: directive == Some(Directive::Disable),
        },
        AttemptEnd::Response {
            directive: Some(Directive::Disable),
            ..
        } => Verdict::Disable(DeadReason::DisabledByReceiver),
        AttemptEnd::Response {
            directive: Some(Directive::Abort),
            ..
        } => Verdict::Dead(DeadReason::Aborted),
        AttemptEnd::Response {
            status,
            retry_after,
            ..
        } => by_status(status, retry_after),
    }
}

fn by_status(status: u16, retry_after: Option<Duration>) -> Verdict {
    match (status, retry_after) {
        (410, _) => Verdict::Disable(DeadReason::Gone),
        (429, wait) => Verdict::Hold {
            wait: wait.unwrap_or(HOLD_DEFAULT),
            spends_attempt: false,
        },
        (503, Some(wait)) => Verdict::Hold {
            wait,
            spends_attempt: true,
        },
        (408 | 425 | 500..=599, _) => Verdict::Retry {
            attempts_max: u16::MAX,
        },
        _ => Verdict::Retry {
            attempts_max: REFUSED_ATTEMPTS,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outcome_rules() {
        let full = Verdict::Retry {
            attempts_max: u16::MAX,
        };
        let few = Verdict::Retry { attempts_max: 3 };
        let hold = |s, spends_attempt| Verdict::Hold {
            wait: Duration::from_secs(s),
            spends_attempt,
        };
        let delivered = Verdict::Delivered { disable: false };
        let after = Some(Duration::from_secs(7));
        for (status, retry_after, expected) in [
            (200, None, delivered),
            (204, after, delivered),
            (301, None, few),
            (400, None, few),
            (404, after, few),
            (408, None, full),
            (410, None, Verdict::Disable(DeadReason::Gone)),
            (425, None, full),
            (429, None, hold(60, false)),
            (429, after, hold(7, false)),
            (500, after, full),
            (503, None, full),
            (503, after, hold(7, true)),
            (599, None, full),
        ] {
            let end = AttemptEnd::Response {
                status,
                retry_after,
                directive: None,
            };
            assert_eq!(verdict(&end), expected, "{status}");
        }
        let failed = AttemptEnd::Failed {
            reason: "timeout",
            side: Side::Receiver,
        };
        assert_eq!(verdict(&failed), full);
        assert_eq!(verdict(&AttemptEnd::NotStarted), Verdict::Again);
    }

    #[test]
    fn a_directive_counts_before_the_status() {
        let with = |status, directive| {
            verdict(&AttemptEnd::Response {
                status,
                retry_after: None,
                directive: Some(directive),
            })
        };
        assert_eq!(
            with(200, Directive::Disable),
            Verdict::Delivered { disable: true }
        );
        assert_eq!(
            with(500, Directive::Disable),
            Verdict::Disable(DeadReason::DisabledByReceiver)
        );
        assert_eq!(
            with(500, Directive::Abort),
            Verdict::Dead(DeadReason::Aborted)
        );
        assert_eq!(
            with(200, Directive::Abort),
            Verdict::Delivered { disable: false }
        );
    }
}
