//! Access tokens of endpoints, and how they were come by.

use hooklane_sender::oauth::{OK, TokenEvent};
use hooklane_service::metrics::{Counter, Histogram, MetricsError, Registry, buckets};

/// Token requests, and tokens that receivers refused.
pub(crate) struct TokenMetrics {
    requests: Vec<(&'static str, Counter)>,
    duration: Histogram,
    replaced: Counter,
}

impl TokenMetrics {
    pub(crate) fn register(r: &Registry) -> Result<Self, MetricsError> {
        let results = TokenEvent::results();
        let requests = r.counter_each(
            "hooklane_token_requests_total",
            "Requests for access tokens (auth.oauth2), by result: ok, refused (4xx, 3xx), unavailable (5xx, 408, 425, 429, or not whole in time), invalid (2xx and no usable token), or why there was no response.",
            "result",
            &results,
        )?;
        Ok(Self {
            requests: results.into_iter().zip(requests).collect(),
            duration: r.histogram(
                "hooklane_token_request_duration_seconds",
                "Requests for access tokens, from start to the token or the failure.",
                buckets::ATTEMPT_SECONDS,
            )?,
            replaced: r.counter(
                "hooklane_tokens_replaced_total",
                "Access tokens thrown away because a receiver answered 401 to them.",
            )?,
        })
    }

    pub(crate) fn take(&self, event: &TokenEvent<'_>) {
        match event {
            TokenEvent::Asked { took, failure } => {
                let result = failure.map_or(OK, |failure| failure.reason.as_str());
                let of = |(name, _): &&(&str, Counter)| *name == result;
                if let Some((_, counter)) = self.requests.iter().find(of) {
                    counter.inc();
                }
                self.duration.observe_duration(*took);
            }
            TokenEvent::Replaced => self.replaced.inc(),
        }
    }
}
