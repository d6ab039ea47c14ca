//! A lane that this process owns.

use std::collections::VecDeque;
use std::time::Duration;

use hooklane_model::lane::Lane;
use hooklane_model::time::UnixMillis;
use hooklane_model::tracker::Tracker;

use crate::dedupe::Dedupe;
use crate::delivery::State;
use crate::timers::Wake;
use crate::{Action, Core, Epoch, Mono, Now, ParkReason};

/// How long records may take to become durable after a draining lane's
/// deadline.
const SETTLE: Duration = Duration::from_secs(1);

/// A lane that this process owns.
#[derive(Debug)]
pub(crate) struct LaneState {
    pub(crate) epoch: Epoch,
    pub(crate) tracker: Tracker,
    pub(crate) dedupe: Dedupe,
    pub(crate) claimed_at: Mono,
    pub(crate) claimed_wall: UnixMillis,
    /// Deliveries in flight or settling: what a revoke waits for.
    pub(crate) busy: u32,
    /// Requests whose answer was not waited for when the lane was given up.
    pub(crate) unanswered: u32,
    /// Set when the lane is being given up.
    pub(crate) draining: Option<Mono>,
    /// When the records that are not settled were read.
    read_at: VecDeque<(i64, Mono)>,
}

impl LaneState {
    /// When the oldest record that is not settled was read.
    pub(crate) fn oldest_since(&self) -> Option<Mono> {
        self.read_at.front().map(|(_, at)| *at)
    }

    /// Notes that a record with `parts` deliveries was read.
    pub(crate) fn opened(&mut self, offset: i64, parts: u32, now: Mono) {
        if let Err(error) = self.tracker.open(offset, parts) {
            // The consumer delivers rising offsets under one claim.
            debug_assert!(false, "{error}");
            return;
        }
        self.read_at.push_back((offset, now));
        self.trim();
    }

    /// Notes that one delivery of the record at `offset` is settled.
    pub(crate) fn finished(&mut self, offset: i64) {
        let known = self.tracker.finish(offset);
        debug_assert!(known.is_ok(), "{known:?}");
        self.trim();
    }

    fn trim(&mut self) {
        let watermark = self.tracker.watermark();
        while self
            .read_at
            .front()
            .is_some_and(|(offset, _)| *offset < watermark)
        {
            self.read_at.pop_front();
        }
    }
}

impl Core {
    pub(crate) fn claim(&mut self, now: Now, lane: Lane, epoch: Epoch, next: i64) {
        // A lane that is assigned again while its former claim still drains
        // starts anew: what is left of that claim becomes inert.
        self.forget_lane(lane);
        self.lanes.insert(
            lane,
            LaneState {
                epoch,
                tracker: Tracker::new(next),
                dedupe: Dedupe::default(),
                claimed_at: now.mono,
                claimed_wall: now.wall,
                busy: 0,
                unanswered: 0,
                draining: None,
                read_at: VecDeque::new(),
            },
        );
        self.verify_lane(lane);
    }

    pub(crate) fn unreadable(&mut self, now: Now, lane: Lane, epoch: Epoch, offset: i64) {
        let claimed = self.lanes.get_mut(&lane).filter(|s| s.epoch == epoch);
        if let Some(state) = claimed.filter(|s| s.draining.is_none()) {
            state.opened(offset, 1, now.mono);
            state.busy += 1;
        }
    }

    pub(crate) fn poisoned(
        &mut self,
        lane: Lane,
        epoch: Epoch,
        offset: i64,
        out: &mut Vec<Action>,
    ) {
        if let Some(state) = self.lanes.get_mut(&lane).filter(|s| s.epoch == epoch) {
            state.busy -= 1;
            state.finished(offset);
        }
        self.release_if_idle(lane, out);
    }

    /// Stops starting anything in the lane. What waits goes to the tail of the
    /// retry ladder, so that the watermark can pass it: dropped, it would be
    /// read again together with everything that was settled behind it.
    pub(crate) fn revoke(&mut self, now: Now, lane: Lane, deadline: Mono, out: &mut Vec<Action>) {
        let Some(state) = self.lanes.get_mut(&lane) else {
            return;
        };
        state.draining = Some(deadline);
        self.hand_over_endpoints(now, lane, out);
        self.stop_verifying(lane);
        self.timers.arm(deadline, Wake::Lane(lane));
        for key in self.endpoints_of(lane) {
            drop(self.endpoints[key].queue.take());
            self.count_queue(key);
        }
        for slot in self.slots_of(lane, |state| !state.is_busy()) {
            let due = self.deliveries[slot].target.due.max(now.wall);
            self.park(now, slot, ParkReason::HandOver, Some(due), out);
        }
        self.release_if_idle(lane, out);
    }

    /// At the deadline, stops waiting for answers: what is on the wire is
    /// handed over like the rest, to be sent again once its request must have
    /// ended. A little later the lane is let go whatever is not durable yet.
    pub(crate) fn lane_deadline(&mut self, now: Now, lane: Lane, out: &mut Vec<Action>) {
        let Some(state) = self.lanes.get(&lane) else {
            return;
        };
        let Some(deadline) = state.draining.filter(|deadline| *deadline <= now.mono) else {
            return;
        };
        if deadline.after(SETTLE) <= now.mono {
            return self.release(lane, out);
        }
        self.timers.arm(deadline.after(SETTLE), Wake::Lane(lane));
        for slot in self.slots_of(lane, |state| state == State::InFlight) {
            self.give_up_waiting(now, slot, out);
        }
        self.release_if_idle(lane, out);
    }

    fn give_up_waiting(&mut self, now: Now, slot: usize, out: &mut Vec<Action>) {
        let delivery = &mut self.deliveries[slot];
        // Its answer, should it still come, is about work that is no more.
        delivery.seq = self.next_seq;
        self.next_seq = self.next_seq.wrapping_add(1);
        let lane = delivery.lane;
        let uid = delivery.target.endpoint;
        self.in_flight -= 1;
        let mut due = now.wall;
        if let Some(key) = self.by_uid.get(&uid) {
            let endpoint = &mut self.endpoints[*key];
            endpoint.in_flight -= 1;
            self.ready.ended(endpoint.tenant, 1);
            // What still connects must not start: it is handed over.
            endpoint.gate.close();
            due = now.wall.after(endpoint.spec.spec.timeout);
        }
        if let Some(state) = self.lanes.get_mut(&lane) {
            state.unanswered += 1;
        }
        self.park(now, slot, ParkReason::HandOver, Some(due), out);
    }

    fn slots_of(&self, lane: Lane, which: impl Fn(State) -> bool) -> Vec<usize> {
        let wanted = self
            .deliveries
            .iter()
            .filter(|(_, d)| d.lane == lane && which(d.state));
        wanted.map(|(slot, _)| slot).collect()
    }

    /// Lets a draining lane go once nothing of it is open.
    pub(crate) fn release_if_idle(&mut self, lane: Lane, out: &mut Vec<Action>) {
        let idle = self
            .lanes
            .get(&lane)
            .is_some_and(|s| s.draining.is_some() && s.busy == 0);
        if idle {
            self.release(lane, out);
        }
    }

    fn release(&mut self, lane: Lane, out: &mut Vec<Action>) {
        let Some(state) = self.lanes.get(&lane) else {
            return;
        };
        let watermark = state.tracker.watermark();
        let abandoned = (state.busy + state.unanswered) as usize;
        self.forget_lane(lane);
        out.push(Action::Released {
            lane,
            watermark,
            abandoned,
        });
    }

    fn forget_lane(&mut self, lane: Lane) {
        if self.lanes.remove(&lane).is_none() {
            return;
        }
        for slot in self.slots_of(lane, |_| true) {
            if self.deliveries[slot].state == State::InFlight {
                self.in_flight -= 1;
            }
            self.drop_delivery(slot);
        }
        self.failing.retain(|_, failing| failing.lane != lane);
        self.stop_verifying(lane);
        for key in self.endpoints_of(lane) {
            self.remove_endpoint(key);
        }
    }

    fn endpoints_of(&self, lane: Lane) -> Vec<usize> {
        let of_lane = self.endpoints.iter().filter(|(_, e)| e.lane == lane);
        of_lane.map(|(key, _)| key).collect()
    }

    /// Takes a delivery out of memory without settling it.
    pub(crate) fn drop_delivery(&mut self, slot: usize) {
        self.leave(slot);
        let delivery = self.deliveries.remove(slot);
        self.bytes -= delivery.cost;
        if let Some(key) = self.by_uid.get(&delivery.target.endpoint).copied() {
            self.forget_if_idle(self.now, key);
        }
    }
}
