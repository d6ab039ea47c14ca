//! One request: what the core ordered, as HTTP, and what came of it.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hooklane_model::id::EndpointUid;
use hooklane_model::resource::Endpoint;
use hooklane_model::time::{Clock, UnixMillis};
use hooklane_sender::signing::{Signer, Unsigned};
use hooklane_sender::{
    AttemptReport, AttemptRequest, DeliveryDirective, Destination, RetryAfter, Sender,
};
use hooklane_service::clock::Monotonic;
use http::{HeaderName, HeaderValue, header};

use crate::lease::Lease;
use hooklane_engine::{AttemptEnd, AttemptResult, Directive, Mono, SendOrder, Side};

const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");

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

/// What every attempt of a worker shares.
pub(crate) struct Attempts {
    pub(crate) sender: Sender,
    pub(crate) lease: Lease,
    pub(crate) clocks: Clocks,
    pub(crate) signer: Unsigned,
}

/// The connections of a worker's endpoints, by endpoint and generation: a
/// changed URL starts with connections of its own.
#[derive(Default)]
pub(crate) struct Destinations(HashMap<EndpointUid, Used>);

struct Used {
    generation: u64,
    at: Mono,
    destination: Rc<Destination>,
}

/// How long the connections of an endpoint without attempts are remembered;
/// idle ones are closed before that, so this bounds the table, not sockets.
const FORGET_AFTER: Duration = Duration::from_secs(600);

impl Destinations {
    /// The destination of an endpoint as configured now.
    pub(crate) fn of(
        &mut self,
        sender: &Sender,
        endpoint: &Endpoint,
        now: Mono,
    ) -> Result<Rc<Destination>, &'static str> {
        let generation = endpoint.meta.generation;
        let known = self.0.get_mut(&endpoint.uid());
        if let Some(used) = known.filter(|used| used.generation == generation) {
            used.at = now;
            return Ok(used.destination.clone());
        }
        let destination = sender.destination(&endpoint.spec.url).map_err(|error| {
            tracing::warn!(endpoint = %endpoint.uid(), %error, "the endpoint's URL cannot be called");
            "invalid_url"
        })?;
        let used = Used {
            generation,
            at: now,
            destination: destination.clone(),
        };
        self.0.insert(endpoint.uid(), used);
        Ok(destination)
    }

    /// Forgets endpoints that nothing was sent to for long.
    pub(crate) fn forget_unused(&mut self, now: Mono) {
        self.0.retain(|_, used| now.since(used.at) < FORGET_AFTER);
    }

    /// Lets an endpoint's connections go.
    pub(crate) fn forget(&mut self, endpoint: EndpointUid) {
        self.0.remove(&endpoint);
    }
}

impl Attempts {
    /// Makes the attempt. Dropping the future aborts it.
    pub(crate) async fn make(
        &self,
        destination: &Rc<Destination>,
        order: &SendOrder,
    ) -> AttemptResult {
        let started_at = self.clocks.wall.now();
        let request = self.request(destination, order, started_at);
        let may_start = || self.clocks.mono() < self.lease.until();
        let report = self.sender.attempt(destination, request, may_start).await;
        let elapsed = report.timings.total;
        AttemptResult {
            started_at,
            elapsed,
            end: end_of(&report, self.clocks.wall.now()),
        }
    }

    fn request(
        &self,
        destination: &Destination,
        order: &SendOrder,
        now: UnixMillis,
    ) -> AttemptRequest {
        let id = order.target.delivery.to_string();
        let event = &order.envelope.envelope.event;
        let body = order.envelope.payload.clone();
        let mut headers = destination.headers();
        let timestamp = now.0 / 1_000;
        let plain = "an id of hex digits is a header value";
        headers.insert(WEBHOOK_ID, HeaderValue::from_str(&id).expect(plain));
        headers.insert(WEBHOOK_TIMESTAMP, HeaderValue::from(timestamp));
        let content_type = event
            .content_type
            .as_deref()
            .and_then(|text| HeaderValue::from_str(text).ok())
            .unwrap_or(HeaderValue::from_static("application/octet-stream"));
        headers.insert(header::CONTENT_TYPE, content_type);
        self.signer.sign(&id, timestamp, &body, &mut headers);
        AttemptRequest {
            headers,
            body,
            timeout: order.endpoint.spec.timeout,
        }
    }
}

/// An attempt that failed before there was anything to send to.
pub(crate) fn invalid(reason: &'static str, now: UnixMillis) -> AttemptResult {
    let end = AttemptEnd::Failed {
        reason,
        side: Side::Us,
    };
    AttemptResult {
        started_at: now,
        elapsed: Duration::ZERO,
        end,
    }
}

fn end_of(report: &AttemptReport, now: UnixMillis) -> AttemptEnd {
    match &report.result {
        Ok(response) => AttemptEnd::Response {
            status: response.status,
            retry_after: response.retry_after.map(|after| wait_of(after, now)),
            directive: response.directive.map(|directive| match directive {
                DeliveryDirective::Disable => Directive::Disable,
                DeliveryDirective::Abort => Directive::Abort,
            }),
        },
        Err(failure) if failure.reason == hooklane_sender::FailureReason::NotStarted => {
            AttemptEnd::NotStarted
        }
        Err(failure) => AttemptEnd::Failed {
            reason: failure.reason.as_str(),
            side: match failure.side() {
                hooklane_sender::Side::Receiver => Side::Receiver,
                hooklane_sender::Side::Network => Side::Network,
                hooklane_sender::Side::Us => Side::Us,
            },
        },
    }
}

fn wait_of(after: RetryAfter, now: UnixMillis) -> Duration {
    match after {
        RetryAfter::Delay(wait) => wait,
        RetryAfter::At(at) => at.since(now),
    }
}
