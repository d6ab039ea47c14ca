//! From a Kafka record to what the event says about itself.
//!
//! What a source's rules ask for is read from headers where it can be; the
//! body is parsed only when a rule points into it. The payload that is
//! delivered is always the record's value, byte for byte: in binary mode the
//! event's data, in structured mode the whole CloudEvent as it was written.
//! JSON pointers and filters look into the event's *data* in both modes.
//!
//! Rules:
//! - CloudEvents follow the Kafka binding: binary mode has `ce_specversion`,
//!   structured mode a content type of `application/cloudevents+json`.
//!   Batches and other encodings are unreadable.
//! - Format `auto` takes records without either for JSON when their content
//!   type says so or, without one, when the value begins like an object or a
//!   list; everything else is raw.
//! - An id or type that a rule asks for and the record does not have falls
//!   back to the CloudEvents one, then to topic/partition/offset and to an
//!   empty type. A tenant has no fallback: whose an event is must be certain.
//! - A record without a value is an event without data in binary mode and in
//!   format `raw`; a JSON record must have one.

mod rules;
mod structured;

use hooklane_kafka::record::{Record, TimestampKind};
use hooklane_model::envelope::EventHead;
use hooklane_model::filter::{Data, Document};
use hooklane_model::media_type::{CLOUDEVENT, JSON, essence, is_json};
use hooklane_model::resource::{Format, SourceSpec, ValueRule};
use hooklane_model::time::UnixMillis;
use rules::{key_of, tenant_of, traceparent_of, value_of};
use thiserror::Error;

/// Most bytes of an event's attributes. With a full target list they fit into
/// what internal topics allow beyond the source's records (128 KiB).
pub const HEAD_BYTES_MAX: usize = 64 << 10;
const CE_PREFIX: &str = "ce_";

/// Why a record is no event that its source's rules can read.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Unreadable {
    /// The format is CloudEvents and the headers know of none.
    #[error(
        "is no CloudEvent: it has neither a ce_specversion header nor a content-type of \
         application/cloudevents+json"
    )]
    NoCloudEvent,
    /// A CloudEvent in a form that is not supported.
    #[error("content-type {0} is not supported; send application/cloudevents+json")]
    Encoding(String),
    /// A CloudEvents version that is not known.
    #[error("CloudEvents specversion {0} is not supported, only 1.0 is")]
    Version(String),
    /// A required attribute is missing or empty.
    #[error("the CloudEvents attribute {0} is missing or empty")]
    MissingAttribute(&'static str),
    /// An attribute is no text.
    #[error("the header {0} is not UTF-8")]
    Header(String),
    /// The attribute of a structured event is a list or an object.
    #[error("the CloudEvents attribute {0} is neither a text nor a number nor a boolean")]
    AttributeKind(String),
    /// The body had to be read and is no JSON.
    #[error("the value is not JSON: {0}")]
    Json(String),
    /// There is no value, and the format needs one.
    #[error("the record has no value")]
    NoValue,
    /// Nothing says whose the event is.
    #[error("the tenant is missing: no text at {0}")]
    NoTenant(String),
    /// The attributes do not fit into an envelope.
    #[error("the event's attributes take {0} bytes, more than {HEAD_BYTES_MAX}")]
    HeadTooLarge(usize),
}

/// An event, its payload not looked into unless a rule had to.
#[derive(Debug)]
pub struct Event<'a> {
    /// What it says about itself.
    pub head: EventHead,
    /// Its data, for filters.
    pub data: Data<'a>,
}

impl Event<'_> {
    /// The event as filters see it.
    #[must_use]
    pub fn document(&self) -> Document<'_> {
        Document::new(&self.head, &self.data)
    }
}

/// Reads `record` by the rules of `source`.
///
/// # Errors
/// Why the record is poison.
pub fn decode<'a>(record: &'a Record, source: &SourceSpec) -> Result<Event<'a>, Unreadable> {
    let mut event = read(record, source.format)?;
    let head = &mut event.head;
    let found = |rule: &Option<ValueRule>, head: &EventHead, data: &Data<'_>| match rule {
        Some(rule) => value_of(rule, record, head, data),
        None => Ok(None),
    };
    if let Some(id) = found(&source.id, head, &event.data)? {
        head.id = id;
    }
    if let Some(event_type) = found(&source.event_type, head, &event.data)? {
        head.event_type = event_type;
    }
    if head.source.is_empty() {
        head.source = record.topic.to_string();
    }
    if head.id.is_empty() {
        head.id = format!("{}/{}/{}", record.topic, record.partition, record.offset);
    }
    head.tenant = tenant_of(&source.tenant, record, head, &event.data)?;
    head.key_hash = key_of(&source.key, record, head, &event.data)?;
    head.traceparent = traceparent_of(record, head)?;
    let size = size_of(head);
    if size > HEAD_BYTES_MAX {
        return Err(Unreadable::HeadTooLarge(size));
    }
    Ok(event)
}

/// Gives an event that does not say when it happened the time of its record:
/// who reads the record again, after a crash, makes the same event of it, and
/// a repeat of its delivery has the same body in every format. Not for filters:
/// they see what the event says.
pub fn date(head: &mut EventHead, record: &Record) {
    let at = head
        .attributes
        .binary_search_by(|(name, _)| name.as_str().cmp("time"));
    let (Err(at), Ok(millis)) = (at, u64::try_from(record.timestamp.millis)) else {
        return;
    };
    if record.timestamp.kind != TimestampKind::None {
        let time = UnixMillis(millis).to_rfc3339();
        head.attributes.insert(at, ("time".to_owned(), time));
    }
}

/// The record as an event, before any rule of the source.
fn read(record: &Record, format: Format) -> Result<Event<'_>, Unreadable> {
    let content_type = content_type_of(record)?;
    let value = record.value.as_deref();
    if matches!(format, Format::Auto | Format::CloudEvents) {
        let media_type = content_type.as_deref().map(essence);
        if let Some(found) = media_type.filter(|t| t.starts_with("application/cloudevents")) {
            if found != CLOUDEVENT {
                return Err(Unreadable::Encoding(found.into_owned()));
            }
            let value = value.ok_or(Unreadable::NoValue)?;
            let head = EventHead {
                content_type,
                ..structured::head_of(value)?
            };
            return Ok(Event {
                head,
                data: Data::structured(value),
            });
        }
        if record.header("ce_specversion").is_some() {
            let is_json = content_type.as_deref().is_none_or(is_json);
            let data = value
                .filter(|_| is_json)
                .map_or_else(Data::opaque, Data::json);
            let head = EventHead {
                content_type,
                ..binary_head(record)?
            };
            return Ok(Event { head, data });
        }
        if format == Format::CloudEvents {
            return Err(Unreadable::NoCloudEvent);
        }
    }
    let looks_like_json = || value.is_some_and(begins_like_json);
    let json = match format {
        Format::Json => true,
        Format::Raw => false,
        _ => content_type
            .as_deref()
            .map_or_else(looks_like_json, is_json),
    };
    let mut head = EventHead {
        content_type,
        ..EventHead::default()
    };
    if !json {
        return Ok(Event {
            head,
            data: Data::opaque(),
        });
    }
    head.content_type.get_or_insert_with(|| JSON.to_owned());
    let value = value.ok_or(Unreadable::NoValue)?;
    Ok(Event {
        head,
        data: Data::json(value),
    })
}

fn binary_head(record: &Record) -> Result<EventHead, Unreadable> {
    let mut attributes = Vec::new();
    for (name, value) in &record.headers {
        if let Some(attribute) = name.strip_prefix(CE_PREFIX) {
            attributes.push((attribute.to_owned(), text_of(name, value)?.to_owned()));
        }
    }
    head_from(attributes)
}

/// The head of a CloudEvent with these attributes; of a name that comes twice
/// the first counts.
fn head_from(mut attributes: Vec<(String, String)>) -> Result<EventHead, Unreadable> {
    attributes.sort_by(|(a, _), (b, _)| a.cmp(b));
    attributes.dedup_by(|(a, _), (b, _)| a == b);
    let mut take = |name: &'static str| {
        let at = attributes.iter().position(|(own, _)| own == name);
        let value = at.map(|at| attributes.remove(at).1);
        value
            .filter(|v| !v.is_empty())
            .ok_or(Unreadable::MissingAttribute(name))
    };
    let (id, source, event_type) = (take("id")?, take("source")?, take("type")?);
    let version = attributes.iter().find(|(name, _)| name == "specversion");
    match version {
        Some((_, version)) if version == "1.0" => {}
        Some((_, version)) => return Err(Unreadable::Version(version.clone())),
        None => return Err(Unreadable::MissingAttribute("specversion")),
    }
    Ok(EventHead {
        id,
        source,
        event_type,
        attributes,
        ..EventHead::default()
    })
}

fn text_of<'a>(name: &str, value: &'a [u8]) -> Result<&'a str, Unreadable> {
    std::str::from_utf8(value).map_err(|_| Unreadable::Header(name.to_owned()))
}

/// Producers spell this one header both ways.
fn content_type_of(record: &Record) -> Result<Option<String>, Unreadable> {
    let header = record
        .headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let Some((name, value)) = header else {
        return Ok(None);
    };
    let text = text_of(name, value)?.trim();
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

fn begins_like_json(value: &[u8]) -> bool {
    let first = value.iter().find(|byte| !byte.is_ascii_whitespace());
    matches!(first, Some(b'{' | b'['))
}

fn size_of(head: &EventHead) -> usize {
    let optional = [&head.tenant, &head.content_type, &head.traceparent];
    let optional: usize = optional.into_iter().flatten().map(String::len).sum();
    let attributes = head
        .attributes
        .iter()
        .map(|(name, text)| name.len() + text.len() + 8);
    optional + head.source.len() + head.id.len() + head.event_type.len() + attributes.sum::<usize>()
}

#[cfg(test)]
mod tests;
