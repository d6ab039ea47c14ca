//! Finding what a source's rules point at: a header, an attribute, a place in
//! the event's data.

use hooklane_kafka::record::Record;
use hooklane_model::envelope::EventHead;
use hooklane_model::filter::Data;
use hooklane_model::lane::stable_hash;
use hooklane_model::resource::{KeyRule, TenantRule, ValueRule};
use serde_json::Value;

use super::{CE_PREFIX, Unreadable, text_of};

/// A header by its name, a CloudEvents attribute by its header's name with or
/// without the prefix, or by its own name in structured mode.
fn header_text<'a>(
    name: &str,
    record: &'a Record,
    head: &'a EventHead,
) -> Result<Option<&'a str>, Unreadable> {
    if let Some(value) = record.header(name) {
        return text_of(name, value).map(Some);
    }
    let attribute = name.strip_prefix(CE_PREFIX).unwrap_or(name);
    let of_event = match attribute {
        "id" => Some(&head.id),
        "source" => Some(&head.source),
        "type" => Some(&head.event_type),
        other => head
            .attributes
            .iter()
            .find(|(own, _)| own == other)
            .map(|(_, text)| text),
    };
    Ok(of_event.map(String::as_str))
}

/// A plain value inside the data, as a text.
fn pointed(pointer: &str, data: &Data<'_>) -> Result<Option<String>, Unreadable> {
    let value = data.value();
    if data.is_unreadable() {
        return Err(Unreadable::Json(format!("needed for {pointer}")));
    }
    Ok(match value.and_then(|value| value.pointer(pointer)) {
        Some(Value::String(text)) => Some(text.clone()),
        Some(plain @ (Value::Number(_) | Value::Bool(_))) => Some(plain.to_string()),
        _ => None,
    })
}

/// What the rule finds; an empty text is nothing.
pub(super) fn value_of(
    rule: &ValueRule,
    record: &Record,
    head: &EventHead,
    data: &Data<'_>,
) -> Result<Option<String>, Unreadable> {
    let found = match rule {
        ValueRule::Header(name) => header_text(name, record, head)?.map(str::to_owned),
        ValueRule::JsonPointer(pointer) => pointed(pointer, data)?,
        ValueRule::Fixed(text) => Some(text.clone()),
    };
    Ok(found.filter(|text| !text.is_empty()))
}

pub(super) fn tenant_of(
    rule: &TenantRule,
    record: &Record,
    head: &EventHead,
    data: &Data<'_>,
) -> Result<Option<String>, Unreadable> {
    let (rule, place) = match rule {
        TenantRule::Shared => return Ok(None),
        TenantRule::Fixed(tenant) => return Ok(Some(tenant.clone())),
        TenantRule::Header(name) => (ValueRule::Header(name.clone()), format!("header {name}")),
        TenantRule::JsonPointer(at) => (ValueRule::JsonPointer(at.clone()), at.clone()),
    };
    match value_of(&rule, record, head, data)? {
        Some(tenant) => Ok(Some(tenant)),
        None => Err(Unreadable::NoTenant(place)),
    }
}

/// A record without a key has no order to keep.
pub(super) fn key_of(
    rule: &KeyRule,
    record: &Record,
    head: &EventHead,
    data: &Data<'_>,
) -> Result<Option<u64>, Unreadable> {
    Ok(match rule {
        KeyRule::KafkaKey => record.key.as_deref().map(stable_hash),
        KeyRule::Subject => {
            let subject = header_text("ce_subject", record, head)?;
            subject.map(|subject| stable_hash(subject.as_bytes()))
        }
        KeyRule::JsonPointer(at) => pointed(at, data)?.map(|key| stable_hash(key.as_bytes())),
    })
}

/// Of the record, else of the event; one that is not well-formed is dropped:
/// a trace is not worth an event.
pub(super) fn traceparent_of(
    record: &Record,
    head: &EventHead,
) -> Result<Option<String>, Unreadable> {
    let of_record = record
        .header("traceparent")
        .and_then(|value| std::str::from_utf8(value).ok());
    let of_event = header_text("ce_traceparent", record, head)?;
    let valid = |text: &&str| {
        let parts: Vec<&str> = text.split('-').collect();
        let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
        lengths == [2, 32, 16, 2]
            && parts
                .iter()
                .all(|part| part.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    let found = of_record.filter(valid).or(of_event.filter(valid));
    Ok(found.map(str::to_owned))
}
