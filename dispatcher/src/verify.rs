//! Asking a receiver for its consent: what the core ordered, as a request, and
//! what came of it.

use hooklane_engine::{Side, VerifyEnd, VerifyOrder};
use hooklane_sender::{Asked, FailureReason, Recipient};

use crate::attempt::{Attempts, wait_of};
use crate::recipients::Unusable;

impl Attempts {
    /// Asks. Dropping the future aborts it.
    pub(crate) async fn verify(&self, recipient: &Recipient, order: &VerifyOrder) -> VerifyEnd {
        let may_start = || self.clocks.mono() < self.lease.until() && order.pass.start();
        let (token, now) = ((self.tokens)(), self.clocks.wall.now());
        let asked = recipient.verify(&self.sender, &token, now, may_start);
        let end = match asked.await {
            Asked::Agrees(per_minute) => VerifyEnd::Consented { per_minute },
            Asked::Refuses(refusal) => VerifyEnd::Failed {
                reason: refusal.reason,
                status: Some(refusal.status),
                side: Side::Receiver,
                retry_after: (refusal.retry_after)
                    .map(|after| wait_of(after, &|| self.clocks.wall.now())),
            },
            Asked::CannotAsk(reason) => cannot_ask(reason),
            Asked::NoToken(reason) => no_answer(reason),
            Asked::NoAnswer(report) => match report.result.map_err(|failure| failure.reason) {
                Err(FailureReason::NotStarted) => VerifyEnd::NotStarted,
                Err(reason) => no_answer(reason),
                // An answer is one.
                Ok(_) => VerifyEnd::NotStarted,
            },
        };
        tracing::debug!(endpoint_id = %order.endpoint.uid(), ?end, "asked for consent");
        end
    }
}

/// There is nothing to ask with.
pub(crate) fn unusable(why: Unusable) -> VerifyEnd {
    match why {
        Unusable::Invalid(reason) | Unusable::Blocked(reason) => cannot_ask(reason),
    }
}

fn cannot_ask(reason: &'static str) -> VerifyEnd {
    VerifyEnd::Failed {
        reason,
        status: None,
        side: Side::Us,
        retry_after: None,
    }
}

/// As tenants may read it.
fn no_answer(reason: FailureReason) -> VerifyEnd {
    let shown = reason.shown();
    VerifyEnd::Failed {
        reason: shown.reason,
        status: None,
        side: match shown.side {
            hooklane_sender::Side::Receiver => Side::Receiver,
            hooklane_sender::Side::Network => Side::Network,
            hooklane_sender::Side::Us => Side::Us,
        },
        retry_after: None,
    }
}

/// 128 random bits, which nobody can guess who does not read them.
pub(crate) fn new_token() -> String {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).expect("the system gives random bytes, or nothing is safe");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_cannot_tell_refused_from_silent_and_forbidden() {
        let forbidden = no_answer(FailureReason::ForbiddenAddress);
        for reason in [
            FailureReason::ConnectRefused,
            FailureReason::ConnectTimeout,
            FailureReason::DnsInternal,
        ] {
            assert_eq!(no_answer(reason), forbidden);
        }
        assert_ne!(no_answer(FailureReason::Tls), forbidden);
    }

    /// A token server is the receiver's, except where it is we who reach
    /// nobody: who is woken for what is blocked could mend nothing.
    #[test]
    fn a_token_that_is_not_given_out_is_no_fault_of_ours() {
        let side = |reason| match no_answer(reason) {
            VerifyEnd::Failed { side, .. } => side,
            other => panic!("{other:?}"),
        };
        for reason in FailureReason::ALL {
            let ours = side(reason) == Side::Us;
            assert!(!(ours && reason.is_lack_of_token()), "{reason}");
        }
        assert_eq!(side(FailureReason::Proxy), Side::Us);
    }

    #[test]
    fn tokens_are_long_and_used_once() {
        let (one, other) = (new_token(), new_token());
        assert_ne!(one, other);
        assert_eq!((one.len(), other.len()), (32, 32));
    }
}
