//! The attributes of a CloudEvent in structured JSON mode.
//!
//! They stand in the body, so it has to be read; the event's data is passed
//! over without being kept, and is parsed only if a rule or a filter asks.

use std::fmt;

use hooklane_model::envelope::EventHead;
use serde::Deserializer;
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::{Unreadable, head_from};

pub(super) fn head_of(value: &[u8]) -> Result<EventHead, Unreadable> {
    let mut reader = serde_json::Deserializer::from_slice(value);
    let attributes = reader
        .deserialize_map(Attributes)
        .and_then(|found| reader.end().map(|()| found))
        .map_err(|error| Unreadable::Json(error.to_string()))?;
    let mut texts = Vec::with_capacity(attributes.len());
    for (name, value) in attributes {
        let text = match value {
            Value::Null => continue, // the same as absent
            Value::String(text) => text,
            plain @ (Value::Number(_) | Value::Bool(_)) => plain.to_string(),
            _ => return Err(Unreadable::AttributeKind(name)),
        };
        texts.push((name, text));
    }
    head_from(texts)
}

struct Attributes;

/// More is no CloudEvent: the specification knows ten and asks for few more.
const ATTRIBUTES_MAX: usize = 256;

impl<'de> Visitor<'de> for Attributes {
    type Value = Vec<(String, Value)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a CloudEvent as an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut attributes = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == "data" || name == "data_base64" {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            if attributes.len() == ATTRIBUTES_MAX {
                return Err(A::Error::custom(format!(
                    "more than {ATTRIBUTES_MAX} attributes"
                )));
            }
            attributes.push((name, map.next_value()?));
        }
        Ok(attributes)
    }
}
