//! Which of the client library's options an operator may set.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;

/// An option that can't be used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PropertyProblem {
    /// The option's name as it was written.
    pub key: String,
    /// Why it is refused; never its value.
    pub reason: String,
}

/// Options that Hooklane's promises rest on, with who decides instead.
const OWNED: &[(&str, &str)] = &[
    ("bootstrap.servers", "set kafka.brokers instead"),
    ("client.id", "every client is named by its service"),
    ("group.id", "every service has its own group"),
    (
        "group.instance.id",
        "two owners of one lane would be possible",
    ),
    (
        "enable.auto.commit",
        "offsets are committed when the work is done",
    ),
    (
        "enable.auto.offset.store",
        "offsets are committed when the work is done",
    ),
    (
        "auto.commit.interval.ms",
        "offsets are committed when the work is done",
    ),
    (
        "auto.offset.reset",
        "a position that is gone must be reported as lost",
    ),
    (
        "partition.assignment.strategy",
        "all members of a group must use the same",
    ),
    ("enable.partition.eof", "set where it is needed"),
    (
        "isolation.level",
        "the config topic is written in transactions",
    ),
    (
        "allow.auto.create.topics",
        "internal topics are created by `hooklane topics create`",
    ),
    (
        "enable.idempotence",
        "the order and number of records rest on it",
    ),
    (
        "enable.gapless.guarantee",
        "the order and number of records rest on it",
    ),
    ("acks", "a record counts when all in-sync replicas have it"),
    (
        "transactional.id",
        "only the config writer uses transactions",
    ),
    (
        "transaction.timeout.ms",
        "only the config writer uses transactions",
    ),
    (
        "partitioner",
        "lanes and partitions are chosen by one function",
    ),
    (
        "message.timeout.ms",
        "a record that is given up leaves a gap",
    ),
    (
        "message.max.bytes",
        "follows the record size that topics are created with",
    ),
    ("statistics.interval.ms", "the metrics rest on it"),
    ("log.queue", "set by the client"),
];

/// Other names of the library for the same option, so that one of them can't
/// slip past or race with the other.
const ALIASES: &[(&str, &str)] = &[
    ("metadata.broker.list", "bootstrap.servers"),
    ("request.required.acks", "acks"),
    ("delivery.timeout.ms", "message.timeout.ms"),
    ("queue.buffering.max.ms", "linger.ms"),
    ("compression.codec", "compression.type"),
    ("batch.num.bytes", "batch.size"),
    ("max.partition.fetch.bytes", "fetch.message.max.bytes"),
    ("max.in.flight", "max.in.flight.requests.per.connection"),
    ("retries", "message.send.max.retries"),
];

/// What KIP-848 leaves to the broker; librdkafka refuses to start with them.
const NOT_WITH_CONSUMER_PROTOCOL: &[&str] = &[
    "session.timeout.ms",
    "heartbeat.interval.ms",
    "group.protocol.type",
];

/// The library's main name of an option.
pub(super) fn canonical(key: &str) -> &str {
    ALIASES
        .iter()
        .find_map(|(alias, name)| (*alias == key).then_some(*name))
        .unwrap_or(key)
}

/// All that is wrong with `properties`, in their order; empty when they can
/// be used.
///
/// Combinations are left to the library, which checks them when a client is
/// created.
#[must_use]
pub fn check_properties(properties: &BTreeMap<String, String>) -> Vec<PropertyProblem> {
    let consumer_protocol = properties
        .get("group.protocol")
        .is_some_and(|p| p.eq_ignore_ascii_case("consumer"));
    let reason_of = |key: &str, value: &str| {
        let name = canonical(key);
        if let Some((_, reason)) = OWNED.iter().find(|(owned, _)| *owned == name) {
            return Some(format!("is not for operators to set: {reason}"));
        }
        if name != key && properties.contains_key(name) {
            return Some(format!("is another name of {name}, which is set too"));
        }
        if consumer_protocol && NOT_WITH_CONSUMER_PROTOCOL.contains(&name) {
            return Some("cannot be set with group.protocol=consumer".to_owned());
        }
        refused_by_library(key, value)
    };
    properties
        .iter()
        .filter_map(|(key, value)| {
            let reason = reason_of(key, value)?;
            let key = key.clone();
            Some(PropertyProblem { key, reason })
        })
        .collect()
}

fn refused_by_library(key: &str, value: &str) -> Option<String> {
    let mut config = ClientConfig::new();
    config.set(key, value);
    let refused = config.create_native_config().err()?;
    let KafkaError::ClientConfig(result, ..) = refused else {
        return Some("is not text the client library can take".to_owned());
    };
    // The library's own description quotes the value, which may be a secret.
    let reason = match result {
        rdkafka::types::RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN => {
            "is not an option of the client library (librdkafka 2.12), or not in this build"
        }
        _ => "has a value that the client library (librdkafka 2.12) refuses",
    };
    Some(reason.to_owned())
}
