//! The body of a request, and what of the event its headers say.
//!
//! Everything is computed from the event and nothing from the attempt, so that
//! a repeat has the same bytes. `raw` is the event's bytes themselves; the
//! other formats embed JSON data as it was written, without reading numbers or
//! sorting keys, and put anything else into `data_base64`.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hooklane_model::envelope::EventHead;
use hooklane_model::media_type::{CLOUDEVENT, JSON, essence, is_json};
use hooklane_model::resource::PayloadFormat;
use hooklane_model::time::UnixMillis;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::value::RawValue;

/// CloudEvents must have a type; this one says that the event had none.
const UNTYPED: &str = "hooklane.untyped";

/// An event as it is delivered.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// What it says about itself.
    pub head: &'a EventHead,
    /// Its bytes.
    pub payload: &'a Bytes,
    /// When it was first seen: its time, where it says none itself and its record
    /// had none.
    pub first_seen: UnixMillis,
}

/// The body and what belongs to it.
pub(crate) struct Content {
    pub(crate) body: Bytes,
    pub(crate) content_type: HeaderValue,
}

/// The body of `event` in `format`; attributes that are headers are inserted.
pub(crate) fn content(
    format: PayloadFormat,
    event: &Event<'_>,
    headers: &mut HeaderMap,
) -> Content {
    match format {
        PayloadFormat::Raw => raw(event),
        PayloadFormat::Standard => standard(event),
        PayloadFormat::CloudEventsBinary => binary(event, headers),
        PayloadFormat::CloudEventsStructured => structured(event),
    }
}

fn raw(event: &Event<'_>) -> Content {
    Content {
        body: event.payload.clone(),
        content_type: media_type_value(event.head.content_type.as_deref()),
    }
}

fn media_type_value(text: Option<&str>) -> HeaderValue {
    text.and_then(|text| HeaderValue::from_str(text).ok())
        .unwrap_or(HeaderValue::from_static("application/octet-stream"))
}

/// The event's data: what a structured CloudEvent wraps, else the payload.
enum Data<'a> {
    Json(&'a str),
    Other(Cow<'a, [u8]>),
    None,
}

#[derive(Deserialize)]
struct Wrapped<'a> {
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    data_base64: Option<Cow<'a, str>>,
}

impl<'a> Data<'a> {
    fn of(event: &Event<'a>) -> Self {
        let Some(wrapped) = unwrap(event) else {
            return Self::plain(event.head.content_type.as_deref(), event.payload);
        };
        if let Some(text) = wrapped.data_base64 {
            return match STANDARD.decode(text.as_bytes()) {
                Ok(bytes) => Self::Other(Cow::Owned(bytes)),
                Err(_) => Self::Other(Cow::Borrowed(event.payload)),
            };
        }
        let Some(data) = wrapped.data else {
            return Self::None;
        };
        // Data of another type is a string in JSON, and is that string.
        let is_json = attribute(event.head, "datacontenttype").is_none_or(is_json);
        match serde_json::from_str::<String>(data.get()) {
            Ok(text) if !is_json => Self::Other(Cow::Owned(text.into_bytes())),
            _ => Self::Json(data.get()),
        }
    }

    fn plain(content_type: Option<&str>, payload: &'a [u8]) -> Self {
        if payload.is_empty() {
            return Self::None;
        }
        let json = content_type
            .is_some_and(is_json)
            .then(|| serde_json::from_slice::<&RawValue>(payload).ok())
            .flatten();
        match json {
            Some(value) => Self::Json(value.get()),
            None => Self::Other(Cow::Borrowed(payload)),
        }
    }
}

/// What a structured CloudEvent wraps; `None` for any other event.
fn unwrap<'a>(event: &Event<'a>) -> Option<Wrapped<'a>> {
    let content_type = event.head.content_type.as_deref()?;
    if essence(content_type) != CLOUDEVENT {
        return None;
    }
    serde_json::from_slice(event.payload).ok()
}

/// `{"type", "timestamp", "data"}`, or `data_base64` for what is no JSON.
fn standard(event: &Event<'_>) -> Content {
    let mut text = String::with_capacity(event.payload.len() + 128);
    let time = attribute(event.head, "time")
        .map_or_else(|| Cow::Owned(event.first_seen.to_rfc3339()), Cow::Borrowed);
    text.push('{');
    push_member(&mut text, "type", &event.head.event_type);
    push_member(&mut text, "timestamp", &time);
    match Data::of(event) {
        Data::None => text.push_str("\"data\":null"),
        data => push_data(&mut text, &data),
    }
    text.push('}');
    Content {
        body: text.into(),
        content_type: HeaderValue::from_static(JSON),
    }
}

fn structured(event: &Event<'_>) -> Content {
    if unwrap(event).is_some() {
        // It is one already, and its writer's bytes are better than ours.
        return raw(event);
    }
    let mut text = String::with_capacity(event.payload.len() + 256);
    text.push('{');
    for (name, value) in attributes(event) {
        push_member(&mut text, name, value);
    }
    let data = Data::of(event);
    // Without a type, `data` is JSON and `data_base64` is bytes.
    if let Some(content_type) = &event.head.content_type {
        push_member(&mut text, "datacontenttype", content_type);
    }
    match data {
        // The last member has written its comma.
        Data::None => text.truncate(text.trim_end_matches(',').len()),
        data => push_data(&mut text, &data),
    }
    text.push('}');
    Content {
        body: text.into(),
        content_type: HeaderValue::from_static("application/cloudevents+json; charset=utf-8"),
    }
}

fn binary(event: &Event<'_>, headers: &mut HeaderMap) -> Content {
    for (name, value) in attributes(event) {
        let name = HeaderName::try_from(format!("ce-{name}"));
        let value = HeaderValue::try_from(percent_encoded(value));
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.insert(name, value);
        }
    }
    if unwrap(event).is_none() {
        return raw(event);
    }
    let content_type = attribute(event.head, "datacontenttype");
    match Data::of(event) {
        Data::Json(text) => Content {
            body: event.payload.slice_ref(text.as_bytes()),
            content_type: media_type_value(Some(content_type.unwrap_or(JSON))),
        },
        Data::Other(bytes) => Content {
            body: bytes.into_owned().into(),
            content_type: media_type_value(content_type),
        },
        Data::None => Content {
            body: Bytes::new(),
            content_type: media_type_value(content_type),
        },
    }
}

/// The attributes of CloudEvents 1.0, those of the event's own last. Names
/// that the specification does not allow are left out.
fn attributes<'a>(event: &Event<'a>) -> impl Iterator<Item = (&'a str, &'a str)> {
    const OURS: [&str; 7] = [
        "specversion",
        "id",
        "source",
        "type",
        "datacontenttype",
        "data",
        "data_base64",
    ];
    let head = event.head;
    let event_type = match head.event_type.as_str() {
        "" => UNTYPED,
        given => given,
    };
    let required = [
        ("specversion", "1.0"),
        ("id", &head.id),
        ("source", &head.source),
        ("type", event_type),
    ];
    let valid = |name: &str| {
        !name.is_empty()
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
            && !OURS.contains(&name)
    };
    let own = head.attributes.iter();
    let own = own.map(|(name, value)| (name.as_str(), value.as_str()));
    required
        .into_iter()
        .chain(own.filter(move |(name, _)| valid(name)))
}

fn attribute<'a>(head: &'a EventHead, name: &str) -> Option<&'a str> {
    let found = head.attributes.iter().find(|(own, _)| own == name);
    found.map(|(_, value)| value.as_str())
}

fn push_member(text: &mut String, name: &str, value: &str) {
    push_json(text, name);
    text.push(':');
    push_json(text, value);
    text.push(',');
}

fn push_json(text: &mut String, value: &str) {
    text.push_str(&serde_json::to_string(value).expect("a string is JSON"));
}

fn push_data(text: &mut String, data: &Data<'_>) {
    match data {
        Data::Json(json) => {
            text.push_str("\"data\":");
            text.push_str(json);
        }
        Data::Other(bytes) => {
            text.push_str("\"data_base64\":\"");
            STANDARD.encode_string(bytes, text);
            text.push('"');
        }
        Data::None => {}
    }
}

/// A header value as CloudEvents' HTTP binding writes it: spaces, quotes,
/// percent signs and all but printable ASCII as `%XX` of their UTF-8 bytes.
pub(crate) fn percent_encoded(value: &str) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        if matches!(byte, b'!'..=b'~') && byte != b'"' && byte != b'%' {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push(char::from(DIGITS[usize::from(byte >> 4)]));
            encoded.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
    encoded
}

#[cfg(test)]
mod tests;
