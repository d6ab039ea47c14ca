//! What must hold of every request that the core orders, and what follows
//! from its answer.

use std::time::Duration;

use hooklane_engine::{AttemptEnd, AttemptResult, Directive, Now, SendOrder};
use hooklane_model::lane::{Lane, lane_of};

use super::Oracle;
use super::limits::capped;
use crate::catalog::View;
use crate::failure::Rule;
use crate::plan::Plan;
use crate::process::{Process, Request};

/// How much older than its maxAge a delivery may be when it is sent: it was
/// younger when it was queued.
const EXPIRY_SLACK: Duration = Duration::from_secs(30);

/// A hold for which deliveries may expire.
const LONG_HOLD: Duration = Duration::from_secs(600);

/// What an answer asks for, by the outcome rules of the design: written here
/// once more, so that a fault in the engine's table does not hide itself.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Meaning {
    /// It counts against the schedule.
    pub(super) spends: bool,
    /// The whole endpoint is left alone for so long.
    pub(super) hold: Option<Duration>,
}

pub(super) fn meaning(end: &AttemptEnd, outdated: bool) -> Meaning {
    let spends = Meaning {
        spends: true,
        hold: None,
    };
    let hold = |hold, spends| Meaning {
        spends,
        hold: Some(hold),
    };
    match *end {
        AttemptEnd::Failed { .. } => spends,
        AttemptEnd::Response {
            status: 200..=299, ..
        } => Meaning::default(),
        // "Never again" is about the spec that was asked.
        AttemptEnd::Response {
            directive: Some(Directive::Disable),
            ..
        }
        | AttemptEnd::Response {
            directive: None,
            status: 410,
            ..
        } if outdated => spends,
        AttemptEnd::Response {
            directive: Some(_), ..
        }
        | AttemptEnd::Response { status: 410, .. }
        | AttemptEnd::NotStarted => Meaning::default(),
        AttemptEnd::Response {
            status: 429,
            retry_after,
            ..
        } => hold(retry_after.unwrap_or(Duration::from_secs(60)), false),
        AttemptEnd::Response {
            status: 503,
            retry_after: Some(wait),
            ..
        } => hold(wait, true),
        AttemptEnd::Response { .. } => spends,
        AttemptEnd::Blocked { .. } => hold(Duration::from_secs(15), false),
    }
}

impl Oracle {
    /// The core ordered a request.
    pub(crate) fn ordered(
        &mut self,
        process: &Process,
        plan: &Plan,
        (now, lane): (Now, Lane),
        order: &SendOrder,
    ) {
        let uid = order.target.endpoint;
        let id = order.target.delivery;
        let mut fail = |rule, what: String| self.broken(rule, (Some(id), Some(uid)), what);
        if now.mono >= process.lease_until {
            fail(
                Rule::Lease,
                format!("the lease ended at {:?}", process.lease_until),
            );
        }
        if !process.lanes.contains_key(&lane) {
            fail(Rule::GivenUp, format!("lane {lane} is not owned any more"));
        }
        if order.target.due > process.wall_seen {
            let early = order.target.due.since(now.wall);
            fail(Rule::Due, format!("{early:?} before its due time"));
        }
        let spec = &order.endpoint.spec;
        let age = now.wall.since(order.envelope.envelope.first_seen);
        if !plan.faults.wall && age > spec.retry.max_age + EXPIRY_SLACK {
            fail(
                Rule::Age,
                format!("{age:?} old, and maxAge is {:?}", spec.retry.max_age),
            );
        }
        let view = process.view.get(&uid);
        let known = view.and_then(|view| view.endpoint.as_ref());
        if order.endpoint.uid() != uid || lane_of(uid, plan.lanes) != lane {
            fail(Rule::Target, "sent with another endpoint's spec".to_owned());
        }
        match known {
            None => fail(Rule::Target, "the endpoint is gone".to_owned()),
            Some(known) if known.meta.generation != order.endpoint.meta.generation => {
                fail(Rule::Target, "sent with an older spec".to_owned());
            }
            Some(_) if view.is_some_and(View::is_disabled) => {
                fail(Rule::Target, "the endpoint is disabled".to_owned());
            }
            Some(known) if known.spec.paused => {
                fail(Rule::Pause, "a person paused the endpoint".to_owned());
            }
            Some(_) if view.is_some_and(View::is_unverified) => {
                fail(Rule::Consent, "its receiver has not agreed".to_owned());
            }
            Some(_) => {}
        }
        if let Some(until) = self.holds.get(&(process.who, uid)).copied()
            && now.mono < until
        {
            let early = until.since(now.mono);
            let what = format!("{early:?} before the end of its hold");
            self.broken(Rule::Hold, (Some(id), Some(uid)), what);
        }
        let open = process
            .requests
            .values()
            .filter(|r| r.target.endpoint == uid && process.owns(r.lane, r.epoch))
            .count();
        let number = process.next_request + 1;
        self.breaker_allows(process.who, (uid, number), (now.mono, open));
        self.attempt_follows(now, order);
        self.shares(process, plan, order);
        self.tenant_shares(process, plan, (now.mono, lane), order);
    }

    /// The attempt's number and time follow from the answers so far.
    fn attempt_follows(&mut self, now: Now, order: &SendOrder) {
        let uid = order.target.endpoint;
        let id = order.target.delivery;
        let Some(life) = self.lives.get(&id) else {
            return;
        };
        let (attempt, spent) = (order.target.attempt, life.spent);
        let surely = life.surely_spent;
        let (not_before, received) = (life.not_before, life.received);
        // After a fault an earlier attempt may come again, never a later one.
        if attempt > spent + 1 || (self.calm && attempt < surely + 1) {
            let what = format!("attempt {attempt} after {surely} to {spent} that failed");
            self.broken(Rule::Attempts, (Some(id), Some(uid)), what);
        }
        if attempt > order.endpoint.spec.retry.attempts_max() {
            let what = format!("attempt {attempt} is more than its schedule has");
            self.broken(Rule::Attempts, (Some(id), Some(uid)), what);
        }
        if self.calm && now.mono < not_before {
            let what = format!("{:?} before its retry is due", not_before.since(now.mono));
            self.broken(Rule::Due, (Some(id), Some(uid)), what);
        }
        if self.calm && received > 0 {
            let what = "sent again without a fault, and the receiver has it".to_owned();
            self.broken(Rule::Repeat, (Some(id), Some(uid)), what);
        }
    }

    /// Slots, and nobody more than its share of them. The order is not among
    /// the process's requests yet.
    fn shares(&mut self, process: &Process, plan: &Plan, order: &SendOrder) {
        let uid = order.target.endpoint;
        let worker = process.worker_of(lane_of(uid, plan.lanes));
        let slots = plan.limits.slots;
        let (mut all, mut own) = (1, 1);
        for request in process.requests.values().filter(|r| r.worker == worker) {
            // What an earlier claim left on the wire is not counted any more.
            if process.owns(request.lane, request.epoch) {
                all += 1;
                own += u32::from(request.target.endpoint == uid);
            }
        }
        if all > slots {
            let what = format!("{all} requests open, and {slots} slots");
            self.broken(Rule::Slots, (None, Some(uid)), what);
        }
        let share = order
            .endpoint
            .spec
            .max_concurrency
            .min((slots / 10).max(30));
        if own > share {
            let what = format!("{own} requests of one endpoint open, and its share is {share}");
            self.broken(Rule::Share, (None, Some(uid)), what);
        }
    }

    /// A receiver answers a request, whoever hears of it.
    pub(crate) fn received(&mut self, request: &Request, end: &AttemptEnd) {
        self.requests += 1;
        if let AttemptEnd::Response {
            status: 200..=299, ..
        } = end
            && let Some(life) = self.lives.get_mut(&request.target.delivery)
        {
            life.received += 1;
        }
    }

    /// The core is told of an answer.
    pub(crate) fn answered(
        &mut self,
        process: &Process,
        now: Now,
        (request, number, inert): (&Request, u64, bool),
        result: &AttemptResult,
    ) {
        let uid = request.target.endpoint;
        let generation = process.view.get(&uid).and_then(View::generation);
        let outdated = generation.is_some_and(|known| known != request.generation);
        let meaning = meaning(&result.end, outdated);
        let policy = process
            .view
            .get(&uid)
            .and_then(|view| view.endpoint.as_ref())
            .map(|endpoint| endpoint.spec.retry.clone());
        if inert {
            self.breaker_hears_late(process.who, uid, &result.end);
        } else if !outdated {
            let heard = (&result.end, now.mono);
            self.breaker_hears(process, (request, number), heard);
        }
        if meaning.hold.is_some_and(|wait| wait > LONG_HOLD) {
            // Whether it holds or not is not always sure, see below.
            self.long_holds.insert(uid);
        }
        if let (Some(wait), Some(policy)) = (meaning.hold, policy) {
            // A delivery that had its last attempt ends, and holds nothing,
            // unless its endpoint's breaker is open.
            let last = meaning.spends && request.target.attempt >= policy.attempts_max();
            if !last {
                let until = now.mono.after(capped(wait, policy.max_age));
                let holds = match inert {
                    true => &mut self.late_holds,
                    false => &mut self.holds,
                };
                let hold = holds.entry((process.who, uid)).or_insert(until);
                *hold = (*hold).max(until);
            }
        }
    }
}
