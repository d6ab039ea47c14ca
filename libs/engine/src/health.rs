//! For how long an endpoint has done nothing but fail, across owners.
//!
//! What must outlive a claim goes to the status topic, on a change of state
//! and on hand-over: at most two records per failing endpoint and
//! [`PUBLISH_AFTER`], never one per attempt. A crash forgets at most that
//! much of a failure, or of its end.

use std::sync::Arc;
use std::time::Duration;

use hooklane_model::catalog::Health;
use hooklane_model::id::EndpointUid;
use hooklane_model::lane::Lane;
use hooklane_model::resource::Endpoint;
use hooklane_model::time::UnixMillis;

use crate::{Action, Core, HealthOrder, Now};

/// How long an endpoint fails before that is written down.
const PUBLISH_AFTER: Duration = Duration::from_secs(5 * 60);

/// An endpoint that has failed and not succeeded since.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failing {
    pub(crate) lane: Lane,
    /// The spec that it fails under.
    pub(crate) generation: u64,
    pub(crate) since: UnixMillis,
    /// In how many twelfths of `disableAfter` it has failed, and the last one.
    parts: u16,
    part: u128,
}

/// Of twelve, so many twelfths of `disableAfter` must hold a failure: a
/// receiver is given up for failing all the time, not for failing twice.
const PARTS_MIN: u16 = 10;

impl Failing {
    /// The first failure that this claim sees of an endpoint: of a failure
    /// that a former owner wrote down, or a new one.
    fn taken_over(now: UnixMillis, lane: Lane, (endpoint, written): (&Endpoint, &Health)) -> Self {
        let since = written.failing_since.unwrap_or(now);
        let after = endpoint.spec.disable_after.unwrap_or(Duration::MAX);
        Self {
            lane,
            generation: endpoint.meta.generation,
            since,
            // The twelfth that it is taken over in may be counted already.
            parts: written.failed_in,
            part: now.since(since).as_nanos() * 12 / after.as_nanos().max(1),
        }
    }

    pub(crate) fn health(&self) -> Health {
        Health {
            observed_generation: self.generation,
            failing_since: Some(self.since),
            failed_in: self.parts,
            next_free: None,
        }
    }

    /// Takes a failure; returns whether it fell into another twelfth.
    fn failed(&mut self, now: UnixMillis, disable_after: Duration) -> bool {
        let part = now.since(self.since).as_nanos() * 12 / disable_after.as_nanos().max(1);
        let other = self.parts == 0 || part != self.part;
        if other {
            self.part = part;
            self.parts = self.parts.saturating_add(1);
        }
        other
    }
}

impl Core {
    /// Takes note of an attempt that says something about its endpoint.
    /// Returns whether the endpoint is given up by this.
    pub(crate) fn note_health(
        &mut self,
        now: Now,
        lane: Lane,
        endpoint: &Arc<Endpoint>,
        failed: bool,
        out: &mut Vec<Action>,
    ) -> bool {
        let uid = endpoint.uid();
        let generation = endpoint.meta.generation;
        if !failed {
            // Nearly always there is nothing to take back.
            if !self.failing.is_empty() {
                self.failing.remove(&uid);
            }
            if !self.statuses.is_empty() && self.published(uid, generation).failing_since.is_some()
            {
                let health = Health {
                    failing_since: None,
                    failed_in: 0,
                    ..self.published(uid, generation)
                };
                self.publish_health(uid, health, out);
            }
            return false;
        }
        let before = self.published(uid, generation);
        let known = self.failing.get(&uid).copied();
        let mut failing = known
            .filter(|f| f.generation == generation)
            .unwrap_or_else(|| Failing::taken_over(now.wall, lane, (endpoint, &before)));
        let disable_after = endpoint.spec.disable_after;
        let other_part = disable_after.is_some_and(|after| failing.failed(now.wall, after));
        self.failing.insert(uid, failing);
        let lasted = now.wall.since(failing.since);
        if lasted >= PUBLISH_AFTER && (other_part || before.failing_since != Some(failing.since)) {
            let health = Health {
                next_free: before.next_free,
                ..failing.health()
            };
            self.publish_health(uid, health, out);
        }
        disable_after.is_some_and(|after| lasted >= after && failing.parts >= PARTS_MIN)
    }

    /// What the status topic says of an endpoint under a spec.
    pub(crate) fn published(&self, uid: EndpointUid, generation: u64) -> Health {
        let status = self.statuses.get(&uid);
        let health = status.and_then(|status| status.health_for(generation));
        health.copied().unwrap_or_default()
    }

    pub(crate) fn publish_health(
        &mut self,
        uid: EndpointUid,
        health: Health,
        out: &mut Vec<Action>,
    ) {
        // Known here at once; the record comes back later and says the same.
        let status = self.statuses.entry(uid).or_default();
        Arc::make_mut(status).health = Some(health);
        out.push(Action::Health(HealthOrder {
            endpoint: uid,
            health,
        }));
    }

    /// Since when an endpoint has done nothing but fail.
    pub(crate) fn failing_since(&self, endpoint: &Endpoint) -> Option<UnixMillis> {
        let (uid, generation) = (endpoint.uid(), endpoint.meta.generation);
        let known = self
            .failing
            .get(&uid)
            .filter(|f| f.generation == generation);
        known
            .map(|failing| failing.since)
            .or_else(|| self.published(uid, generation).failing_since)
    }

    /// Writes down what the next owner of a lane must know of endpoints that
    /// have nothing else in memory.
    pub(crate) fn hand_over_failing(&mut self, lane: Lane, out: &mut Vec<Action>) {
        let of_lane: Vec<_> = self
            .failing
            .iter()
            .filter(|(_, failing)| failing.lane == lane)
            .map(|(uid, failing)| (*uid, *failing))
            .collect();
        for (uid, failing) in of_lane {
            let before = self.published(uid, failing.generation);
            if before.failing_since != Some(failing.since) {
                let health = Health {
                    next_free: before.next_free,
                    ..failing.health()
                };
                self.publish_health(uid, health, out);
            }
        }
    }
}
