//! A source: an event topic and how to read it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Metadata;
use crate::fields::{Fields, Findings};
use crate::id::SourceUid;

/// An event topic and how to read id, type, tenant and key from its records.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// Name, uid, generation.
    pub meta: Metadata,
    /// What a person declared.
    pub spec: SourceSpec,
    /// Where reading starts on each partition that existed when the source
    /// was created, resolved then, so that nothing produced between creation
    /// and the first reader is missed. A partition that is not listed is
    /// newer and starts at 0. `None`: not resolved.
    pub start_offsets: Option<BTreeMap<i32, i64>>,
}

impl Source {
    /// The uid as its type.
    #[must_use]
    pub fn uid(&self) -> SourceUid {
        SourceUid(self.meta.uid)
    }
}

/// The spec of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceSpec {
    /// The topic to read.
    pub topic: String,
    /// What the records are.
    pub format: Format,
    /// Whose an event is.
    pub tenant: TenantRule,
    /// What orders events.
    pub key: KeyRule,
    /// Where the event's id stands; `None`: CloudEvents `id`, else
    /// topic/partition/offset.
    pub id: Option<ValueRule>,
    /// Where the event's type stands; `None`: CloudEvents `type`, else empty.
    pub event_type: Option<ValueRule>,
    /// Where to begin.
    pub start_from: StartFrom,
}

/// What the records of a source are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// CloudEvents where the headers say so, else JSON where it is, else raw.
    Auto,
    /// CloudEvents in the Kafka binding, binary or structured mode.
    CloudEvents,
    /// A JSON document.
    Json,
    /// Bytes that are not looked into.
    Raw,
}

/// Whose an event is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TenantRule {
    /// A record header (or CloudEvents attribute header) names the tenant.
    Header(String),
    /// A JSON pointer into the payload names the tenant.
    JsonPointer(String),
    /// All events belong to this tenant.
    Fixed(String),
    /// Events belong to nobody: subscriptions of every tenant see them.
    Shared,
}

/// What orders events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyRule {
    /// The Kafka record key.
    KafkaKey,
    /// The CloudEvents `subject`.
    Subject,
    /// A JSON pointer into the payload.
    JsonPointer(String),
}

/// Where a value of an event stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueRule {
    /// In a record header.
    Header(String),
    /// In the payload.
    JsonPointer(String),
    /// The same for all events.
    Fixed(String),
}

/// Where reading of a new source begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartFrom {
    /// With the first event after the source was created.
    Latest,
    /// With the oldest event the topic still has.
    Earliest,
}

const FORMATS: [(&str, Format); 4] = [
    ("auto", Format::Auto),
    ("cloudevents", Format::CloudEvents),
    ("json", Format::Json),
    ("raw", Format::Raw),
];
const STARTS: [(&str, StartFrom); 2] = [
    ("latest", StartFrom::Latest),
    ("earliest", StartFrom::Earliest),
];

impl SourceSpec {
    pub(super) fn read(mut fields: Fields, findings: &mut Findings) -> Self {
        let topic = fields.required_text("topic", findings);
        if let Some(reason) = topic_problem(&topic) {
            findings.problem(fields.path_of("topic"), reason);
        }
        let format = fields
            .word("format", &FORMATS, findings)
            .unwrap_or(Format::Auto);
        let spec = Self {
            topic,
            format,
            tenant: read_tenant(&mut fields, findings),
            key: read_key(&mut fields, findings),
            id: read_value_rule(&mut fields, "id", findings),
            event_type: read_value_rule(&mut fields, "type", findings),
            start_from: fields
                .word("startFrom", &STARTS, findings)
                .unwrap_or(StartFrom::Latest),
        };
        fields.finish(findings);
        spec
    }
}

/// Kafka's own rules for topic names.
fn topic_problem(topic: &str) -> Option<String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if topic.is_empty() {
        return None; // reported as missing
    }
    let fits = topic.len() <= 249 && topic != "." && topic != ".." && topic.chars().all(legal);
    (!fits).then(|| {
        format!("`{topic}` is not a Kafka topic name: 1 to 249 of a-z, A-Z, 0-9, `.`, `_`, `-`")
    })
}

/// Reads an object that must have exactly one of the named fields.
fn exactly_one(
    fields: &mut Fields,
    field: &'static str,
    names: &[&'static str],
    findings: &mut Findings,
) -> Option<(&'static str, Value)> {
    let path = fields.path_of(field);
    let mut object = fields.object(field, findings)?;
    let mut found: Vec<(&'static str, Value)> = names
        .iter()
        .filter_map(|name| object.take(name).map(|value| (*name, value)))
        .collect();
    object.finish(findings);
    if found.len() != 1 {
        findings.problem(path, format!("give exactly one of {}", names.join(", ")));
        return None;
    }
    found.pop()
}

fn rule_text(path: String, name: &str, value: &Value, findings: &mut Findings) -> Option<String> {
    let Some(text) = value.as_str().filter(|t| !t.is_empty()) else {
        findings.problem(
            format!("{path}.{name}"),
            "expected a string that is not empty",
        );
        return None;
    };
    if name == "jsonPointer" && !text.starts_with('/') {
        findings.problem(
            format!("{path}.{name}"),
            "a JSON pointer begins with `/`, as /order/id",
        );
        return None;
    }
    Some(text.to_owned())
}

fn read_tenant(fields: &mut Fields, findings: &mut Findings) -> TenantRule {
    let path = fields.path_of("tenant");
    if !fields.has("tenant") {
        findings.problem(
            &*path,
            "is required: {header: NAME}, {jsonPointer: /PATH}, {fixed: TENANT} or {shared: true}",
        );
        return TenantRule::Shared;
    }
    let names = ["header", "jsonPointer", "fixed", "shared"];
    let Some((name, value)) = exactly_one(fields, "tenant", &names, findings) else {
        return TenantRule::Shared;
    };
    if name == "shared" {
        if value != json!(true) {
            findings.problem(format!("{path}.shared"), "expected true");
        }
        return TenantRule::Shared;
    }
    match (name, rule_text(path, name, &value, findings)) {
        ("header", Some(text)) => TenantRule::Header(text),
        ("jsonPointer", Some(text)) => TenantRule::JsonPointer(text),
        ("fixed", Some(text)) => TenantRule::Fixed(text),
        _ => TenantRule::Shared,
    }
}

fn read_key(fields: &mut Fields, findings: &mut Findings) -> KeyRule {
    let path = fields.path_of("key");
    match fields.take("key") {
        None => KeyRule::KafkaKey,
        Some(Value::String(word)) if word == "kafkaKey" => KeyRule::KafkaKey,
        Some(Value::String(word)) if word == "subject" => KeyRule::Subject,
        Some(Value::Object(map)) if map.len() == 1 && map.contains_key("jsonPointer") => {
            rule_text(path, "jsonPointer", &map["jsonPointer"], findings)
                .map_or(KeyRule::KafkaKey, KeyRule::JsonPointer)
        }
        Some(_) => {
            findings.problem(path, "expected kafkaKey, subject or {jsonPointer: /PATH}");
            KeyRule::KafkaKey
        }
    }
}

fn read_value_rule(
    fields: &mut Fields,
    field: &'static str,
    findings: &mut Findings,
) -> Option<ValueRule> {
    let path = fields.path_of(field);
    if !fields.has(field) {
        let _absent = fields.take(field);
        return None;
    }
    let (name, value) = exactly_one(fields, field, &["header", "jsonPointer", "fixed"], findings)?;
    let text = rule_text(path, name, &value, findings)?;
    Some(match name {
        "header" => ValueRule::Header(text),
        "jsonPointer" => ValueRule::JsonPointer(text),
        _ => ValueRule::Fixed(text),
    })
}
