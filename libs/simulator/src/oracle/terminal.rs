//! Why a delivery ends without a 2xx: the reason must be so.

use std::time::Duration;

use hooklane_engine::{AttemptEnd, BuryOrder, DeadReason, Directive, DisableOrder, Now};

use super::Oracle;
use super::requests::meaning;
use crate::broker::VALUE_MAX;
use crate::catalog::{Catalog, View};
use crate::failure::Rule;
use crate::process::Process;

/// The longest wait a retry of these worlds can have.
const RETRY_MAX: Duration = Duration::from_secs(75);
/// From when on a delivery of an endpoint that nobody knows may be given up
/// although the configuration is behind.
const UNKNOWN_MAX_AGE: Duration = Duration::from_secs(3 * 86_400);

impl Oracle {
    /// The core gives a delivery up.
    pub(crate) fn given_up(&mut self, process: &Process, now: Now, order: &BuryOrder) {
        let uid = order.target.endpoint;
        let view = process.view.get(&uid);
        let endpoint = view.and_then(|view| view.endpoint.as_ref());
        let envelope = &order.envelope.envelope;
        let age = now.wall.since(envelope.first_seen);
        let made = order.target.attempt;
        let last = order.last.as_ref().map(|last| &last.end);
        let response = |wanted: u16| matches!(last, Some(AttemptEnd::Response { status, .. }) if *status == wanted);
        let directed = |wanted: Directive| matches!(last, Some(AttemptEnd::Response { directive, .. }) if *directive == Some(wanted));
        let so = match order.reason {
            DeadReason::EndpointUnknown => {
                let behind = envelope.config.offset > Catalog::stamp(process.applied).offset;
                endpoint.is_none() && (!behind || age > UNKNOWN_MAX_AGE)
            }
            DeadReason::EndpointDeleted => endpoint.is_none(),
            DeadReason::EndpointDisabled => view.is_some_and(View::is_disabled),
            DeadReason::Gone => response(410),
            DeadReason::DisabledByReceiver => directed(Directive::Disable),
            DeadReason::Aborted => directed(Directive::Abort),
            DeadReason::Expired => {
                let held = [&self.holds, &self.late_holds].map(|holds| {
                    let until = holds.get(&(process.who, uid));
                    until.map_or(Duration::ZERO, |until| until.since(now.mono))
                });
                let hold = held[0].max(held[1]);
                let asked = last.and_then(|end| meaning(end, false).hold);
                let wait = RETRY_MAX.max(hold).max(asked.unwrap_or_default());
                endpoint.is_some_and(|e| age.saturating_add(wait) > e.spec.retry.max_age)
            }
            DeadReason::Exhausted => endpoint.is_some_and(|e| made >= e.spec.retry.attempts_max()),
            DeadReason::Rejected => made >= 3,
            DeadReason::TooLarge => order.envelope.payload.len() > VALUE_MAX,
        };
        if !so {
            let what = format!(
                "{:?} after {made} attempts, {age:?} old, last {last:?}",
                order.reason
            );
            self.broken(Rule::Reason, (Some(order.target.delivery), Some(uid)), what);
        }
    }

    /// The core found that a receiver does not want to be called.
    pub(crate) fn disabled(&mut self, asked: Option<u64>, order: &DisableOrder) {
        let uid = order.endpoint.uid();
        let generation = order.endpoint.meta.generation;
        if asked != Some(generation) {
            let what = format!("generation {generation} is disabled by an answer to {asked:?}");
            self.broken(Rule::Target, (None, Some(uid)), what);
        }
    }
}
