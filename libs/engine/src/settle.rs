//! From the end of an attempt to a settled delivery.

use std::time::Duration;

use hooklane_model::time::UnixMillis;

use crate::breaker::Sign;
use crate::delivery::State;
use crate::endpoint::Known;
use crate::intake::work_id;
use crate::outcome::sign;
use crate::timers::Wake;
use crate::{
    Action, AttemptEnd, AttemptEntry, AttemptResult, BuryOrder, Core, DeadReason, DisableOrder,
    Now, Outcome, ParkReason, Side, StoreError, Stored, Verdict, WorkId, verdict,
};

/// How long after a start that the lease forbade it is tried again.
const LEASE_RETRY: Duration = Duration::from_millis(100);

impl Core {
    /// Takes the end of a request.
    pub(crate) fn finished(
        &mut self,
        now: Now,
        work: WorkId,
        result: AttemptResult,
        out: &mut Vec<Action>,
    ) {
        // Work of a lane that was let go is inert: the next owner repeats it.
        let Some(slot) = self.live(work) else { return };
        self.in_flight -= 1;
        let uid = self.deliveries[slot].target.endpoint;
        // A receiver that was asked under an earlier spec speaks of that one:
        // whoever has changed the URL or resumed the endpoint since meant it.
        let current = self.sent_with_current(slot);
        let opened = self.ended(now, slot, &result, current);
        self.deliveries[slot].last = Some(result.clone());
        let given_up = current && self.note_result(now, slot, &result.end, out);
        match verdict(&result.end) {
            _ if given_up => {
                self.disable(slot, "failing", out);
                self.give_up(slot, DeadReason::EndpointDisabled, out);
                self.replace_queue(now, uid, out);
            }
            Verdict::Disable(_) if !current => self.retry(now, slot, u16::MAX, out),
            Verdict::Retry { .. } if self.fails_altogether(slot, &result.end) => {
                self.park_failed(now, slot, opened, out);
            }
            Verdict::Delivered { disable } => {
                let disable = disable && current;
                if disable {
                    self.disable(slot, "directive", out);
                }
                self.settling(slot, 1);
                self.attempted(slot, Outcome::Delivered, None, true, out);
                if disable {
                    self.replace_queue(now, uid, out);
                }
            }
            Verdict::Retry { attempts_max } => self.retry(now, slot, attempts_max, out),
            Verdict::Hold {
                wait,
                spends_attempt,
            } => {
                self.hold(now, slot, wait, spends_attempt, out);
            }
            Verdict::Dead(reason) => self.give_up(slot, reason, out),
            Verdict::Disable(reason) => {
                let word = if reason == DeadReason::Gone {
                    "gone"
                } else {
                    "directive"
                };
                self.disable(slot, word, out);
                self.give_up(slot, reason, out);
                self.replace_queue(now, uid, out);
            }
            Verdict::Again => self.start_again(now, slot, out),
        }
        if let Some(key) = self.by_uid.get(&uid).copied() {
            self.forget_if_idle(now, key);
        }
    }

    /// Lets its endpoint know that a request has ended, and what that says of
    /// its `current` spec. Returns whether its breaker has opened by this.
    fn ended(&mut self, now: Now, slot: usize, result: &AttemptResult, current: bool) -> bool {
        let delivery = &mut self.deliveries[slot];
        let Some(key) = self.by_uid.get(&delivery.target.endpoint).copied() else {
            return false;
        };
        let endpoint = &mut self.endpoints[key];
        let sign = sign(&result.end);
        endpoint.in_flight -= 1;
        self.ready.ended(endpoint.tenant, 1);
        if let Some(pass) = delivery.pass.take() {
            endpoint.gate.ended(&pass, sign != Sign::Nothing);
        }
        endpoint.observe_latency(result.elapsed);
        let was_closed = endpoint.breaker.is_closed();
        let slots = endpoint.slots(&self.limits);
        // An edit has made the breaker anew, and none of the probes before it
        // is its own.
        let says = if current { sign } else { Sign::Nothing };
        if delivery.target.attempt > 1 && says != Sign::Failed {
            endpoint.retries.did_well(slots);
        }
        let says = (says, delivery.probe && current);
        let opened = endpoint.breaker.ended(now.mono, says, slots, &mut self.rng);
        let closed = endpoint.breaker.is_closed();
        if closed != was_closed {
            endpoint.gate.set_probes_only(!closed);
            if closed {
                self.breakers_open -= 1;
            } else {
                self.breakers_open += 1;
            }
        }
        self.make_ready(key);
        opened
    }

    /// Whether a delivery failed because its endpoint does: then it waits for
    /// the endpoint, not for its own next attempt.
    fn fails_altogether(&self, slot: usize, end: &AttemptEnd) -> bool {
        let key = self.by_uid.get(&self.deliveries[slot].target.endpoint);
        let closed = key.is_none_or(|key| self.endpoints[*key].breaker.is_closed());
        !closed && sign(end) == Sign::Failed
    }

    /// Puts a delivery back whose endpoint fails altogether: at the head, so
    /// that it is the next probe, and without an attempt spent.
    fn park_failed(&mut self, now: Now, slot: usize, opened: bool, out: &mut Vec<Action>) {
        let uid = self.deliveries[slot].target.endpoint;
        let key = self.by_uid[&uid];
        let until = self.endpoints[key].breaker.open_until(now.mono);
        let due = now.wall_at(until.unwrap_or(now.mono));
        self.attempted(slot, Outcome::Parked, Some(due), false, out);
        let delivery = &self.deliveries[slot];
        let lane = delivery.lane;
        if self.lanes.get(&lane).is_none_or(|s| s.draining.is_some()) {
            return self.park(now, slot, ParkReason::HandOver, Some(due), out);
        }
        self.no_longer_busy(slot);
        if !opened {
            return self.place(now, slot, out);
        }
        let class = self.deliveries[slot].class;
        self.endpoints[key].queue.push_front(slot, class);
        self.replace_queue(now, uid, out);
    }

    /// Lets an attempt's end count for its endpoint's health: not what is our
    /// own fault, and not a receiver that only asks for time.
    /// Returns whether the endpoint is given up by this.
    fn note_result(
        &mut self,
        now: Now,
        slot: usize,
        end: &AttemptEnd,
        out: &mut Vec<Action>,
    ) -> bool {
        let failed = match end {
            AttemptEnd::Response { status, .. } if (200..300).contains(status) => false,
            AttemptEnd::Response { status: 429, .. } | AttemptEnd::NotStarted => return false,
            AttemptEnd::Blocked { side: Side::Us, .. }
            | AttemptEnd::Failed { side: Side::Us, .. } => return false,
            AttemptEnd::Response { .. }
            | AttemptEnd::Blocked { .. }
            | AttemptEnd::Failed { .. } => true,
        };
        let delivery = &self.deliveries[slot];
        let lane = delivery.lane;
        if let Some(Known::Configured { endpoint, .. }) = self.known.get(&delivery.target.endpoint)
        {
            let endpoint = endpoint.clone();
            return self.note_health(now, lane, &endpoint, failed, out);
        }
        false
    }

    fn start_again(&mut self, now: Now, slot: usize, out: &mut Vec<Action>) {
        let lane = self.deliveries[slot].lane;
        self.no_longer_busy(slot);
        if self.lanes.get(&lane).is_some_and(|s| s.draining.is_some()) {
            return self.park(now, slot, ParkReason::HandOver, Some(now.wall), out);
        }
        // It may have connected for long before its start was refused.
        let again = now.mono.after(LEASE_RETRY);
        if again.since(self.deliveries[slot].arrived) > self.limits.queue_wait {
            return self.park(now, slot, ParkReason::Backlog, None, out);
        }
        self.wait_until(again, slot);
    }

    /// Schedules the next attempt, or gives up.
    fn retry(&mut self, now: Now, slot: usize, attempts_max: u16, out: &mut Vec<Action>) {
        let delivery = &self.deliveries[slot];
        let Some(Known::Configured { endpoint, .. }) = self.known.get(&delivery.target.endpoint)
        else {
            return self.give_up(slot, DeadReason::EndpointDeleted, out);
        };
        let policy = endpoint.spec.retry.clone();
        let made = delivery.target.attempt;
        if made >= policy.attempts_max() {
            return self.give_up(slot, DeadReason::Exhausted, out);
        }
        if made >= attempts_max {
            return self.give_up(slot, DeadReason::Rejected, out);
        }
        let base = policy.schedule[usize::from(made.max(1)) - 1];
        let wait = base + base.mul_f64(policy.jitter * self.rng.f64());
        let first_seen = delivery.envelope.envelope.first_seen;
        let due = now.wall.after(wait).max(self.held_wall(now, slot));
        if due.since(first_seen) > policy.max_age {
            return self.give_up(slot, DeadReason::Expired, out);
        }
        self.attempted(slot, Outcome::Retry, Some(due), false, out);
        let delivery = &mut self.deliveries[slot];
        delivery.target.attempt = made + 1;
        delivery.target.spills = 0;
        self.wait_for_due(now, slot, due, None, out);
    }

    /// Holds the whole endpoint, and with it the delivery that was refused.
    fn hold(
        &mut self,
        now: Now,
        slot: usize,
        wait: Duration,
        spends_attempt: bool,
        out: &mut Vec<Action>,
    ) {
        let delivery = &self.deliveries[slot];
        let uid = delivery.target.endpoint;
        let known = self.known.get(&uid);
        let Some(Known::Configured { endpoint, .. }) = known else {
            return self.give_up(slot, DeadReason::EndpointDeleted, out);
        };
        let policy = &endpoint.spec.retry;
        let made = delivery.target.attempt;
        let closed =
            (self.by_uid.get(&uid)).is_none_or(|key| self.endpoints[*key].breaker.is_closed());
        let spends_attempt = spends_attempt && closed;
        if spends_attempt && made >= policy.attempts_max() {
            return self.give_up(slot, DeadReason::Exhausted, out);
        }
        let max_age = policy.max_age;
        let first_seen = delivery.envelope.envelope.first_seen;
        let wait = wait.min(max_age);
        if let Some(key) = self.by_uid.get(&uid).copied() {
            let until = now.mono.after(wait);
            let endpoint = &mut self.endpoints[key];
            if endpoint.held_until() < until {
                endpoint.hold(until);
                self.held += usize::from(!endpoint.held);
                endpoint.held = true;
                self.timers.arm(until, Wake::Endpoint(key));
            }
        }
        let due = now.wall.after(wait).max(self.held_wall(now, slot));
        if due.since(first_seen) > max_age {
            self.give_up(slot, DeadReason::Expired, out);
        } else {
            self.attempted(slot, Outcome::Held, Some(due), false, out);
            let target = &mut self.deliveries[slot].target;
            target.attempt = if spends_attempt { made + 1 } else { made };
            target.spills = if spends_attempt {
                0
            } else {
                target.spills.saturating_add(1)
            };
            self.wait_for_due(now, slot, due, Some(ParkReason::Hold), out);
        }
        // What is queued behind it and cannot start within the queue wait is
        // parked now, not when its time in memory is up.
        if wait > self.limits.queue_wait {
            self.replace_queue(now, uid, out);
        }
    }

    fn held_wall(&self, now: Now, slot: usize) -> UnixMillis {
        let uid = self.deliveries[slot].target.endpoint;
        let key = self.by_uid.get(&uid);
        key.map_or(now.wall, |key| {
            now.wall_at(self.endpoints[*key].held_until().max(now.mono))
        })
    }

    /// Ends a delivery after an attempt.
    fn give_up(&mut self, slot: usize, reason: DeadReason, out: &mut Vec<Action>) {
        let logged = self.attempted(slot, Outcome::Dead, None, true, out);
        self.write_dead(slot, reason, u8::from(logged), out);
    }

    /// Ends a delivery without an attempt; `target.attempt` is the one it did
    /// not get.
    pub(crate) fn bury(&mut self, slot: usize, reason: DeadReason, out: &mut Vec<Action>) {
        let target = &mut self.deliveries[slot].target;
        target.attempt = target.attempt.saturating_sub(1);
        self.write_dead(slot, reason, 0, out);
    }

    fn write_dead(
        &mut self,
        slot: usize,
        reason: DeadReason,
        other_records: u8,
        out: &mut Vec<Action>,
    ) {
        self.settling(slot, 1 + other_records);
        out.push(Action::Bury(self.bury_order(slot, reason, false)));
    }

    fn bury_order(&self, slot: usize, reason: DeadReason, without_bytes: bool) -> Box<BuryOrder> {
        let delivery = &self.deliveries[slot];
        let endpoint = match self.known.get(&delivery.target.endpoint) {
            Some(Known::Configured { endpoint, .. }) => Some(endpoint.clone()),
            Some(Known::Deleted) | None => None,
        };
        Box::new(BuryOrder {
            work: work_id(slot, delivery.seq),
            endpoint,
            envelope: delivery.envelope.clone(),
            target: delivery.target,
            reason,
            last: delivery.last.clone(),
            without_bytes,
        })
    }

    /// Marks a delivery as decided, with so many records to become durable.
    pub(crate) fn settling(&mut self, slot: usize, records: u8) {
        self.leave(slot);
        let delivery = &mut self.deliveries[slot];
        if !delivery.state.is_busy()
            && let Some(lane) = self.lanes.get_mut(&delivery.lane)
        {
            lane.busy += 1;
        }
        delivery.state = State::Settling(records);
    }

    pub(crate) fn no_longer_busy(&mut self, slot: usize) {
        let delivery = &mut self.deliveries[slot];
        if delivery.state.is_busy()
            && let Some(lane) = self.lanes.get_mut(&delivery.lane)
        {
            lane.busy -= 1;
        }
        delivery.state = State::Timed;
    }

    /// Writes the attempts entry of the attempt just made. Returns whether
    /// there was one to write.
    fn attempted(
        &mut self,
        slot: usize,
        outcome: Outcome,
        next_due: Option<UnixMillis>,
        terminal: bool,
        out: &mut Vec<Action>,
    ) -> bool {
        let delivery = &self.deliveries[slot];
        let key = self.by_uid.get(&delivery.target.endpoint);
        let (Some(result), Some(key)) = (delivery.last.clone(), key) else {
            return false;
        };
        out.push(Action::Attempted(Box::new(AttemptEntry {
            work: work_id(slot, delivery.seq),
            endpoint: self.endpoints[*key].spec.clone(),
            envelope: delivery.envelope.clone(),
            target: delivery.target,
            result,
            outcome,
            next_due,
            terminal,
        })));
        true
    }

    /// Whether a delivery's last request was made with the spec that counts.
    fn sent_with_current(&self, slot: usize) -> bool {
        let delivery = &self.deliveries[slot];
        let known = self.known.get(&delivery.target.endpoint);
        matches!(
            known,
            Some(Known::Configured { endpoint, .. })
                if endpoint.meta.generation == delivery.sent_with
        )
    }

    fn disable(&mut self, slot: usize, reason: &'static str, out: &mut Vec<Action>) {
        let uid = self.deliveries[slot].target.endpoint;
        let Some(Known::Configured {
            endpoint,
            disabled,
            found,
            ..
        }) = self.known.get_mut(&uid)
        else {
            return;
        };
        if !*disabled {
            // At once here; everybody else learns it from the status topic.
            (*disabled, *found) = (true, true);
            out.push(Action::Disable(DisableOrder {
                endpoint: endpoint.clone(),
                reason,
            }));
            self.stop_or_let_go(uid);
        }
    }

    /// Takes the news that a record is durable, or cannot be.
    pub(crate) fn stored(
        &mut self,
        work: WorkId,
        what: Stored,
        result: Result<(), StoreError>,
        out: &mut Vec<Action>,
    ) {
        let Some(slot) = self.live(work) else { return };
        let State::Settling(records) = self.deliveries[slot].state else {
            return;
        };
        if result == Err(StoreError::TooLarge) && what != Stored::Attempt {
            let without_bytes = what == Stored::Dead;
            if what == Stored::Delay {
                self.count_away(slot, false);
            }
            let order = self.bury_order(slot, DeadReason::TooLarge, without_bytes);
            out.push(Action::Bury(order));
            return;
        }
        if records > 1 {
            self.deliveries[slot].state = State::Settling(records - 1);
            return;
        }
        let (lane, offset) = (self.deliveries[slot].lane, self.deliveries[slot].offset);
        self.drop_delivery(slot);
        if let Some(state) = self.lanes.get_mut(&lane) {
            state.busy -= 1;
            state.finished(offset);
        }
        self.release_if_idle(lane, out);
    }
}
