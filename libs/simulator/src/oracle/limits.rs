//! P3: requests started per endpoint, over all processes.

use std::collections::VecDeque;
use std::time::Duration;

use hooklane_engine::Mono;
use hooklane_model::id::EndpointUid;
use hooklane_model::resource::RateLimit;

use super::Oracle;
use crate::failure::Rule;
use crate::process::{Process, Request};

/// The most that a conforming sender may have left, counted at the first
/// byte: a bucket that begins full. It is never below zero if and only if
/// every window keeps `starts <= window / period + burst`.
///
/// While an edit spreads, processes have applied different limits; the meter
/// then earns at the fastest of them and holds the largest burst.
#[derive(Clone, Debug)]
pub(crate) struct Meter {
    level: f64,
    at: Mono,
    /// Shortest period and largest burst in force; `None` = no limit.
    limit: Option<RateLimit>,
    /// Since when some process knows a limit.
    limited_since: Option<Mono>,
    /// The last starts: what another limit would have left of itself.
    starts: VecDeque<Mono>,
}

/// Starts remembered: more than the largest burst of these worlds.
const STARTS: usize = 256;

/// Rounding of the meter's sums, far below one request.
const ROUNDING: f64 = 1e-6;

impl Meter {
    fn earn(&mut self, now: Mono) {
        if let Some(limit) = self.limit {
            let earned = now.since(self.at).as_secs_f64() / limit.period.as_secs_f64();
            self.level = (self.level + earned).min(f64::from(limit.burst.get()));
        }
        self.at = now;
    }

    /// The level under another limit: what was left is carried over, and an
    /// edit adds nothing. Where there was none, at most what would be left of
    /// the new one if it had been in force all along, or had begun empty when
    /// the first process applied it: that may be the owner.
    fn change(&mut self, limit: Option<RateLimit>, now: Mono) {
        self.earn(now);
        let before = std::mem::replace(&mut self.limit, limit);
        let Some(limit) = limit else {
            self.level = f64::MAX;
            return;
        };
        let burst = f64::from(limit.burst.get());
        if before.is_some() {
            self.level = self.level.min(burst);
            return;
        }
        let (mut level, mut at) = (burst, now);
        for start in &self.starts {
            let earned = start.since(at).as_secs_f64() / limit.period.as_secs_f64();
            level = (level + earned).min(burst) - 1.0;
            at = *start;
        }
        let earned = now.since(at).as_secs_f64() / limit.period.as_secs_f64();
        let since_known = self
            .limited_since
            .map_or(Duration::ZERO, |at| now.since(at));
        let since_known = since_known.as_secs_f64() / limit.period.as_secs_f64();
        self.level = (level + earned).max(since_known).min(burst);
    }
}

/// The most generous of the limits that processes have applied.
fn in_force(limits: impl Iterator<Item = Option<RateLimit>>) -> Option<RateLimit> {
    let mut force: Option<RateLimit> = None;
    for limit in limits {
        // One that knows no limit may send without.
        let limit = limit?;
        force = Some(force.map_or(limit, |known| RateLimit {
            period: known.period.min(limit.period),
            burst: known.burst.max(limit.burst),
        }));
    }
    force
}

impl Oracle {
    /// What the processes have applied has become `limits`. Returns what is
    /// in force, if that was another limit.
    pub(crate) fn limits_are(
        &mut self,
        uid: EndpointUid,
        limits: impl Iterator<Item = Option<RateLimit>> + Clone,
        now: Mono,
    ) -> Option<Option<RateLimit>> {
        let limited = limits.clone().any(|limit| limit.is_some());
        let limit = in_force(limits);
        let meter = self.meters.entry(uid).or_insert(Meter {
            level: f64::MAX,
            at: now,
            limit: None,
            limited_since: None,
            starts: VecDeque::new(),
        });
        let changes = meter.limit != limit;
        if changes {
            meter.change(limit, now);
        }
        meter.limited_since = meter.limited_since.or(Some(now)).filter(|_| limited);
        changes.then_some(limit)
    }

    /// A request's first byte was written.
    pub(crate) fn started(&mut self, process: &Process, now: Mono, request: &Request) {
        let uid = request.target.endpoint;
        let about = (Some(request.target.delivery), Some(uid));
        if !process.owns(request.lane, request.epoch) {
            let what = format!("lane {} is not owned any more", request.lane);
            self.broken(Rule::GivenUp, about, what);
        }
        if let Some(until) = self.holds.get(&(process.who, uid)).copied()
            && now < until
        {
            let early = until.since(now);
            let what = format!("first byte {early:?} before the end of its hold");
            self.broken(Rule::Hold, about, what);
        }
        let view = process.view.get(&uid);
        let called = view.is_some_and(|view| {
            let endpoint = view.endpoint.as_ref();
            !view.is_disabled() && endpoint.is_some_and(|endpoint| !endpoint.spec.paused)
        });
        if !called {
            let what = "first byte to an endpoint that is paused, disabled or gone".to_owned();
            self.broken(Rule::Pause, about, what);
        }
        self.agreed_to(process, now, request);
        let Some(meter) = self.meters.get_mut(&uid) else {
            return;
        };
        meter.earn(now);
        if meter.starts.len() == STARTS {
            meter.starts.pop_front();
        }
        meter.starts.push_back(now);
        let Some(limit) = meter.limit else { return };
        meter.level -= 1.0;
        if meter.level < -ROUNDING {
            let over = limit.period.mul_f64(-meter.level);
            let what = format!(
                "one start too many for a burst of {} and one per {:?}: {over:?} too early",
                limit.burst, limit.period,
            );
            self.broken(Rule::Limit, (None, Some(uid)), what);
        }
    }
}

/// How long a hold may last at most, for judging.
pub(crate) fn capped(wait: Duration, max_age: Duration) -> Duration {
    wait.min(max_age)
}
