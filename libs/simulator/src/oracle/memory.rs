//! P4: what is held, for how long, and whose turn it is.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use hooklane_engine::{Action, Epoch, Gauges, Mono, Now, OpenEnvelope, TARGET_BYTES};
use hooklane_model::id::{DeliveryId, EndpointUid};
use hooklane_model::lane::Lane;

use super::Oracle;
use super::tenants::open_of;
use crate::catalog::View;
use crate::failure::Rule;
use crate::plan::Plan;
use crate::process::Process;

/// The longest timeout that worlds configure.
const TIMEOUT_MAX: Duration = Duration::from_secs(9);
/// How long records may take to become durable, and timers to go.
const SLACK: Duration = Duration::from_secs(6);
/// What one batch may add after the budget said that there is room: records
/// are taken whole.
pub(crate) const BATCH_BYTES: usize = 700 << 10;

/// The work of one core as its events and orders show it.
#[derive(Default)]
pub(crate) struct Turns {
    /// When the records of a claim were read that are not settled.
    read: BTreeMap<(Lane, u64), VecDeque<(i64, Mono)>>,
    /// Deliveries that only wait for a start.
    pub(super) queued: BTreeMap<EndpointUid, BTreeSet<DeliveryId>>,
    /// Starts of others since an endpoint was ready and did not start.
    passed: BTreeMap<EndpointUid, u32>,
    /// The same for tenants.
    pub(super) tenants_passed: BTreeMap<String, u32>,
    /// What each claim was given lately: a repeat of it may be dropped.
    seen: BTreeMap<(Lane, u64), BTreeMap<Given, Mono>>,
}

/// A delivery, its attempt, and how often it was parked.
type Given = (DeliveryId, u16, u16);

/// How long the engine may take a record for a repeat.
const REPEAT_WINDOW: Duration = Duration::from_secs(60);
/// Records of a claim beyond which old ones are forgotten here.
const SEEN_MAX: usize = 5_000;

impl Oracle {
    /// A record was given to a core.
    pub(crate) fn read(
        &mut self,
        process: &Process,
        now: Now,
        (lane, epoch, offset): (Lane, Epoch, i64),
        record: Option<&OpenEnvelope>,
    ) {
        let worker = process.worker_of(lane);
        let turns = self.turns.entry((process.who, worker)).or_default();
        let read = turns.read.entry((lane, epoch.0)).or_default();
        read.push_back((offset, now.mono));
        let targets = record.map_or(&[][..], |record| &record.envelope.targets);
        let seen = turns.seen.entry((lane, epoch.0)).or_default();
        if seen.len() > SEEN_MAX {
            seen.retain(|_, at| now.mono.since(*at) < REPEAT_WINDOW);
        }
        for target in targets.iter().filter(|target| target.due <= now.wall) {
            let key = (target.delivery, target.attempt, target.spills);
            let before = seen.insert(key, now.mono);
            if before.is_some_and(|at| now.mono.since(at) < REPEAT_WINDOW) {
                continue;
            }
            turns
                .queued
                .entry(target.endpoint)
                .or_default()
                .insert(target.delivery);
        }
    }

    /// The core decided about a delivery.
    pub(crate) fn decided(&mut self, key: (crate::agenda::Who, usize), action: &Action) {
        let target = match action {
            Action::Send(order) => order.target,
            Action::Delay(order) => order.target,
            Action::Bury(order) => order.target,
            _ => return,
        };
        let turns = self.turns.entry(key).or_default();
        if let Some(queued) = turns.queued.get_mut(&target.endpoint) {
            queued.remove(&target.delivery);
            if queued.is_empty() {
                turns.queued.remove(&target.endpoint);
                turns.passed.remove(&target.endpoint);
            }
        }
    }

    /// A start for `uid`: everybody else who is ready was passed over once.
    pub(crate) fn passed_over(
        &mut self,
        (process, plan): (&Process, &Plan),
        worker: usize,
        (uid, now): (EndpointUid, Mono),
    ) {
        let mut open: BTreeMap<EndpointUid, u32> = BTreeMap::new();
        for request in process.requests.values() {
            *open.entry(request.target.endpoint).or_default() += 1;
        }
        // A tenant that has all it may have waits for itself.
        let (_, by_tenant) = open_of(process, worker);
        let most = plan.limits.tenant_slots();
        let (holds, breaking) = (&self.holds, &self.breaking);
        let Some(turns) = self.turns.get_mut(&(process.who, worker)) else {
            return;
        };
        turns.passed.remove(&uid);
        let bound = u32::try_from(8 * process.view.len() + 64).unwrap_or(u32::MAX);
        let mut starved = None;
        for other in turns.queued.keys().filter(|other| **other != uid) {
            let view = process.view.get(other);
            let known = view.and_then(|view| view.endpoint.as_ref());
            let at_share = view
                .and_then(View::tenant)
                .and_then(|tenant| by_tenant.get(tenant))
                .is_some_and(|open| *open >= most);
            let ready = known.is_some_and(|endpoint| {
                let open = open.get(other).copied().unwrap_or(0);
                !at_share
                    && view.and_then(View::limit).is_none()
                    && !view.is_some_and(View::is_unverified)
                    && !endpoint.spec.paused
                    && !view.is_some_and(View::is_disabled)
                    && open < endpoint.spec.max_concurrency.min(30)
                    && holds
                        .get(&(process.who, *other))
                        .is_none_or(|at| *at <= now)
                    && breaking
                        .get(&(process.who, *other))
                        .is_none_or(super::Breaking::never_failed)
            });
            if !ready {
                turns.passed.remove(other);
                continue;
            }
            let passed = turns.passed.entry(*other).or_default();
            *passed += 1;
            if *passed > bound {
                starved = Some((*other, *passed));
            }
        }
        if let Some((other, passed)) = starved {
            let what = format!("ready, and passed over {passed} times");
            self.broken(Rule::Starved, (None, Some(other)), what);
        }
    }

    /// The watermarks of a core: nothing below them is held, nothing above
    /// for longer than the bound.
    pub(crate) fn aged(&mut self, process: &Process, plan: &Plan, worker: usize, now: Mono) {
        let Some(turns) = self.turns.get_mut(&(process.who, worker)) else {
            return;
        };
        let core = &process.workers[worker].core;
        let watermarks: BTreeMap<(Lane, u64), i64> = core
            .watermarks()
            .map(|(lane, epoch, watermark)| ((lane, epoch.0), watermark))
            .collect();
        turns.read.retain(|key, _| watermarks.contains_key(key));
        let bound = plan.limits.queue_wait + TIMEOUT_MAX + SLACK;
        let mut broken = None;
        for (key, read) in &mut turns.read {
            let watermark = watermarks[key];
            while read.front().is_some_and(|(offset, _)| *offset < watermark) {
                read.pop_front();
            }
            let oldest = read.front().map(|(offset, at)| (*offset, now.since(*at)));
            if let Some((offset, age)) = oldest.filter(|(_, age)| *age > bound) {
                broken = Some((key.0, offset, age));
            }
        }
        if let Some((lane, offset, age)) = broken
            && now >= self.excused_until
        {
            let what =
                format!("offset {offset} of lane {lane} is held for {age:?}, bound {bound:?}");
            self.broken(Rule::Age, (None, None), what);
        }
    }

    /// What a core says that it holds.
    pub(crate) fn holds(&mut self, plan: &Plan, gauges: &Gauges) {
        let most = plan.limits.bytes + BATCH_BYTES;
        if gauges.bytes > most {
            let what = format!("{} bytes held, at most {most}", gauges.bytes);
            self.broken(Rule::Bytes, (None, None), what);
        }
        if gauges.bytes < gauges.deliveries * TARGET_BYTES {
            let what = format!(
                "{} bytes for {} deliveries",
                gauges.bytes, gauges.deliveries
            );
            self.broken(Rule::Bytes, (None, None), what);
        }
        if gauges.in_flight > plan.limits.slots {
            let what = format!(
                "{} requests open of {} slots",
                gauges.in_flight, plan.limits.slots
            );
            self.broken(Rule::Slots, (None, None), what);
        }
    }

    /// A process is gone, with all it held.
    pub(crate) fn gone(&mut self, who: crate::agenda::Who) {
        self.turns.retain(|(held, _), _| *held != who);
        self.holds.retain(|(held, _), _| *held != who);
        self.late_holds.retain(|(held, _), _| *held != who);
        self.breaking.retain(|(held, _), _| *held != who);
    }

    /// A lane's endpoints are held by nobody once it is let go.
    pub(crate) fn let_go(&mut self, process: &Process, plan: &Plan, lane: Lane) {
        use hooklane_model::lane::lane_of;
        let who = process.who;
        self.holds
            .retain(|(held, uid), _| *held != who || lane_of(*uid, plan.lanes) != lane);
        self.late_holds
            .retain(|(held, uid), _| *held != who || lane_of(*uid, plan.lanes) != lane);
        self.breaking
            .retain(|(held, uid), _| *held != who || lane_of(*uid, plan.lanes) != lane);
        if let Some(turns) = self.turns.get_mut(&(who, process.worker_of(lane))) {
            turns
                .queued
                .retain(|uid, _| lane_of(*uid, plan.lanes) != lane);
            turns.read.retain(|(held, _), _| *held != lane);
            turns.seen.retain(|(held, _), _| *held != lane);
        }
    }
}
