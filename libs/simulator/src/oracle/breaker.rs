//! The breaker, as far as anybody outside can be sure of it.
//!
//! Ten failures in a row open it whatever came before; from then on single
//! probes find out, a second apart at least, and after a success the way back
//! doubles. That it may have opened earlier, by the ratio of failures, is
//! left to the engine: what is not sure is not judged.

use std::time::Duration;

use hooklane_engine::{AttemptEnd, AttemptEntry, Mono, Outcome, Side};
use hooklane_model::id::EndpointUid;

use super::Oracle;
use super::requests::{Meaning, meaning};
use crate::agenda::Who;
use crate::failure::Rule;
use crate::process::{Process, Request};

/// The shortest time from a probe that failed to the next.
const PROBE_GAP: Duration = Duration::from_secs(1);
/// After so long without an answer the engine may have forgotten.
const FORGOTTEN: Duration = Duration::from_secs(230);
/// Failures after which nobody is surprised that a breaker is open.
const TROUBLE: u32 = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    /// Closed, or open in a way that cannot be told from outside.
    Unsure,
    /// Open since then, and the probe that is on its way.
    Open(Mono, Option<u64>),
    /// Back with so many requests at a time.
    Ramp(usize),
}

/// What one owner's breaker of an endpoint must be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Breaking {
    position: Position,
    in_a_row: u32,
    /// Failures ever, under this claim.
    failures: u32,
    last: Mono,
}

impl Breaking {
    /// Whether the endpoint has never failed under this claim: nothing but
    /// its limits can keep it from starting.
    pub(super) fn never_failed(&self) -> bool {
        self.failures == 0
    }
}

fn sign(end: &AttemptEnd) -> Option<bool> {
    match *end {
        AttemptEnd::Response {
            status: 408 | 425 | 500..=599,
            ..
        } => Some(false),
        AttemptEnd::Response { .. } => Some(true),
        AttemptEnd::Failed { side: Side::Us, .. }
        | AttemptEnd::NotStarted
        | AttemptEnd::Blocked { .. } => None,
        AttemptEnd::Failed { .. } => Some(false),
    }
}

impl Oracle {
    /// A request is ordered, while so many of the endpoint are open.
    pub(super) fn breaker_allows(
        &mut self,
        who: Who,
        (uid, number): (EndpointUid, u64),
        (now, open): (Mono, usize),
    ) {
        let Some(breaking) = self.breaking.get_mut(&(who, uid)) else {
            return;
        };
        if now.since(breaking.last) >= FORGOTTEN {
            breaking.position = Position::Unsure;
            breaking.in_a_row = 0;
        }
        let wrong = match breaking.position {
            Position::Unsure => None,
            Position::Open(since, None) => {
                let gap = now.since(since);
                breaking.position = Position::Open(since, Some(number));
                (gap < PROBE_GAP && since > Mono(0))
                    .then(|| format!("a probe {gap:?} after the last failed"))
            }
            Position::Open(_, Some(_)) => Some("a second request while a probe is open".to_owned()),
            Position::Ramp(most) => {
                (open >= most).then(|| format!("{open} open, and it comes back with {most}"))
            }
        };
        if let Some(what) = wrong {
            self.broken(Rule::Breaker, (None, Some(uid)), what);
        }
    }

    /// The owner is told of an answer.
    pub(super) fn breaker_hears(
        &mut self,
        process: &Process,
        (request, number): (&Request, u64),
        (end, now): (&AttemptEnd, Mono),
    ) {
        let uid = request.target.endpoint;
        let view = process.view.get(&uid);
        let Some(endpoint) = view.and_then(|view| view.endpoint.as_ref()) else {
            // It is deleted, and its breaker hears of what was on its way.
            return self.breaker_hears_late(process.who, uid, end);
        };
        let Some(policy) = endpoint.spec.breaker else {
            return;
        };
        let slots = endpoint.spec.max_concurrency.min(30);
        let breaking = self.breaking.entry((process.who, uid)).or_insert(Breaking {
            position: Position::Unsure,
            in_a_row: 0,
            failures: 0,
            last: now,
        });
        if now.since(breaking.last) >= FORGOTTEN {
            breaking.position = Position::Unsure;
            breaking.in_a_row = 0;
        }
        breaking.last = now;
        let well = sign(end);
        if well == Some(false) {
            breaking.failures += 1;
        }
        breaking.position = match (breaking.position, well) {
            (Position::Unsure, Some(true)) => {
                breaking.in_a_row = 0;
                Position::Unsure
            }
            (Position::Unsure, Some(false)) => {
                breaking.in_a_row += 1;
                if breaking.in_a_row >= policy.failures {
                    // It may have been open before: a probe may come at once.
                    Position::Open(Mono(0), None)
                } else {
                    Position::Unsure
                }
            }
            (Position::Open(_, Some(probe)), well) if probe == number => match well {
                Some(true) => Position::Ramp(1),
                Some(false) => Position::Open(now, None),
                None => Position::Open(Mono(0), None),
            },
            // Some probe of which nothing was known has come through.
            (Position::Open(_, None), Some(true)) => {
                breaking.in_a_row = 0;
                Position::Unsure
            }
            (Position::Ramp(most), Some(true)) => {
                let next = most * 2;
                if next < slots as usize {
                    Position::Ramp(next)
                } else {
                    Position::Unsure
                }
            }
            (Position::Ramp(_), Some(false)) => Position::Open(now, None),
            (position, _) => position,
        };
        if breaking.position == Position::Unsure && well == Some(true) {
            breaking.in_a_row = 0;
        }
    }

    /// An answer for a lane that is being given up, or for an endpoint that is
    /// gone: the engine may still count it, but nothing more starts.
    pub(super) fn breaker_hears_late(&mut self, who: Who, uid: EndpointUid, end: &AttemptEnd) {
        let breaking = self.breaking.entry((who, uid)).or_insert(Breaking {
            position: Position::Unsure,
            in_a_row: 0,
            failures: 0,
            last: Mono(0),
        });
        breaking.failures += u32::from(sign(end) == Some(false));
    }

    /// The endpoint's spec has changed: it is tried at once.
    pub(crate) fn breaker_reset(&mut self, who: Who, uid: EndpointUid) {
        if let Some(breaking) = self.breaking.get_mut(&(who, uid)) {
            breaking.position = Position::Unsure;
            breaking.in_a_row = 0;
        }
    }

    /// What the core says became of an attempt must follow from its answer.
    pub(crate) fn entered(
        &mut self,
        process: &Process,
        now: Mono,
        (entry, outdated): (&AttemptEntry, bool),
    ) {
        let uid = entry.target.endpoint;
        let id = entry.target.delivery;
        let end = &entry.result.end;
        let Meaning { spends, hold } = meaning(end, outdated);
        let failures = self
            .breaking
            .get(&(process.who, uid))
            .map_or(0, |breaking| breaking.failures);
        let follows = match entry.outcome {
            Outcome::Delivered => matches!(
                end,
                AttemptEnd::Response {
                    status: 200..=299,
                    ..
                }
            ),
            Outcome::Retry => spends && hold.is_none(),
            Outcome::Held => hold.is_some(),
            Outcome::Parked => sign(end) == Some(false) && failures >= TROUBLE,
            Outcome::Dead | Outcome::NotStarted => true,
        };
        if !follows {
            let what = format!("{:?} after {end:?}", entry.outcome);
            self.broken(Rule::Reason, (Some(id), Some(uid)), what);
        }
        let policy = process
            .view
            .get(&uid)
            .and_then(|view| view.endpoint.as_ref())
            .map(|endpoint| &endpoint.spec.retry);
        let Some(life) = self.lives.get_mut(&id) else {
            return;
        };
        match entry.outcome {
            Outcome::Retry => {
                life.spent += 1;
                life.surely_spent += 1;
                let step = usize::from(entry.target.attempt.max(1)) - 1;
                if let Some(base) = policy.and_then(|policy| policy.schedule.get(step)) {
                    life.not_before = now.after(*base);
                }
            }
            // Whether it was spent depends on the breaker.
            Outcome::Held => life.spent += u16::from(spends),
            _ => {}
        }
    }
}
