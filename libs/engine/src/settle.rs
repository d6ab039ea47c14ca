//! From the end of an attempt to a settled delivery.

use std::time::Duration;

use hooklane_model::ladder::{Hop, Rung, next_hop};
use hooklane_model::time::UnixMillis;

use crate::delivery::State;
use crate::endpoint::Known;
use crate::intake::work_id;
use crate::{
    Action, AttemptEnd, AttemptEntry, AttemptResult, BuryOrder, Core, DeadReason, DelayOrder,
    DisableOrder, Now, Outcome, ParkReason, Side, StoreError, Stored, Verdict, WorkId, verdict,
};

/// The longest a parked delivery waits before it is looked at again: what
/// bounds recovery while parking is stateless.
const PARK_MAX: Duration = Duration::from_secs(5 * 60);
/// How long a delivery waits whose turn is not known: short at first, for an
/// endpoint that was only busy, and longer each time it comes back in vain.
const PARK_FLOORS: [Duration; 5] = [
    Duration::from_secs(2),
    Duration::from_secs(15),
    Duration::from_secs(60),
    Duration::from_secs(2 * 60),
    Duration::from_secs(4 * 60),
];
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
        if let Some(key) = self.by_uid.get(&uid).copied() {
            let endpoint = &mut self.endpoints[key];
            endpoint.in_flight -= 1;
            endpoint.observe_latency(result.elapsed);
            self.make_ready(key);
        }
        self.deliveries[slot].last = Some(result.clone());
        self.note_result(now, slot, &result.end, out);
        match verdict(&result.end) {
            Verdict::Delivered { disable } => {
                if disable {
                    self.disable(slot, DeadReason::DisabledByReceiver, out);
                }
                self.settling(slot, 1);
                self.attempted(slot, Outcome::Delivered, None, true, out);
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
                self.disable(slot, reason, out);
                self.give_up(slot, reason, out);
                self.replace_queue(now, uid, out);
            }
            Verdict::Again => self.start_again(now, slot, out),
        }
        if let Some(key) = self.by_uid.get(&uid).copied() {
            self.forget_if_idle(now, key);
        }
    }

    /// Lets an attempt's end count for its endpoint's health: not what is our
    /// own fault, and not a receiver that only asks for time.
    fn note_result(&mut self, now: Now, slot: usize, end: &AttemptEnd, out: &mut Vec<Action>) {
        let failed = match end {
            AttemptEnd::Response { status, .. } if (200..300).contains(status) => false,
            AttemptEnd::Response { status: 429, .. }
            | AttemptEnd::NotStarted
            | AttemptEnd::Blocked { .. } => return,
            AttemptEnd::Failed { side: Side::Us, .. } => return,
            AttemptEnd::Response { .. } | AttemptEnd::Failed { .. } => true,
        };
        let delivery = &self.deliveries[slot];
        let lane = delivery.lane;
        if let Some(Known::Configured { endpoint, .. }) = self.known.get(&delivery.target.endpoint)
        {
            let endpoint = endpoint.clone();
            self.note_health(now, lane, &endpoint, failed, out);
        }
    }

    fn start_again(&mut self, now: Now, slot: usize, out: &mut Vec<Action>) {
        let lane = self.deliveries[slot].lane;
        self.no_longer_busy(slot);
        if self.lanes.get(&lane).is_some_and(|s| s.draining.is_some()) {
            return self.park(now, slot, ParkReason::HandOver, Some(now.wall), out);
        }
        self.wait_until(now.mono.after(LEASE_RETRY), slot);
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
        if spends_attempt && made >= policy.attempts_max() {
            return self.give_up(slot, DeadReason::Exhausted, out);
        }
        let max_age = policy.max_age;
        let first_seen = delivery.envelope.envelope.first_seen;
        let wait = wait.min(max_age);
        if let Some(key) = self.by_uid.get(&uid).copied() {
            self.endpoints[key].hold(now.mono.after(wait));
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

    /// Lets a delivery wait for its next attempt: in memory while that keeps
    /// the bound, else on a rung.
    fn wait_for_due(
        &mut self,
        now: Now,
        slot: usize,
        due: UnixMillis,
        parked: Option<ParkReason>,
        out: &mut Vec<Action>,
    ) {
        let delivery = &mut self.deliveries[slot];
        delivery.target.due = due;
        delivery.target.delayed_at = now.wall;
        let age = now.mono.since(delivery.arrived);
        let lane = delivery.lane;
        let draining = self.lanes.get(&lane).is_none_or(|s| s.draining.is_some());
        if !draining && age + due.since(now.wall) <= self.limits.queue_wait {
            self.no_longer_busy(slot);
            self.wait_until(now.mono_at(due), slot);
        } else {
            self.delay(now, slot, parked, out);
        }
    }

    /// Puts a delivery that spent no attempt on a rung of at most five
    /// minutes. `due` is when its turn would be, if that is known.
    pub(crate) fn park(
        &mut self,
        now: Now,
        slot: usize,
        reason: ParkReason,
        due: Option<UnixMillis>,
        out: &mut Vec<Action>,
    ) {
        let spread = 1.0 + 0.2 * self.rng.f64();
        let target = &mut self.deliveries[slot].target;
        let floor = PARK_FLOORS[usize::from(target.spills).min(PARK_FLOORS.len() - 1)];
        // A turn that is known is kept; otherwise the floor grows, with some
        // spread so that what was parked together does not return together.
        let wait = match due {
            Some(due) => due.since(now.wall),
            None => floor.mul_f64(spread),
        };
        let kept = matches!(reason, ParkReason::NotDue | ParkReason::HandOver);
        let wait = if kept { wait } else { wait.min(PARK_MAX) };
        target.due = now.wall.after(wait);
        target.delayed_at = now.wall;
        target.spills = target.spills.saturating_add(1);
        self.delay(now, slot, Some(reason), out);
    }

    fn delay(&mut self, now: Now, slot: usize, parked: Option<ParkReason>, out: &mut Vec<Action>) {
        self.count_away(slot, true);
        self.settling(slot, 1);
        let delivery = &self.deliveries[slot];
        let target = delivery.target;
        let rung = match next_hop(now.wall, target.delayed_at, target.due) {
            Hop::Wait(rung) => rung,
            Hop::Release => Rung::Tail,
        };
        out.push(Action::Delay(DelayOrder {
            work: work_id(slot, delivery.seq),
            rung,
            envelope: delivery.envelope.clone(),
            target,
            parked,
        }));
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
    fn settling(&mut self, slot: usize, records: u8) {
        self.leave(slot);
        let delivery = &mut self.deliveries[slot];
        if !delivery.state.is_busy()
            && let Some(lane) = self.lanes.get_mut(&delivery.lane)
        {
            lane.busy += 1;
        }
        delivery.state = State::Settling(records);
    }

    fn no_longer_busy(&mut self, slot: usize) {
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

    fn disable(&mut self, slot: usize, reason: DeadReason, out: &mut Vec<Action>) {
        let uid = self.deliveries[slot].target.endpoint;
        let Some(Known::Configured { endpoint, disabled }) = self.known.get_mut(&uid) else {
            return;
        };
        if !*disabled {
            // At once here; everybody else learns it from the status topic.
            *disabled = true;
            let reason = if reason == DeadReason::Gone {
                "gone"
            } else {
                "directive"
            };
            out.push(Action::Disable(DisableOrder {
                endpoint: endpoint.clone(),
                reason,
            }));
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
