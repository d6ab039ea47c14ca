//! When an endpoint that fails is left alone, and when it is given up.

use std::time::Duration;

use serde_json::Value;

use super::{DAY, HOUR, MINUTE, SECOND};
use crate::fields::{Fields, Findings};

/// When the breaker opens: requests stop but for single probes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakerPolicy {
    /// So many failures one after the other open it.
    pub failures: u32,
    /// So large a part of the requests of a window opens it, 0 to 1.
    pub ratio: f64,
    /// The fewest requests in a window that say anything.
    pub requests: u32,
    /// What the ratio is taken over.
    pub window: Duration,
}

impl Default for BreakerPolicy {
    /// Ten in a row is more than a restarting receiver loses at the default
    /// concurrency of eight. Seven of ten, as in Convoy: a receiver that takes
    /// half is worth calling. Twenty requests, so that one bad second of a
    /// quiet endpoint is no verdict.
    fn default() -> Self {
        Self {
            failures: 10,
            ratio: 0.7,
            requests: 20,
            window: MINUTE,
        }
    }
}

/// Svix disables after five days of nothing but failure; so do we.
pub(super) const DISABLE_AFTER: Duration = Duration::from_secs(5 * 86_400);

/// Reads `breaker: none` or an object; `None` is a breaker that never opens.
pub(super) fn read_breaker(fields: &mut Fields, findings: &mut Findings) -> Option<BreakerPolicy> {
    let path = fields.path_of("breaker");
    let default = BreakerPolicy::default();
    let value = match fields.take("breaker") {
        None => return Some(default),
        Some(Value::String(word)) if word == "none" => return None,
        Some(Value::String(word)) => {
            findings.problem(
                path,
                format!("expected `none` or an object, found `{word}`"),
            );
            return Some(default);
        }
        Some(value) => value,
    };
    let mut object = Fields::of(value, path, findings);
    let policy = BreakerPolicy {
        failures: whole(object.integer("failures", (1, 1_000), findings))
            .unwrap_or(default.failures),
        ratio: object
            .number("ratio", (0.05, 1.0), findings)
            .unwrap_or(default.ratio),
        requests: whole(object.integer("requests", (1, 100_000), findings))
            .unwrap_or(default.requests),
        window: object
            .duration("window", (SECOND, HOUR), findings)
            .unwrap_or(default.window),
    };
    object.finish(findings);
    Some(policy)
}

fn whole(number: Option<u64>) -> Option<u32> {
    number.and_then(|n| u32::try_from(n).ok())
}

/// Reads `disableAfter: none` or a duration; `None` is never.
pub(super) fn read_disable_after(fields: &mut Fields, findings: &mut Findings) -> Option<Duration> {
    if fields.text_is("disableAfter", "none") {
        let _none = fields.take("disableAfter");
        return None;
    }
    // A twelfth of an hour is the longest time between two probes.
    let after = fields.duration("disableAfter", (HOUR, 30 * DAY), findings);
    Some(after.unwrap_or(DISABLE_AFTER))
}
