//! Attempts without a usable response, by reason: the operator's view, which
//! tells apart what tenants see as one.

use hooklane_engine::AttemptEnd;
use hooklane_sender::FailureReason;
use hooklane_service::metrics::{Counter, MetricsError, Registry};

/// Reasons that come about before there is a request.
pub(crate) const UNSENDABLE: &[&str] = &[
    "invalid_url",
    "invalid_secret",
    "invalid_header",
    "invalid_tls",
    "no_valid_secret",
    "secret_unavailable",
];
/// A reason that is not listed.
const OTHER: &str = "other";

/// One counter a reason.
pub(crate) struct Failures(Vec<(&'static str, Counter)>);

impl Failures {
    pub(crate) fn register(registry: &Registry) -> Result<Self, MetricsError> {
        let sent = FailureReason::ALL.iter().map(|reason| reason.as_str());
        let reasons: Vec<_> = sent
            .chain(UNSENDABLE.iter().copied())
            .chain([OTHER])
            .collect();
        let counters = registry.counter_each(
            "hooklane_attempt_failures_total",
            "Attempts without a usable response, by reason (docs/formats.md, Failures).",
            "reason",
            &reasons,
        )?;
        Ok(Self(reasons.into_iter().zip(counters).collect()))
    }

    /// How often a reason was counted.
    #[cfg(test)]
    pub(crate) fn counted(&self, reason: &str) -> u64 {
        let found = self.0.iter().find(|(name, _)| *name == reason);
        found.map_or(0, |(_, counter)| counter.get())
    }

    pub(crate) fn count(&self, end: &AttemptEnd) {
        let reason = match end {
            AttemptEnd::Response { .. } => return,
            AttemptEnd::NotStarted => FailureReason::NotStarted.as_str(),
            AttemptEnd::Failed { reason, .. } | AttemptEnd::Blocked { reason, .. } => reason,
        };
        let of = |word| self.0.iter().find(|(name, _)| *name == word);
        if let Some((_, counter)) = of(reason).or_else(|| of(OTHER)) {
            counter.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use hooklane_engine::Side;

    use super::*;

    #[test]
    fn every_failure_is_counted_once() {
        let registry = Registry::new("test");
        let failures = Failures::register(&registry).unwrap();
        let failed = |reason| AttemptEnd::Failed {
            reason,
            side: Side::Receiver,
        };
        for end in [
            failed("connect_refused"),
            failed("connect_refused"),
            failed("forbidden_address"),
            failed("what nobody has listed"),
            AttemptEnd::NotStarted,
            AttemptEnd::Blocked {
                reason: "local",
                side: Side::Us,
            },
            AttemptEnd::Response {
                status: 500,
                retry_after: None,
                directive: None,
            },
        ] {
            failures.count(&end);
        }
        let counted: Vec<_> = failures
            .0
            .iter()
            .map(|(reason, counter)| (*reason, counter.get()))
            .filter(|(_, count)| *count > 0)
            .collect();
        let expected = [
            ("connect_refused", 2),
            ("local", 1),
            ("forbidden_address", 1),
            ("not_started", 1),
            ("other", 1),
        ];
        assert_eq!(counted, expected);
    }
}
