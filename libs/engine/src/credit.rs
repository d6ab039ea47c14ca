//! What a slow limit has earned goes over to the next owner.
//!
//! A new owner's bucket begins empty. For one request an hour that is an hour
//! without one, at every rebalance. So whoever lets such an endpoint go says
//! in its health record when the limit allows the next request, and the next
//! owner begins there.
//!
//! The record is taken once: an owner that uses it writes it away first, and
//! starts nothing for a second, so that a successor after a crash does not
//! use it again. (Only if Kafka has not taken that record within the second,
//! and the process dies then, could one request come too early.)

use std::sync::Arc;
use std::time::Duration;

use hooklane_model::catalog::Health;
use hooklane_model::id::EndpointUid;
use hooklane_model::lane::Lane;
use hooklane_model::resource::{Endpoint, RateLimit};

use crate::bucket::Bucket;
use crate::{Action, Core, Mono, Now};

/// Limits slower than this hand over what they have earned; faster ones earn
/// it again in a moment.
const SLOW: Duration = Duration::from_secs(5);
/// How long after a credit is taken nothing starts by it.
const SETTLES: Duration = Duration::from_secs(1);
/// How far the wall clocks of two owners may be apart. A credit is used so
/// much later than it says; clocks that differ by more let a start come early
/// by the rest.
const CLOCKS: Duration = Duration::from_secs(1);

fn is_slow(limit: Option<RateLimit>) -> Option<RateLimit> {
    limit.filter(|limit| limit.period > SLOW)
}

impl Core {
    /// Since when the bucket of an endpoint counts as empty, by the word of
    /// its former owner, if there is one. It is used up by that.
    pub(crate) fn take_credit(
        &mut self,
        now: Now,
        endpoint: &Endpoint,
        out: &mut Vec<Action>,
    ) -> Option<Mono> {
        let limit = is_slow(self.verifier.limit_of(endpoint))?;
        let (uid, generation) = (endpoint.uid(), endpoint.meta.generation);
        let health = self.published(uid, generation);
        let next_free = now.mono_at(health.next_free?).after(CLOCKS);
        let next_free = next_free.max(now.mono.after(SETTLES));
        let void = Health {
            next_free: None,
            ..health
        };
        self.publish_health(uid, void, out);
        let period = u64::try_from(limit.period.as_nanos()).unwrap_or(u64::MAX);
        Some(Mono(next_free.0.saturating_sub(period)))
    }

    /// A former owner's word that comes when the endpoint has work already:
    /// it counts if nothing was started yet, and is void otherwise.
    pub(crate) fn late_credit(&mut self, now: Now, uid: EndpointUid, out: &mut Vec<Action>) {
        let Some(key) = self.by_uid.get(&uid).copied() else {
            return;
        };
        let spec = self.endpoints[key].spec.clone();
        let Some(empty_at) = self.take_credit(now, &spec, out) else {
            return;
        };
        if let Some(limit) = self.endpoints[key].limit {
            let bucket = Bucket::empty_since(limit, &self.clock, empty_at);
            if self.endpoints[key].gate.replace_unused(bucket) {
                self.make_ready(key);
            }
        }
    }

    /// Stops everything of a lane that has not started, and writes down what
    /// its next owner must know.
    pub(crate) fn hand_over_endpoints(&mut self, now: Now, lane: Lane, out: &mut Vec<Action>) {
        let mut known: Vec<(Arc<Endpoint>, Option<Mono>)> = Vec::new();
        for (_, state) in self.endpoints.iter().filter(|(_, e)| e.lane == lane) {
            state.gate.close();
            let slow = is_slow(state.limit);
            known.push((state.spec.clone(), slow.and(state.gate.next_free())));
        }
        for (endpoint, next_free) in known {
            let (uid, generation) = (endpoint.uid(), endpoint.meta.generation);
            let failing = self.failing.remove(&uid);
            let failing = failing.filter(|f| f.generation == generation);
            let before = self.published(uid, generation);
            let mut health = failing.map_or(before, |f| f.health());
            if let Some(at) = next_free {
                health.observed_generation = generation;
                health.next_free = Some(now.wall_at(at.max(now.mono)));
            }
            if health != before {
                self.publish_health(uid, health, out);
            }
        }
        self.hand_over_failing(lane, out);
    }
}
