//! When to try again, and when to stop.

use std::borrow::Cow;
use std::time::Duration;

use super::{DAY, SECOND};
use crate::fields::{Fields, Findings};

/// When to try again, and when to stop.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    /// Wait after the first, second, ... failed attempt. After the last wait
    /// one more attempt is made. Borrowed where it is the default: of a million
    /// endpoints most have that one.
    pub schedule: Cow<'static, [Duration]>,
    /// Part of each wait added at random, 0 to 1.
    pub jitter: f64,
    /// From the first sight of the event to giving up.
    pub max_age: Duration,
}

impl RetryPolicy {
    /// The attempts a delivery gets: the first and one after each wait.
    #[must_use]
    pub fn attempts_max(&self) -> u16 {
        u16::try_from(self.schedule.len() + 1).unwrap_or(u16::MAX)
    }
}

/// The example schedule of Standard Webhooks 1.0, after its immediate attempt.
static DEFAULT_SCHEDULE: [Duration; 10] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3_600),
    Duration::from_secs(5 * 3_600),
    Duration::from_secs(10 * 3_600),
    Duration::from_secs(14 * 3_600),
    Duration::from_secs(20 * 3_600),
    Duration::from_secs(24 * 3_600),
];
/// More waits than anybody schedules by hand; bounds the stored record.
const SCHEDULE_MAX: usize = 50;

pub(super) fn read_retry(fields: &mut Fields, findings: &mut Findings) -> RetryPolicy {
    let mut policy = RetryPolicy {
        schedule: Cow::Borrowed(&DEFAULT_SCHEDULE),
        jitter: 0.2,
        max_age: 3 * DAY,
    };
    let Some(mut object) = fields.object("retry", findings) else {
        return policy;
    };
    if let Some(schedule) = object.durations("schedule", (SECOND, DAY), findings) {
        if schedule.len() > SCHEDULE_MAX {
            findings.problem(
                object.path_of("schedule"),
                format!("has {} waits; at most {SCHEDULE_MAX}", schedule.len()),
            );
        }
        policy.schedule = Cow::Owned(schedule);
    }
    if let Some(jitter) = object.number("jitter", (0.0, 1.0), findings) {
        policy.jitter = jitter;
    }
    if let Some(max_age) = object.duration("maxAge", (SECOND, 14 * DAY), findings) {
        policy.max_age = max_age;
    }
    object.finish(findings);
    policy
}
