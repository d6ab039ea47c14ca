//! One request: what the core ordered, as HTTP, and what came of it.

mod authorized;

use std::cell::RefCell;
use std::error::Error as _;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hooklane_model::id::EndpointUid;
use hooklane_model::time::{Clock, UnixMillis};
use hooklane_sender::{
    AttemptReport, AttemptRequest, Delivery, DeliveryDirective, Failure, FailureReason, Recipient,
    RetryAfter, Sender,
};
use hooklane_service::clock::Monotonic;
use hooklane_service::logs::RateLimit;

use self::authorized::Authorized;
use crate::lease::Lease;
use crate::recipients::Unusable;
use hooklane_engine::{AttemptEnd, AttemptResult, Directive, Mono, SendOrder, Side};

/// Clocks of a process: wall time for records, monotonic time for waits.
#[derive(Clone)]
pub(crate) struct Clocks {
    /// Wall time.
    pub(crate) wall: Arc<dyn Clock>,
    /// A clock that never goes back and counts suspended time.
    pub(crate) boot: Arc<dyn Monotonic>,
}

impl Clocks {
    pub(crate) fn mono(&self) -> Mono {
        Mono(self.boot.nanos())
    }
}

/// How often operators are told the same.
const SAY_EVERY: Duration = Duration::from_secs(300);

/// What every attempt of a worker shares.
pub(crate) struct Attempts {
    /// Shared with token requests, which outlive the attempt that began them.
    pub(crate) sender: Rc<Sender>,
    pub(crate) lease: Lease,
    pub(crate) clocks: Clocks,
    pub(crate) said: Said,
    /// Makes what a receiver is to give back.
    pub(crate) tokens: fn() -> String,
}

/// What operators have been told lately of attempts: of an endpoint, or of
/// this process where there is none.
pub(crate) struct Said(RefCell<RateLimit<(FailureReason, Option<EndpointUid>)>>);

impl Default for Said {
    fn default() -> Self {
        Self(RefCell::new(RateLimit::new(SAY_EVERY)))
    }
}

impl Attempts {
    /// Makes the attempt. Dropping the future aborts it. `word` is called when
    /// it starts and the core waits for that.
    pub(crate) async fn make(
        &self,
        recipient: &Recipient,
        order: &SendOrder,
        word: impl Fn(),
    ) -> AttemptResult {
        let started_at = self.clocks.wall.now();
        if let Some(tokens) = recipient.tokens() {
            let attempts = self;
            let authorized = Authorized {
                attempts,
                recipient,
                tokens,
                order,
                word,
            };
            // Boxed: few attempts are such, and every task would be larger.
            return Box::pin(authorized.make(started_at)).await;
        }
        let Some(request) = self.prepare(recipient, order, started_at) else {
            return not_made(Unusable::Blocked("no_valid_secret"), started_at);
        };
        let report = self.send(recipient, order, request, &word).await;
        AttemptResult {
            started_at,
            elapsed: report.timings.total,
            end: end_of(&report, || self.clocks.wall.now()),
        }
    }

    /// The attempt's request; `None` if there is no secret to sign it.
    fn prepare(
        &self,
        recipient: &Recipient,
        order: &SendOrder,
        now: UnixMillis,
    ) -> Option<AttemptRequest> {
        let envelope = &order.envelope.envelope;
        let delivery = Delivery {
            id: &order.target.delivery.to_string(),
            attempt: order.target.attempt,
            event: hooklane_sender::Event {
                head: &envelope.event,
                payload: &order.envelope.payload,
                first_seen: envelope.first_seen,
            },
        };
        recipient.request(&delivery, now).ok()
    }

    /// Makes a request, if lease and gate allow.
    async fn send(
        &self,
        recipient: &Recipient,
        order: &SendOrder,
        request: AttemptRequest,
        word: &impl Fn(),
    ) -> AttemptReport {
        let may_start = || {
            let now = self.clocks.mono();
            let may = now < self.lease.until() && order.pass.start(now);
            if may && order.pass.is_waited_for() {
                word();
            }
            may
        };
        let destination = recipient.destination();
        let report = self.sender.attempt(destination, request, may_start).await;
        if let Err(failure) = &report.result {
            self.note(failure, order);
        }
        report
    }

    /// The one place that still has the cause: for the operator, never for
    /// records. Causes carry addresses, but no URL, header or body. What only
    /// an operator can mend is said now and then at a level that is on.
    fn note(&self, failure: &Failure, order: &SendOrder) {
        let reason = failure.reason;
        let endpoint = order.endpoint.uid();
        let mut said = self.said.0.borrow_mut();
        let mut may_say = |about| said.admit((reason, about), Instant::now());
        if reason.is_outage_of_ours() {
            if let Some(left_out) = may_say(None) {
                let cause = causes(failure);
                tracing::warn!(
                    reason = reason.as_str(),
                    left_out,
                    "no request can be made, by no fault of any endpoint{cause}"
                );
            }
        } else if reason == FailureReason::ForbiddenAddress
            && let Some(left_out) = may_say(Some(endpoint))
        {
            let cause = causes(failure);
            tracing::info!(
                endpoint_id = %endpoint,
                left_out,
                "the egress policy keeps an endpoint from being called{cause}"
            );
        }
        if tracing::enabled!(tracing::Level::DEBUG) {
            let cause = causes(failure);
            tracing::debug!(
                endpoint_id = %endpoint,
                delivery_id = %order.target.delivery,
                reason = reason.as_str(),
                "attempt failed{cause}"
            );
        }
    }
}

fn causes(failure: &Failure) -> String {
    let mut cause = String::new();
    let mut next = failure.source();
    while let Some(error) = next {
        cause.push_str(": ");
        cause.push_str(&error.to_string());
        next = error.source();
    }
    cause
}

/// An attempt that ended before there was anything to send.
pub(crate) fn not_made(why: Unusable, now: UnixMillis) -> AttemptResult {
    let end = match why {
        Unusable::Invalid(reason) => AttemptEnd::Failed {
            reason,
            side: Side::Us,
        },
        Unusable::Blocked(reason) => AttemptEnd::Blocked {
            reason,
            side: Side::Us,
        },
    };
    AttemptResult {
        started_at: now,
        elapsed: Duration::ZERO,
        end,
    }
}

/// `now` is asked only where an answer names a date.
fn end_of(report: &AttemptReport, now: impl Fn() -> UnixMillis) -> AttemptEnd {
    match &report.result {
        Ok(response) => AttemptEnd::Response {
            status: response.status,
            retry_after: response.retry_after.map(|after| wait_of(after, &now)),
            directive: response.directive.map(|directive| match directive {
                DeliveryDirective::Disable => Directive::Disable,
                DeliveryDirective::Abort => Directive::Abort,
            }),
        },
        Err(failure) => failed_end(failure.reason),
    }
}

/// An attempt that failed in the sender.
pub(crate) fn failed_end(reason: FailureReason) -> AttemptEnd {
    let side = match reason.side() {
        hooklane_sender::Side::Receiver => Side::Receiver,
        hooklane_sender::Side::Network => Side::Network,
        hooklane_sender::Side::Us => Side::Us,
    };
    let blocks = reason.is_outage_of_ours() || reason.is_lack_of_token();
    match (reason, reason.as_str()) {
        (FailureReason::NotStarted, _) => AttemptEnd::NotStarted,
        (_, reason) if blocks => AttemptEnd::Blocked { reason, side },
        (_, reason) => AttemptEnd::Failed { reason, side },
    }
}

pub(crate) fn wait_of(after: RetryAfter, now: &impl Fn() -> UnixMillis) -> Duration {
    match after {
        RetryAfter::Delay(wait) => wait,
        RetryAfter::At(at) => at.since(now()),
    }
}
