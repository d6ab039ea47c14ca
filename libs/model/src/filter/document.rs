//! An event as filters see it: attributes at the top, the payload as `data`.

use std::cell::OnceCell;

use serde::Deserialize;
use serde_json::Value;

use crate::envelope::EventHead;

/// The payload for filters, parsed when the first one asks and then kept.
///
/// What cannot be parsed is absent: a filter on it does not match, and the
/// event is delivered to those who do not look inside.
#[derive(Debug)]
pub struct Data<'a> {
    bytes: &'a [u8],
    shape: Shape,
    parsed: OnceCell<Option<Value>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Opaque,
    Json,
    Structured,
}

/// A CloudEvent in structured mode, everything but its data passed over.
#[derive(Deserialize)]
struct DataMember {
    data: Option<Value>,
}

impl<'a> Data<'a> {
    /// A payload that nobody looks into: `data` is absent.
    #[must_use]
    pub fn opaque() -> Self {
        Self {
            bytes: &[],
            shape: Shape::Opaque,
            parsed: OnceCell::new(),
        }
    }

    /// A payload that is a JSON document.
    #[must_use]
    pub fn json(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            shape: Shape::Json,
            parsed: OnceCell::new(),
        }
    }

    /// A CloudEvent in structured JSON mode: filters see its `data` member.
    /// `data_base64` holds bytes that are not JSON, so `data` is absent then.
    #[must_use]
    pub fn structured(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            shape: Shape::Structured,
            parsed: OnceCell::new(),
        }
    }

    /// The payload, parsed now if it was not before.
    #[must_use]
    pub fn value(&self) -> Option<&Value> {
        let parse = || match self.shape {
            Shape::Opaque => None,
            Shape::Json => serde_json::from_slice(self.bytes).ok(),
            Shape::Structured => serde_json::from_slice::<DataMember>(self.bytes)
                .ok()
                .and_then(|event| event.data),
        };
        self.parsed.get_or_init(parse).as_ref()
    }

    /// Whether somebody asked for the payload.
    #[must_use]
    pub fn was_asked_for(&self) -> bool {
        self.parsed.get().is_some()
    }

    /// Whether the payload should have been JSON and was asked for in vain.
    #[must_use]
    pub fn is_unreadable(&self) -> bool {
        self.shape == Shape::Json && self.parsed.get().is_some_and(Option::is_none)
    }
}

/// One event as filters see it.
#[derive(Clone, Copy, Debug)]
pub struct Document<'a> {
    head: &'a EventHead,
    data: &'a Data<'a>,
}

impl<'a> Document<'a> {
    /// The event with these attributes and this payload.
    #[must_use]
    pub fn new(head: &'a EventHead, data: &'a Data<'a>) -> Self {
        Self { head, data }
    }

    /// The event's own account of itself.
    #[must_use]
    pub fn head(&self) -> &'a EventHead {
        self.head
    }

    /// An attribute by its CloudEvents name; `tenant` is what the source's
    /// rule found. An empty type is absent.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&'a str> {
        match name {
            "type" => Some(self.head.event_type.as_str()).filter(|t| !t.is_empty()),
            "source" => Some(&self.head.source),
            "id" => Some(&self.head.id),
            "tenant" => self.head.tenant.as_deref(),
            // An event in structured mode has one of its own, which is not
            // that of the payload around it.
            "datacontenttype" => {
                let own = self.other_attribute(name);
                own.or(self.head.content_type.as_deref())
            }
            other => self.other_attribute(other),
        }
    }

    fn other_attribute(&self, name: &str) -> Option<&'a str> {
        let attributes = &self.head.attributes;
        let at = attributes
            .binary_search_by(|(own, _)| own.as_str().cmp(name))
            .ok()?;
        Some(&attributes[at].1)
    }

    /// All attributes that are there, by name, in no order.
    pub(crate) fn attributes(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let fixed = ["type", "source", "id", "tenant", "datacontenttype"];
        let this = *self;
        let fixed = fixed
            .into_iter()
            .filter_map(move |name| Some((name, this.attribute(name)?)));
        let others = self.head.attributes.iter();
        fixed.chain(others.map(|(name, text)| (name.as_str(), text.as_str())))
    }

    /// At most how many attributes there are.
    pub(crate) fn attribute_count(&self) -> usize {
        5 + self.head.attributes.len()
    }

    /// The payload, parsed now if it was not before.
    #[must_use]
    pub fn data(&self) -> Option<&'a Value> {
        self.data.value()
    }
}
