//! What a topic must be against what the broker says it is.

use std::collections::BTreeMap;
use std::fmt;

use super::{Rule, Setting, TopicRole, TopicSpec, rung_wait};

/// A setting that is not as specified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The setting, or `partitions`, or `replication`.
    pub setting: String,
    /// As specified.
    pub expected: String,
    /// As it is.
    pub found: String,
    /// Whether a service must refuse to run with it.
    pub fatal: bool,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            setting,
            expected,
            found,
            ..
        } = self;
        write!(f, "{setting} is {found}, expected {expected}")
    }
}

/// What was found of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It does not exist.
    Missing,
    /// It is as specified, or better.
    AsSpecified,
    /// It exists and differs.
    Differs(Vec<Difference>),
}

/// A topic as specified and as found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicState {
    /// As specified.
    pub spec: TopicSpec,
    /// Partitions it has; 0 where it is missing.
    pub partitions: i32,
    /// How it compares.
    pub found: Found,
}

/// What a broker says about a topic.
#[derive(Clone, Debug, Default)]
pub(super) struct Actual {
    pub(super) partitions: i32,
    pub(super) replication: i16,
    /// `None` where the settings were not asked for.
    pub(super) settings: Option<BTreeMap<String, String>>,
}

/// Compares one topic.
pub(super) fn compare(spec: TopicSpec, actual: Option<&Actual>) -> TopicState {
    let Some(actual) = actual else {
        return TopicState {
            spec,
            partitions: 0,
            found: Found::Missing,
        };
    };
    let mut differences = Vec::new();
    if actual.partitions != spec.partitions {
        differences.push(Difference {
            setting: "partitions".to_owned(),
            expected: spec.partitions.to_string(),
            found: actual.partitions.to_string(),
            // One partition is one order; elsewhere the topic decides.
            fatal: spec.role == TopicRole::Table,
        });
    }
    if let Some(settings) = &actual.settings {
        if actual.replication < spec.replication {
            differences.push(Difference {
                setting: "replication".to_owned(),
                expected: spec.replication.to_string(),
                found: actual.replication.to_string(),
                fatal: false,
            });
        }
        for setting in &spec.settings {
            let found = settings.get(setting.name).map_or("", String::as_str);
            differences.extend(difference(spec.role, setting, found));
        }
    }
    TopicState {
        partitions: actual.partitions,
        found: if differences.is_empty() {
            Found::AsSpecified
        } else {
            Found::Differs(differences)
        },
        spec,
    }
}

fn difference(role: TopicRole, setting: &Setting, found: &str) -> Option<Difference> {
    let fine = match setting.rule {
        Rule::Exactly => setting.value == found,
        Rule::AtLeast => at_least(&setting.value, found),
    };
    (!fine).then(|| Difference {
        setting: setting.name.to_owned(),
        expected: match setting.rule {
            Rule::Exactly => setting.value.clone(),
            Rule::AtLeast => format!("at least {}", setting.value),
        },
        found: if found.is_empty() { "unknown" } else { found }.to_owned(),
        fatal: is_fatal(role, setting.name, found),
    })
}

fn at_least(expected: &str, found: &str) -> bool {
    match (expected.parse::<i64>(), found.parse::<i64>()) {
        (Ok(_), Ok(-1)) => true,
        (Ok(expected), Ok(found)) => found >= expected,
        _ => false,
    }
}

/// Whether a service can't live with a setting that differs.
fn is_fatal(role: TopicRole, name: &str, found: &str) -> bool {
    match (name, role) {
        ("cleanup.policy", _) | ("message.timestamp.type", TopicRole::Delay(_)) => true,
        ("retention.ms", TopicRole::Delay(rung)) => {
            // What can't be read is no reason to stop.
            let wait = rung_wait(rung).as_millis();
            found.parse::<u128>().is_ok_and(|found| found < wait)
        }
        _ => false,
    }
}
