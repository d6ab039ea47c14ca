//! What becomes of a delivery when its record is read, and when the
//! configuration changes under it.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hooklane_model::catalog::{Change, EndpointStatus};
use hooklane_model::envelope::{ConfigStamp, Envelope, Target};
use hooklane_model::id::EndpointUid;
use hooklane_model::lane::Lane;
use hooklane_model::resource::Endpoint;
use hooklane_model::time::UnixMillis;

use crate::delivery::{Delivery, State};
use crate::endpoint::{EndpointState, Known};
use crate::pump::SLOW_AFTER;
use crate::queue::Class;
use crate::timers::Wake;
use crate::{
    Action, Core, DeadReason, Epoch, Mono, Now, OpenEnvelope, ParkReason, TARGET_BYTES, WorkId,
};

/// How long a delivery waits in memory for its endpoint to become known
/// before it is parked.
const CONFIG_WAIT: Duration = Duration::from_secs(1);
/// How long before its due time a delivery is held in memory instead of
/// being parked again: clocks of scheduler and dispatcher may differ by that.
const EARLY_MAX: Duration = Duration::from_secs(5);
/// maxAge where no endpoint says it: the default of a spec.
const UNKNOWN_MAX_AGE: Duration = Duration::from_secs(3 * 86_400);

impl Core {
    /// Takes in the deliveries of one record.
    pub(crate) fn take_in(
        &mut self,
        now: Now,
        (lane, epoch, offset): (Lane, Epoch, i64),
        envelope: Rc<OpenEnvelope>,
        out: &mut Vec<Action>,
    ) {
        let claimed = self
            .lanes
            .get_mut(&lane)
            .filter(|s| s.epoch == epoch && s.draining.is_none());
        let Some(state) = claimed else { return };
        let targets = &envelope.envelope.targets;
        let parts = u32::try_from(targets.len()).unwrap_or(u32::MAX);
        state.opened(offset, parts, now.mono);
        let share = envelope.payload.len().div_ceil(targets.len().max(1));
        let class = class_of(&envelope.envelope);
        for target in targets.iter().copied() {
            self.came_back(lane, &envelope, &target);
            let state = self.lanes.get_mut(&lane).expect("claimed above");
            if state.dedupe.is_repeat(now.mono, &target) {
                state.finished(offset);
                // It may have been the last that its endpoint was kept for.
                if let Some(key) = self.by_uid.get(&target.endpoint).copied() {
                    self.forget_if_idle(now, key);
                }
                continue;
            }
            let seq = self.next_seq;
            self.next_seq = self.next_seq.wrapping_add(1);
            let cost = share + TARGET_BYTES;
            self.bytes += cost;
            let slot = self.deliveries.insert(Delivery {
                seq,
                lane,
                offset,
                envelope: envelope.clone(),
                target,
                arrived: now.mono,
                cost,
                class,
                state: State::Timed,
                last: None,
                pass: None,
                probe: false,
                sent_with: 0,
                member_of: None,
            });
            self.place(now, slot, out);
        }
    }

    /// Decides where a delivery that is in nobody's hands goes: to its
    /// endpoint's queue, to wait, to a delay topic, or to the dead.
    pub(crate) fn place(&mut self, now: Now, slot: usize, out: &mut Vec<Action>) {
        let delivery = &self.deliveries[slot];
        let uid = delivery.target.endpoint;
        let (endpoint, unverified) = match self.known.get(&uid) {
            Some(Known::Configured {
                endpoint,
                disabled: false,
                unverified,
                ..
            }) => (endpoint.clone(), *unverified),
            Some(Known::Configured { .. }) => {
                return self.bury(slot, DeadReason::EndpointDisabled, out);
            }
            Some(Known::Deleted) => {
                return self.bury(slot, DeadReason::EndpointDeleted, out);
            }
            None => return self.place_unknown(now, slot, out),
        };
        let age = now.wall.since(delivery.envelope.envelope.first_seen);
        if age > endpoint.spec.retry.max_age {
            return self.bury(slot, DeadReason::Expired, out);
        }
        let early = delivery.target.due.since(now.wall);
        let key = self.endpoint_key(now, delivery.lane, &endpoint, out);
        self.join(slot, key);
        if !early.is_zero() {
            return self.place_early(now, slot, early, out);
        }
        if endpoint.spec.paused {
            return self.park(now, slot, ParkReason::Paused, None, out);
        }
        if unverified {
            return self.park(now, slot, ParkReason::Unverified, None, out);
        }
        self.enqueue(now, slot, key, out);
    }

    fn place_early(&mut self, now: Now, slot: usize, early: Duration, out: &mut Vec<Action>) {
        if early <= EARLY_MAX {
            self.wait_until(now.mono.after(early), slot);
        } else {
            let due = self.deliveries[slot].target.due;
            self.park(now, slot, ParkReason::NotDue, Some(due), out);
        }
    }

    /// The fan-out knew an endpoint that this process does not: either this
    /// one is behind, which passes, or the endpoint is gone without a trace.
    fn place_unknown(&mut self, now: Now, slot: usize, out: &mut Vec<Action>) {
        let delivery = &self.deliveries[slot];
        let stamp = delivery.envelope.envelope.config;
        let age = now.wall.since(delivery.envelope.envelope.first_seen);
        let caught_up = stamp.epoch == self.stamp.epoch && stamp.offset <= self.stamp.offset;
        if caught_up || age > UNKNOWN_MAX_AGE {
            self.bury(slot, DeadReason::EndpointUnknown, out);
        } else if now.mono.since(delivery.arrived) < CONFIG_WAIT {
            let until = delivery.arrived.after(CONFIG_WAIT);
            self.wait_until(until, slot);
            self.deliveries[slot].state = State::Unknown;
            self.unknown.push(work_id(slot, self.deliveries[slot].seq));
        } else {
            self.park(now, slot, ParkReason::UnknownEndpoint, None, out);
        }
    }

    /// Holds a delivery in memory until a timer places it again.
    pub(crate) fn wait_until(&mut self, at: super::Mono, slot: usize) {
        let delivery = &mut self.deliveries[slot];
        delivery.state = State::Timed;
        let work = work_id(slot, delivery.seq);
        self.timers.arm(at, Wake::Work(work));
    }

    /// Queues a delivery, or parks it if its turn is too far away.
    fn enqueue(&mut self, now: Now, slot: usize, key: usize, out: &mut Vec<Action>) {
        let wait = self.limits.queue_wait;
        let arrived = self.deliveries[slot].arrived;
        let endpoint = &mut self.endpoints[key];
        let room = endpoint.queue.len() < endpoint.queue_room(wait, &self.limits);
        let held = endpoint.held_until().since(now.mono) > wait;
        if !held && !endpoint.admits_to_queue(now.mono, arrived.after(wait), &self.limits) {
            let from = endpoint.breaker.open_until(now.mono);
            let from = from.map(|at| now.wall_at(at));
            return self.park(now, slot, ParkReason::Breaker, from, out);
        }
        // What comes back from a delay topic has its reservation already, so
        // it only needs room; what is new reserves, and waits if its turn is
        // too far away.
        let returned = self.deliveries[slot].target.spills > 0;
        let start = (!returned).then(|| endpoint.reserve(now.mono, &self.limits));
        let too_far = start.is_some_and(|start| start.since(now.mono) > wait);
        if held || too_far || !room {
            let reason = if held {
                ParkReason::Hold
            } else {
                ParkReason::Backlog
            };
            let due = start.max(held.then(|| endpoint.held_until()));
            let due = due.map(|due| now.wall_at(due));
            return self.park(now, slot, reason, due, out);
        }
        let deliveries = &self.deliveries;
        let later = |other: usize| deliveries[other].arrived > arrived;
        endpoint.queue.push(slot, deliveries[slot].class, later);
        if !endpoint.stale_armed || endpoint.queue.front() == Some(slot) {
            endpoint.stale_armed = true;
            self.timers.arm(arrived.after(SLOW_AFTER), Wake::Stale(key));
        }
        self.deliveries[slot].state = State::Queued;
        self.make_ready(key);
        self.give_way(now, key, out);
    }

    /// The state of an endpoint in memory, made when it has its first work.
    fn endpoint_key(
        &mut self,
        now: Now,
        lane: Lane,
        spec: &Arc<Endpoint>,
        out: &mut Vec<Action>,
    ) -> usize {
        let uid = spec.uid();
        if let Some(key) = self.by_uid.get(&uid) {
            return *key;
        }
        let claimed_at = self.lanes.get(&lane).map_or(now.mono, |s| s.claimed_at);
        let limit_since = match self.known.get(&uid) {
            Some(Known::Configured { limit_since, .. }) => *limit_since,
            Some(Known::Deleted) | None => Mono(0),
        };
        let credit = self.take_credit(now, spec, out);
        let empty_at = credit.unwrap_or_else(|| claimed_at.max(limit_since));
        let tenant = self.ready.join(&spec.meta.tenant);
        // Where nothing is sent yet nothing is earned: the bucket begins when
        // the receiver agrees.
        let limit = match self.verifier.is_unverified(spec) {
            true => None,
            false => self.verifier.limit_of(spec),
        };
        let spec = (spec.clone(), limit);
        let state = EndpointState::new(spec, (lane, tenant), &self.clock, empty_at);
        let key = self.endpoints.insert(state);
        self.by_uid.insert(uid, key);
        key
    }

    /// Counts a delivery among its endpoint's, until it is decided.
    fn join(&mut self, slot: usize, key: usize) {
        let delivery = &mut self.deliveries[slot];
        if delivery.member_of.is_none() {
            delivery.member_of = Some(key);
            self.endpoints[key].members += 1;
            self.endpoints[key].member_bytes += delivery.cost;
            self.ready.hold(self.endpoints[key].tenant, delivery.cost);
        }
    }

    /// Undoes [`Core::join`].
    pub(crate) fn leave(&mut self, slot: usize) {
        let delivery = &mut self.deliveries[slot];
        if let Some(key) = delivery.member_of.take() {
            self.endpoints[key].members -= 1;
            self.endpoints[key].member_bytes -= delivery.cost;
            self.ready.let_go(self.endpoints[key].tenant, delivery.cost);
        }
    }

    /// Takes a delivery that this claim sent to a delay topic out of the
    /// count of those that are there.
    fn came_back(&mut self, lane: Lane, envelope: &OpenEnvelope, target: &Target) {
        let claimed = self.lanes.get(&lane).map(|lane| lane.claimed_wall);
        let ours = claimed.is_some_and(|claimed| target.delayed_at >= claimed);
        let Some(key) = self.by_uid.get(&target.endpoint).filter(|_| ours) else {
            return;
        };
        let (first_seen, bytes) = away_size(envelope);
        self.endpoints[*key]
            .away(target.spills)
            .remove(first_seen, bytes);
    }

    /// Counts a delivery among those in a delay topic, or takes it back when
    /// it could not be written there.
    pub(crate) fn count_away(&mut self, slot: usize, goes: bool) {
        let delivery = &self.deliveries[slot];
        let target = &delivery.target;
        // What this claim puts away is its own, wherever a clock stepped.
        if let Some(lane) = self.lanes.get_mut(&delivery.lane) {
            lane.claimed_wall = lane.claimed_wall.min(target.delayed_at);
        }
        if let Some(key) = self.by_uid.get(&target.endpoint).copied() {
            let (first_seen, bytes) = away_size(&delivery.envelope);
            let away = self.endpoints[key].away(target.spills);
            if goes {
                away.add(first_seen, bytes);
                self.arm_sweep(self.now, key);
            } else {
                away.remove(first_seen, bytes);
            }
        }
    }

    /// Applies configuration changes to what is known and to running work.
    pub(crate) fn configure(
        &mut self,
        now: Now,
        changes: &[Change],
        stamp: ConfigStamp,
        out: &mut Vec<Action>,
    ) {
        self.stamp = stamp;
        // Whose queue may have to go elsewhere: only all changes together say
        // where, since one that disables may be followed by one that resumes.
        let mut replaced = Vec::new();
        for change in changes {
            match change {
                Change::Endpoint(endpoint) => {
                    self.endpoint_changed(endpoint);
                    if endpoint.spec.paused || self.verifier.is_unverified(endpoint) {
                        replaced.push(endpoint.uid());
                    }
                }
                Change::EndpointGone(uid) => {
                    self.know(*uid, Known::Deleted);
                    self.stop_or_let_go(*uid);
                    self.forget_verification(*uid, out);
                    replaced.push(*uid);
                }
                Change::Status(uid, status) => {
                    self.statuses.insert(*uid, status.clone());
                    self.late_credit(now, *uid, out);
                    if self.refresh_disabled(*uid) {
                        replaced.push(*uid);
                    }
                }
                Change::StatusGone(uid) => {
                    self.statuses.remove(uid);
                    self.refresh_disabled(*uid);
                }
                Change::Source(_) | Change::SourceGone(_) => {}
                Change::Subscription(_) | Change::SubscriptionGone(_) => {}
                Change::Consent(uid, consent) => {
                    if self.consent_changed(now, *uid, consent.clone()) {
                        replaced.push(*uid);
                    }
                }
                Change::Unverified(uid, unverified) => {
                    self.unverified_changed(*uid, unverified.clone(), out);
                }
                Change::Snapshot(..) => {}
            }
        }
        replaced.sort_unstable();
        replaced.dedup();
        for uid in replaced {
            self.replace_queue(now, uid, out);
        }
        self.place_waiting(now, out);
    }

    /// Takes in what is known of an endpoint now.
    fn know(&mut self, uid: EndpointUid, known: Known) {
        let mut count = |known: &Known, is| {
            if let Known::Configured { endpoint, .. } = known {
                (self.ready).configured(&endpoint.meta.tenant, is, &self.limits);
            }
        };
        // The new one first: an edit must not look like the end of a tenant.
        count(&known, true);
        if let Some(before) = self.known.insert(uid, known) {
            count(&before, false);
        }
    }

    fn endpoint_changed(&mut self, endpoint: &Arc<Endpoint>) {
        let uid = endpoint.uid();
        let limit = self.verifier.limit_of(endpoint);
        let limit_since = match self.known.get(&uid) {
            Some(Known::Configured {
                endpoint,
                limit_since,
                ..
            }) if self.verifier.keeps_limit(endpoint, limit) => *limit_since,
            Some(Known::Configured { .. }) => self.now.mono,
            Some(Known::Deleted) | None => Mono(0),
        };
        let (edited, found) = match self.known.get(&uid) {
            Some(Known::Configured {
                endpoint: before,
                found,
                ..
            }) => {
                let edited = before.meta.generation != endpoint.meta.generation;
                (edited, *found && !edited)
            }
            Some(Known::Deleted) | None => (false, false),
        };
        let known = Known::Configured {
            endpoint: endpoint.clone(),
            disabled: found,
            found,
            unverified: false,
            limit_since,
        };
        self.know(uid, known);
        self.refresh_disabled(uid);
        if edited {
            self.verify_again(uid);
        }
        self.keep_limit(endpoint);
        if let Some(key) = self.by_uid.get(&uid).copied() {
            let state = &mut self.endpoints[key];
            let was_closed = state.breaker.is_closed();
            state.reconfigure(endpoint.clone());
            if !was_closed && state.breaker.is_closed() {
                self.breakers_open -= 1;
            }
            self.make_ready(key);
        }
    }

    /// Returns whether that has changed.
    fn refresh_disabled(&mut self, uid: EndpointUid) -> bool {
        let status: Option<Arc<EndpointStatus>> = self.statuses.get(&uid).cloned();
        if let Some(Known::Configured {
            endpoint,
            disabled,
            found,
            ..
        }) = self.known.get_mut(&uid)
        {
            let generation = endpoint.meta.generation;
            let before = *disabled;
            let told = status.is_some_and(|s| s.disabled_for(generation).is_some());
            *found &= !told;
            *disabled = told || *found;
            let changed = *disabled != before;
            self.stop_or_let_go(uid);
            return changed;
        }
        false
    }

    /// Lets requests that are still connecting start only while the endpoint
    /// is to be called, and not at all where its receiver must agree first; it
    /// is asked then.
    pub(crate) fn stop_or_let_go(&mut self, uid: EndpointUid) {
        let refused = self.refresh_verification(uid);
        let called = match self.known.get_mut(&uid) {
            Some(Known::Configured {
                endpoint,
                disabled,
                unverified,
                ..
            }) => {
                *unverified = refused;
                !endpoint.spec.paused && !*disabled
            }
            Some(Known::Deleted) | None => false,
        };
        if let Some(key) = self.by_uid.get(&uid) {
            let gate = &self.endpoints[*key].gate;
            gate.set_stopped(!called);
            if refused {
                gate.recall();
            }
        }
    }

    /// Places everything an endpoint has queued anew.
    pub(crate) fn replace_queue(&mut self, now: Now, uid: EndpointUid, out: &mut Vec<Action>) {
        let Some(key) = self.by_uid.get(&uid).copied() else {
            return;
        };
        let queued = self.endpoints[key].queue.take();
        self.count_queue(key);
        for slot in queued {
            self.place(now, slot, out);
        }
    }

    /// Places deliveries anew that wait for their endpoint to become known.
    fn place_waiting(&mut self, now: Now, out: &mut Vec<Action>) {
        for work in std::mem::take(&mut self.unknown) {
            let unknown = |slot: &usize| self.deliveries[*slot].state == State::Unknown;
            if let Some(slot) = self.live(work).filter(unknown) {
                self.place(now, slot, out);
            }
        }
    }
}

/// Targets in one lane beyond which an event is wide. Over 64 lanes that is an
/// event for a thousand endpoints: as many starts as a worker makes in some
/// tens of milliseconds.
const WIDE_TARGETS: usize = 16;

fn class_of(envelope: &Envelope) -> Class {
    if envelope.targets.len() > WIDE_TARGETS || envelope.chunk.count > 1 {
        Class::Wide
    } else {
        Class::Narrow
    }
}

/// What a delivery counts for in a delay topic, where it is alone.
fn away_size(envelope: &OpenEnvelope) -> (UnixMillis, u64) {
    let bytes = envelope.payload.len() + TARGET_BYTES;
    (envelope.envelope.first_seen, bytes as u64)
}

/// The public name of the work in a slot.
pub(crate) fn work_id(slot: usize, seq: u32) -> WorkId {
    let slot = u32::try_from(slot).expect("the byte budget bounds the table far below 2^32");
    WorkId { slot, seq }
}
