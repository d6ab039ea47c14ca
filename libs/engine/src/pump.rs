//! Starts what the limits allow, endpoint by endpoint in turn, and wakes what
//! has waited.

use std::time::Duration;

use crate::breaker::Admit;
use crate::delivery::State;
use crate::gate::Next;
use crate::intake::work_id;
use crate::timers::Wake;
use crate::{Action, Core, Now, ParkReason, SendOrder, WorkId};

/// How often counts of what waits in Kafka are looked through. Whatever is
/// counted there comes back and is taken out; this is for what was lost or
/// went to another owner.
const SWEEP_EVERY: Duration = Duration::from_secs(3_600);

/// A queue whose head has waited this long waits for its endpoint, not for
/// this process.
pub(crate) const SLOW_AFTER: Duration = Duration::from_secs(1);

/// What became of an endpoint's turn.
enum Turn {
    /// It started a request and may start another.
    Again,
    /// It has nothing to start, or is at its limit; it was armed to wake.
    Rest,
}

impl Core {
    /// Gives every tenant, and of it every ready endpoint, one start in turn
    /// until the slots are taken or nobody is ready.
    pub(crate) fn pump(&mut self, now: Now, out: &mut Vec<Action>) {
        while self.in_flight < self.limits.slots && now.mono < self.lease_until {
            let Some((key, class)) = self.next_ready() else {
                break;
            };
            match self.start_one(now, key, out) {
                Turn::Again => self.make_ready(key),
                Turn::Rest => {
                    self.rests(key, class);
                    // What it waited for its turn with may be gone.
                    self.forget_if_idle(now, key);
                }
            }
        }
    }

    fn start_one(&mut self, now: Now, key: usize, out: &mut Vec<Action>) -> Turn {
        let endpoint = &mut self.endpoints[key];
        let slots = endpoint.slots(&self.limits);
        if endpoint.queue.is_empty() || endpoint.in_flight >= slots {
            // The end of one of its requests makes it ready again.
            return Turn::Rest;
        }
        let admits = endpoint.breaker.admits(now.mono, endpoint.in_flight);
        if admits == Admit::Request && self.puts_off_retry(now, (key, slots), out) {
            return Turn::Again;
        }
        let endpoint = &mut self.endpoints[key];
        let next = match admits {
            // The end of a request makes it ready again.
            Admit::Busy => return Turn::Rest,
            Admit::NotBefore(at) => Next::NotBefore(at),
            _ if endpoint.is_held(now.mono) => Next::NotBefore(endpoint.held_until()),
            Admit::Request | Admit::Probe => endpoint.gate.next(now.mono),
        };
        if next == Next::AfterStart {
            self.limit_waits += 1;
            return Turn::Rest;
        }
        if let Next::NotBefore(at) = next {
            self.limit_waits += 1;
            if endpoint.wake_at.is_none_or(|armed| armed > at) {
                endpoint.wake_at = Some(at);
                self.timers.arm(at, Wake::Endpoint(key));
            }
            return Turn::Rest;
        }
        let slot = endpoint.queue.pop_front().expect("checked above");
        endpoint.in_flight += 1;
        self.ready.began(endpoint.tenant);
        self.in_flight += 1;
        let spec = endpoint.spec.clone();
        let probe = admits == Admit::Probe;
        let pass = endpoint.gate.pass(probe);
        if probe {
            endpoint.breaker.probing();
        }
        let delivery = &mut self.deliveries[slot];
        endpoint.slow = now.mono.since(delivery.arrived) >= SLOW_AFTER;
        let retry = delivery.target.attempt > 1;
        endpoint.retries.started(retry, &self.limits, slots);
        delivery.probe = probe;
        delivery.pass = Some(pass.clone());
        delivery.state = State::InFlight;
        delivery.sent_with = spec.meta.generation;
        if let Some(lane) = self.lanes.get_mut(&delivery.lane) {
            lane.busy += 1;
        }
        out.push(Action::Send(SendOrder {
            work: work_id(slot, delivery.seq),
            endpoint: spec,
            envelope: delivery.envelope.clone(),
            target: delivery.target,
            pass,
            waited: now.mono.since(delivery.arrived),
        }));
        Turn::Again
    }

    /// Parks the head of an endpoint's queue if it is a retry and the endpoint
    /// has failed too many of those lately.
    fn puts_off_retry(
        &mut self,
        now: Now,
        (key, slots): (usize, u32),
        out: &mut Vec<Action>,
    ) -> bool {
        let endpoint = &mut self.endpoints[key];
        let head = endpoint.queue.front();
        let Some(slot) = head.filter(|slot| self.deliveries[*slot].target.attempt > 1) else {
            return false;
        };
        if endpoint.is_held(now.mono) {
            return false;
        }
        let Err(turn) = endpoint.retries.admits(now.mono, slots) else {
            return false;
        };
        endpoint.queue.pop_front();
        let due = Some(now.wall_at(turn));
        self.park(now, slot, ParkReason::RetryBudget, due, out);
        true
    }

    /// A request that the next one waited for has started.
    pub(crate) fn started(&mut self, work: WorkId) {
        let slot = self.live(work);
        let uid = slot.map(|slot| self.deliveries[slot].target.endpoint);
        if let Some(key) = uid.and_then(|uid| self.by_uid.get(&uid)).copied() {
            self.make_ready(key);
        }
    }

    /// Does what the timers that have come due are for.
    pub(crate) fn fire_timers(&mut self, now: Now, out: &mut Vec<Action>) {
        while let Some(wake) = self.timers.pop_due(now.mono) {
            match wake {
                Wake::Work(work) => {
                    let waits = |slot: &usize| self.deliveries[*slot].state.waits();
                    if let Some(slot) = self.live(work).filter(waits) {
                        self.place(now, slot, out);
                    }
                }
                Wake::Endpoint(key) => self.wake_endpoint(now, key),
                Wake::Stale(key) => self.park_stale(now, key, out),
                Wake::Sweep => self.sweep(now),
                // Looked at in every step.
                Wake::Verification => {}
                Wake::Lane(lane) => self.lane_deadline(now, lane, out),
            }
        }
    }

    fn wake_endpoint(&mut self, now: Now, key: usize) {
        let Some(endpoint) = self.endpoints.get_mut(key) else {
            return;
        };
        if endpoint.wake_at.is_some_and(|at| at <= now.mono) {
            endpoint.wake_at = None;
        }
        if endpoint.held && !endpoint.is_held(now.mono) {
            endpoint.held = false;
            self.held -= 1;
        }
        self.make_ready(key);
        self.forget_if_idle(now, key);
    }

    /// Parks what has reached the queue wait at the head of an endpoint's
    /// queue: the endpoint is slower than it was thought to be. And finds out
    /// early that it is.
    fn park_stale(&mut self, now: Now, key: usize, out: &mut Vec<Action>) {
        let wait = self.limits.queue_wait;
        let Some(endpoint) = self.endpoints.get_mut(key) else {
            return;
        };
        endpoint.stale_armed = false;
        let mut stale = Vec::new();
        while let Some(slot) = endpoint.queue.front() {
            let until = self.deliveries[slot].arrived.after(wait);
            if until > now.mono {
                let slow_at = self.deliveries[slot].arrived.after(SLOW_AFTER);
                endpoint.slow |= slow_at <= now.mono;
                let at = if slow_at > now.mono { slow_at } else { until };
                endpoint.stale_armed = true;
                self.timers.arm(at, Wake::Stale(key));
                break;
            }
            endpoint.queue.pop_front();
            stale.push(slot);
        }
        let (reason, from) = endpoint.stands_still(now.mono);
        for slot in stale {
            self.park(now, slot, reason, from.map(|at| now.wall_at(at)), out);
        }
        self.count_queue(key);
        self.forget_if_idle(now, key);
    }

    /// Forgets an endpoint that has no work, as soon as no limit or hold of
    /// it binds any more.
    pub(crate) fn forget_if_idle(&mut self, now: Now, key: usize) {
        let Some(endpoint) = self.endpoints.get_mut(key).filter(|e| e.is_idle()) else {
            return;
        };
        let until = endpoint.binds_until();
        if until > now.mono {
            endpoint.wake_at = Some(until);
            self.timers.arm(until, Wake::Endpoint(key));
            return;
        }
        self.remove_endpoint(key);
    }

    /// Looks through the endpoints whose deliveries wait in Kafka for counts
    /// of what has ended elsewhere, and lets go of those that have none left.
    fn sweep(&mut self, now: Now) {
        self.sweeping = false;
        let away: Vec<usize> = self
            .endpoints
            .iter()
            .filter(|(_, e)| e.has_away())
            .map(|(key, _)| key)
            .collect();
        for key in away {
            self.endpoints[key].forget_ended(now);
            self.arm_sweep(now, key);
            self.forget_if_idle(now, key);
        }
    }

    /// Sees to it that what waits in Kafka is looked through one day.
    pub(crate) fn arm_sweep(&mut self, now: Now, key: usize) {
        if !self.sweeping && self.endpoints[key].has_away() {
            self.sweeping = true;
            self.timers.arm(now.mono.after(SWEEP_EVERY), Wake::Sweep);
        }
    }

    /// The slot of work that is still this work.
    pub(crate) fn live(&self, work: WorkId) -> Option<usize> {
        let slot = work.slot as usize;
        self.deliveries
            .get(slot)
            .filter(|d| d.seq == work.seq)
            .map(|_| slot)
    }
}
