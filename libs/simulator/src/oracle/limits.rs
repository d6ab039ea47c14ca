//! P3: requests started per endpoint, over all processes.

use std::collections::VecDeque;
use std::time::Duration;

use hooklane_engine::Mono;
use hooklane_model::id::EndpointUid;
use hooklane_model::resource::RateLimit;

use super::Oracle;
use crate::failure::Rule;

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

    /// The level under another limit. At most: what was left is carried over,
    /// or what is left of the new limit if it had been in force all along,
    /// because an endpoint that was idle may be at its new burst.
    fn change(&mut self, limit: Option<RateLimit>, now: Mono) {
        self.earn(now);
        self.limit = limit;
        let Some(limit) = limit else {
            self.level = f64::MAX;
            return;
        };
        let burst = f64::from(limit.burst.get());
        let (mut level, mut at) = (burst, now);
        for start in &self.starts {
            let earned = start.since(at).as_secs_f64() / limit.period.as_secs_f64();
            level = (level + earned).min(burst) - 1.0;
            at = *start;
        }
        let earned = now.since(at).as_secs_f64() / limit.period.as_secs_f64();
        let all_along = (level + earned).min(burst);
        self.level = self.level.min(burst).max(all_along);
    }
}

/// The most generous of the limits that processes have applied.
pub(crate) fn in_force(limits: impl Iterator<Item = Option<RateLimit>>) -> Option<RateLimit> {
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
    /// The limits in force have become `limit`.
    pub(crate) fn limit_is(&mut self, uid: EndpointUid, limit: Option<RateLimit>, now: Mono) {
        let meter = self.meters.entry(uid).or_insert(Meter {
            level: f64::MAX,
            at: now,
            limit: None,
            starts: VecDeque::new(),
        });
        if meter.limit != limit {
            meter.change(limit, now);
        }
    }

    /// A request's first byte was written.
    pub(crate) fn started(&mut self, uid: EndpointUid, now: Mono) {
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
