//! The internal topics: what they must look like.
//!
//! The promises rest on these settings: a delay topic that is not stamped by
//! the broker is not first in, first out; a config topic with two partitions
//! has no order; a retention that ends before a rung does is silent loss.

mod admin;
mod compare;

use std::num::NonZeroU16;
use std::time::Duration;

use hooklane_model::ladder::{Rung, TAIL_MAX};
use hooklane_model::topic::TopicNames;

pub use admin::{
    BEHIND_MAX, TopicCheck, TopicsError, Verified, create_missing, inspect, inspect_patiently,
    verify,
};
pub use compare::{Difference, Found, TopicState};

/// The largest source record by default.
pub const SOURCE_RECORD_BYTES: usize = 1 << 20;

/// `max.message.bytes` of topics that carry the bytes of a source record of
/// at most `source_record_bytes`: what is wrapped around them (128 KiB of
/// targets and headers), and 64 KiB for the batch and for keys.
#[must_use]
pub const fn record_bytes_max(source_record_bytes: usize) -> usize {
    source_record_bytes + (128 << 10) + (64 << 10)
}

const DAY: Duration = Duration::from_secs(24 * 3600);
/// How long work may wait for a service that is down.
const WORK_RETENTION: Duration = Duration::from_secs(7 * 24 * 3600);
/// How much longer than its rung a delayed record is kept.
const RUNG_SLACK: Duration = Duration::from_secs(3 * 24 * 3600);
/// How long people have to look at dead letters and poison.
const TERMINAL_RETENTION: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long a tombstone is kept: longer than the slowest start of a reader.
const TOMBSTONE_RETENTION: Duration = Duration::from_secs(7 * 24 * 3600);
/// Throughput per rung is small, and every partition has open files.
const SIDE_PARTITIONS: i32 = 12;
const POISON_PARTITIONS: i32 = 3;

/// What an internal topic is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicRole {
    /// Lanes.
    Deliveries,
    /// One rung of the ladder.
    Delay(Rung),
    /// Outcomes of attempts.
    Attempts,
    /// Dead letters.
    Dead,
    /// A table: compacted, one partition, read whole.
    Table,
    /// Unreadable and lost records.
    Poison,
}

/// How a setting is compared with what the broker says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Must be equal.
    Exactly,
    /// A number; more is fine, and -1 is without an end.
    AtLeast,
}

/// A setting of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name as brokers know it.
    pub name: &'static str,
    /// Its value at creation.
    pub value: String,
    /// How it is compared.
    pub rule: Rule,
}

/// What an internal topic must look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub role: TopicRole,
    /// Partitions at creation; an existing deliveries topic decides the lanes
    /// itself.
    pub partitions: i32,
    /// Replicas of each partition.
    pub replication: i16,
    /// Everything else.
    pub settings: Vec<Setting>,
}

/// What all internal topics have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicPlan {
    /// Partitions of the deliveries topic.
    pub lanes: NonZeroU16,
    /// Replicas of each partition.
    pub replication: i16,
    /// The largest record, see [`record_bytes_max`].
    pub record_bytes_max: usize,
}

/// All internal topics.
#[must_use]
pub fn internal_topics(names: &TopicNames, plan: &TopicPlan) -> Vec<TopicSpec> {
    let lanes = i32::from(plan.lanes.get());
    let spec = |name, role, partitions| TopicSpec {
        name,
        role,
        partitions,
        replication: plan.replication,
        settings: settings_of(role, plan),
    };
    let mut topics = vec![spec(names.deliveries(), TopicRole::Deliveries, lanes)];
    for rung in Rung::ALL {
        topics.push(spec(
            names.delay(rung),
            TopicRole::Delay(rung),
            SIDE_PARTITIONS,
        ));
    }
    topics.extend([
        spec(names.attempts(), TopicRole::Attempts, SIDE_PARTITIONS),
        spec(names.dead(), TopicRole::Dead, SIDE_PARTITIONS),
        spec(names.config(), TopicRole::Table, 1),
        spec(names.status(), TopicRole::Table, 1),
        spec(names.poison(), TopicRole::Poison, POISON_PARTITIONS),
    ]);
    topics
}

/// How long a record of this rung waits at most.
pub(crate) fn rung_wait(rung: Rung) -> Duration {
    rung.wait().max(TAIL_MAX)
}

fn settings_of(role: TopicRole, plan: &TopicPlan) -> Vec<Setting> {
    let exactly = |name, value: &str| Setting {
        name,
        value: value.to_owned(),
        rule: Rule::Exactly,
    };
    let at_least = |name, value: u128| Setting {
        name,
        value: value.to_string(),
        rule: Rule::AtLeast,
    };
    let in_sync = if plan.replication >= 3 { 2 } else { 1 };
    let mut settings = vec![
        at_least("min.insync.replicas", in_sync),
        at_least("max.message.bytes", plan.record_bytes_max as u128),
        // An unclean leader forgets acknowledged records.
        exactly("unclean.leader.election.enable", "false"),
    ];
    if role == TopicRole::Table {
        settings.extend([
            exactly("cleanup.policy", "compact"),
            exactly("min.cleanable.dirty.ratio", "0.1"),
            // The active segment is never compacted, so it should not get old.
            exactly("segment.ms", "3600000"),
            exactly("max.compaction.lag.ms", &DAY.as_millis().to_string()),
            at_least("delete.retention.ms", TOMBSTONE_RETENTION.as_millis()),
        ]);
        return settings;
    }
    let retention = match role {
        TopicRole::Delay(rung) => (rung_wait(rung) + RUNG_SLACK).max(WORK_RETENTION),
        TopicRole::Dead | TopicRole::Poison => TERMINAL_RETENTION,
        TopicRole::Deliveries | TopicRole::Attempts | TopicRole::Table => WORK_RETENTION,
    };
    settings.extend([
        exactly("cleanup.policy", "delete"),
        // Stamped by the broker. A rung is first in, first out only if its
        // release times grow with its offsets; and everywhere retention and
        // lag are measured by one clock, not by those of many producers.
        exactly("message.timestamp.type", "LogAppendTime"),
        at_least("retention.ms", retention.as_millis()),
        // Size must not end what time promises.
        exactly("retention.bytes", "-1"),
        // Whole segments are deleted, so an old one should not be waited for.
        exactly("segment.ms", &DAY.as_millis().to_string()),
    ]);
    settings
}

#[cfg(test)]
mod tests;
