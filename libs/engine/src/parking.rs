//! Waiting for later: in memory while that keeps the bound, else on a rung.

use std::time::Duration;

use hooklane_model::ladder::{Hop, Rung, next_hop};
use hooklane_model::time::UnixMillis;

use crate::intake::work_id;
use crate::{Action, Core, DelayOrder, Now, ParkReason};

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

impl Core {
    /// Lets a delivery wait for its next attempt: in memory while that keeps
    /// the bound, else on a rung.
    pub(crate) fn wait_for_due(
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
        let wait = self.park_wait(now, slot, reason, due);
        let target = &mut self.deliveries[slot].target;
        target.due = now.wall.after(wait);
        target.delayed_at = now.wall;
        target.spills = target.spills.saturating_add(1);
        self.delay(now, slot, Some(reason), out);
    }

    /// How long a delivery is parked.
    fn park_wait(
        &mut self,
        now: Now,
        slot: usize,
        reason: ParkReason,
        due: Option<UnixMillis>,
    ) -> Duration {
        let delivery = &self.deliveries[slot];
        let target = &delivery.target;
        let until = due.map(|due| due.since(now.wall));
        // A turn that is known is kept; otherwise the floor grows, with some
        // spread so that what was parked together does not return together.
        let floor = PARK_FLOORS[usize::from(target.spills).min(PARK_FLOORS.len() - 1)];
        let floor = floor.mul_f64(1.0 + 0.2 * self.rng.f64());
        let behind = self.behind(slot);
        let wait = match (reason, until) {
            (ParkReason::NotDue | ParkReason::HandOver, until) => return until.unwrap_or(floor),
            // The head comes back in time to be the next probe.
            (ParkReason::Breaker, Some(until)) if delivery.probe => until,
            (ParkReason::Breaker | ParkReason::Hold, Some(until)) => until.max(floor) + behind,
            (_, Some(until)) => until,
            (_, None) => floor.max(behind),
        };
        // Beyond the cap the turn cannot be kept: spread what is capped over
        // the second half of it.
        if wait > PARK_MAX {
            PARK_MAX.mul_f64(1.0 - 0.5 * self.rng.f64())
        } else {
            wait
        }
    }

    /// How long what waits in Kafka for the same endpoint, and was seen
    /// before, takes at the endpoint's limits.
    fn behind(&self, slot: usize) -> Duration {
        let delivery = &self.deliveries[slot];
        let Some(key) = self.by_uid.get(&delivery.target.endpoint) else {
            return Duration::ZERO;
        };
        let endpoint = &self.endpoints[*key];
        let Some(interval) = endpoint.interval(&self.limits) else {
            return Duration::ZERO;
        };
        let first_seen = delivery.envelope.envelope.first_seen;
        let older = endpoint.parked.older_than(first_seen) + endpoint.queue.len() as u64;
        interval.saturating_mul(u32::try_from(older).unwrap_or(u32::MAX))
    }

    pub(crate) fn delay(
        &mut self,
        now: Now,
        slot: usize,
        parked: Option<ParkReason>,
        out: &mut Vec<Action>,
    ) {
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
}
