//! What people are told of endpoints that have something to say.
//!
//! Display only: nothing reads it to decide. Bounded in three ways: one
//! endpoint is written at most every few seconds, all of them together, over
//! all dispatchers, at most so often a second, and what has nothing to say is
//! deleted. Who owns a lane also deletes what a former owner left there, which
//! it knows of because every record of the status topic comes back through the
//! feed.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroU16;
use std::time::Duration;

use hooklane_engine::{BreakerState, EndpointView, Mono, Now};
use hooklane_model::catalog::{LastFailure, Snapshot};
use hooklane_model::id::EndpointUid;
use hooklane_model::label::LabelValue;
use hooklane_model::lane::{Lane, lane_of};
use hooklane_model::time::UnixMillis;

use super::failures::LastFailures;

/// How often one endpoint is written while it changes.
const EACH: Duration = Duration::from_secs(5);
/// How often it is written while it does not: who looks at it sees that its
/// owner is alive.
const REFRESH: Duration = Duration::from_secs(60);
/// Writes per second over all endpoints and all dispatchers, because each of
/// them is read by every service: what a person can take in, and nothing
/// beside the attempts log. Who owns a part of the lanes has that part of it.
const PER_SECOND: u32 = 50;
/// So many waiting deliveries are worth a word, even if nothing is parked.
const WAITING: u64 = 100;

/// What to write: `None` deletes.
pub(super) type Write = (EndpointUid, Option<Snapshot>);

/// The snapshots of a worker's endpoints.
pub(super) struct Snapshots {
    lanes: NonZeroU16,
    claims: HashMap<Lane, UnixMillis>,
    /// What stands in the topic, by whomever. Bounded like the topic itself,
    /// by the endpoints that have something to say.
    shown: HashMap<EndpointUid, Shown>,
    /// What is to be deleted when there is room; some of `shown`.
    deletions: VecDeque<EndpointUid>,
    sweep: u64,
    credit: Credit,
    pub(super) failures: LastFailures,
}

struct Shown {
    lane: Lane,
    /// Whether a record stands in the topic, as far as is known.
    stands: bool,
    /// When this worker wrote last, and what; `None` if it never did under its
    /// claim of the lane.
    last: Option<(Mono, Option<Snapshot>)>,
    /// The last sweep that found something to say.
    told_in: u64,
    condemned: bool,
}

impl Shown {
    fn found(lane: Lane) -> Self {
        Self {
            lane,
            stands: true,
            last: None,
            told_in: 0,
            condemned: false,
        }
    }

    fn written_at(&self) -> Mono {
        self.last.as_ref().map_or(Mono(0), |(at, _)| *at)
    }
}

/// What one pass came to.
#[derive(Debug, Default)]
pub(super) struct Pass {
    pub(super) writes: Vec<Write>,
    /// Writes that must wait for the next sweep.
    pub(super) deferred: usize,
}

impl Snapshots {
    /// For a topic of so many lanes.
    pub(super) fn new(lanes: NonZeroU16) -> Self {
        Self {
            lanes,
            claims: HashMap::new(),
            shown: HashMap::new(),
            deletions: VecDeque::new(),
            sweep: 1,
            credit: Credit::default(),
            failures: LastFailures::default(),
        }
    }

    pub(super) fn claimed(&mut self, lane: Lane, now: UnixMillis) {
        self.claims.insert(lane, now);
    }

    /// The lane is given up: what stands there is its next owner's affair.
    pub(super) fn let_go(&mut self, lane: Lane) {
        self.claims.remove(&lane);
        for shown in self.shown.values_mut().filter(|s| s.lane == lane) {
            shown.last = None;
        }
        self.shown.retain(|_, shown| shown.stands);
        self.failures.let_go(lane, self.lanes);
    }

    /// The feed says whether a record stands in the topic. What this worker
    /// wrote itself comes back late, so it believes a deletion only of what it
    /// does not keep up to date.
    pub(super) fn seen(&mut self, endpoint: EndpointUid, stands: bool) {
        let lane = lane_of(endpoint, self.lanes);
        if stands {
            let found = || Shown::found(lane);
            self.shown.entry(endpoint).or_insert_with(found).stands = true;
        } else if let Some(shown) = self.shown.get_mut(&endpoint) {
            match &shown.last {
                None => drop(self.shown.remove(&endpoint)),
                Some((_, None)) => shown.stands = false,
                Some((_, Some(_))) => {}
            }
        }
    }

    /// What is to be written now, when some endpoints are looked at.
    pub(super) fn look_at(&mut self, now: Now, views: &[EndpointView]) -> Pass {
        self.credit
            .earn(now.mono, (self.claims.len(), self.lanes.get()));
        let mut pass = Pass::default();
        self.delete(now.mono, &mut pass);
        let mut due: Vec<(Mono, EndpointUid, Snapshot)> = Vec::new();
        for view in views.iter().filter(|view| has_something_to_say(view)) {
            let Some(claimed_at) = self.claims.get(&view.lane) else {
                continue;
            };
            let uid = view.endpoint.uid();
            let failure = self.failures.of(uid, view.endpoint.meta.generation);
            let snapshot = snapshot(view, (*claimed_at, failure), now.wall);
            let wait = self.shown.get_mut(&uid).map_or(Duration::ZERO, |shown| {
                shown.told_in = self.sweep;
                shown.condemned = false;
                match &shown.last {
                    Some((_, Some(before))) if same(before, &snapshot) => REFRESH,
                    Some(_) => EACH,
                    None => Duration::ZERO,
                }
            });
            let last = self.shown.get(&uid).map_or(Mono(0), Shown::written_at);
            if now.mono.since(last) >= wait {
                due.push((last, uid, snapshot));
            }
        }
        // What has waited longest first, so that nobody starves.
        due.sort_by_key(|(last, uid, _)| (*last, *uid));
        for (_, uid, snapshot) in due {
            if !self.credit.spend(self.lanes) {
                pass.deferred += 1;
                continue;
            }
            let lane = lane_of(uid, self.lanes);
            let shown = self.shown.entry(uid).or_insert_with(|| Shown::found(lane));
            shown.stands = true;
            shown.told_in = self.sweep;
            shown.last = Some((now.mono, Some(snapshot.clone())));
            pass.writes.push((uid, Some(snapshot)));
        }
        pass
    }

    /// All endpoints were looked at: of whom nothing was to be said has no
    /// record any more.
    pub(super) fn swept(&mut self) {
        for (uid, shown) in &mut self.shown {
            let silent = shown.told_in != self.sweep && !shown.condemned;
            if silent && self.claims.contains_key(&shown.lane) {
                shown.condemned = true;
                self.deletions.push_back(*uid);
            }
        }
        self.sweep += 1;
    }

    /// Deletes what is due, as far as there is room.
    fn delete(&mut self, now: Mono, pass: &mut Pass) {
        for _ in 0..self.deletions.len() {
            let Some(uid) = self.deletions.pop_front() else {
                return;
            };
            let Some(shown) = self.shown.get_mut(&uid).filter(|s| s.condemned) else {
                continue;
            };
            if !self.claims.contains_key(&shown.lane) {
                shown.condemned = false;
                continue;
            }
            if now.since(shown.written_at()) < EACH && shown.last.is_some() {
                self.deletions.push_back(uid);
                continue;
            }
            if !shown.stands {
                self.shown.remove(&uid);
            } else if self.credit.spend(self.lanes) {
                shown.stands = false;
                shown.condemned = false;
                shown.last = Some((now, None));
                pass.writes.push((uid, None));
            } else {
                self.deletions.push_back(uid);
                pass.deferred += 1;
            }
        }
    }
}

/// How many records may be written: a lane's share of them for each lane.
/// Counted in nanoseconds times records times lanes, so that a share of less
/// than one a second is a share.
#[derive(Default)]
struct Credit {
    earned_at: Mono,
    saved: u128,
}

impl Credit {
    fn earn(&mut self, now: Mono, (claimed, lanes): (usize, u16)) {
        let rate = u128::from(PER_SECOND) * claimed as u128;
        // Who was away for long gets no burst for it.
        let most = (rate * EACH.as_nanos()).max(Self::record(lanes));
        let earned = rate * now.since(self.earned_at).as_nanos();
        self.earned_at = now;
        self.saved = (self.saved + earned).min(most);
    }

    fn spend(&mut self, lanes: NonZeroU16) -> bool {
        let record = Self::record(lanes.get());
        let enough = self.saved >= record;
        if enough {
            self.saved -= record;
        }
        enough
    }

    /// What one record costs.
    fn record(lanes: u16) -> u128 {
        Duration::from_secs(1).as_nanos() * u128::from(lanes)
    }
}

fn has_something_to_say(view: &EndpointView) -> bool {
    view.held_until.is_some()
        || view.breaker != BreakerState::Closed
        || view.failing_since.is_some()
        || view.will_expire_at.is_some()
        || view.parked > 0
        || view.waiting() >= WAITING
}

fn snapshot(
    view: &EndpointView,
    (claimed_at, last_failure): (UnixMillis, Option<LastFailure>),
    now: UnixMillis,
) -> Snapshot {
    Snapshot {
        observed_generation: view.endpoint.meta.generation,
        as_of: Some(now),
        claimed_at: Some(claimed_at),
        lane: view.lane.0,
        in_memory: view.in_memory,
        in_flight: u64::from(view.in_flight),
        parked: view.parked,
        retrying: view.retrying,
        bytes: view.bytes,
        oldest: view.oldest,
        drain_seconds: view.drain.map(|drain| drain.as_secs()),
        will_expire_at: view.will_expire_at,
        held_until: view.held_until,
        breaker: view.breaker.as_str().to_owned(),
        next_probe: view.next_probe,
        failing_since: view.failing_since,
        last_failure,
    }
}

/// Whether two say the same, but for when.
fn same(before: &Snapshot, after: &Snapshot) -> bool {
    let timeless = |snapshot: &Snapshot| {
        let mut snapshot = snapshot.clone();
        snapshot.as_of = None;
        if let Some(failure) = &mut snapshot.last_failure {
            failure.at = None;
        }
        snapshot
    };
    timeless(before) == timeless(after)
}

#[cfg(test)]
mod tests;
