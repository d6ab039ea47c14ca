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
}

impl Core {
    /// Takes note of an attempt that says something about its endpoint.
    pub(crate) fn note_health(
        &mut self,
        now: Now,
        lane: Lane,
        endpoint: &Arc<Endpoint>,
        failed: bool,
        out: &mut Vec<Action>,
    ) {
        let uid = endpoint.uid();
        let generation = endpoint.meta.generation;
        if !failed {
            // Nearly always there is nothing to take back.
            if !self.failing.is_empty() {
                self.failing.remove(&uid);
            }
            if !self.statuses.is_empty() && self.published(uid, generation).failing_since.is_some()
            {
                self.publish_health(uid, generation, None, out);
            }
            return;
        }
        let before = self.published(uid, generation);
        let known = self.failing.get(&uid).copied();
        let failing = known
            .filter(|f| f.generation == generation)
            .unwrap_or(Failing {
                lane,
                generation,
                since: before.failing_since.unwrap_or(now.wall),
            });
        self.failing.insert(uid, failing);
        if now.wall.since(failing.since) >= PUBLISH_AFTER
            && before.failing_since != Some(failing.since)
        {
            self.publish_health(uid, generation, Some(&failing), out);
        }
    }

    /// What the status topic says of an endpoint under a spec.
    fn published(&self, uid: EndpointUid, generation: u64) -> Health {
        let status = self.statuses.get(&uid);
        let health = status.and_then(|status| status.health_for(generation));
        health.copied().unwrap_or_default()
    }

    fn publish_health(
        &mut self,
        uid: EndpointUid,
        generation: u64,
        failing: Option<&Failing>,
        out: &mut Vec<Action>,
    ) {
        let health = Health {
            observed_generation: generation,
            failing_since: failing.map(|f| f.since),
            ..Health::default()
        };
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

    /// Writes down what the next owner of a lane must know.
    pub(crate) fn hand_over_health(&mut self, lane: Lane, out: &mut Vec<Action>) {
        let of_lane: Vec<_> = self
            .failing
            .iter()
            .filter(|(_, failing)| failing.lane == lane)
            .map(|(uid, failing)| (*uid, *failing))
            .collect();
        for (uid, failing) in of_lane {
            let before = self.published(uid, failing.generation);
            if before.failing_since != Some(failing.since) {
                self.publish_health(uid, failing.generation, Some(&failing), out);
            }
        }
    }
}
