//! Which events a subscription wants: event-type patterns and filters.
//!
//! A filter is a JSON pattern in the language of EventBridge. It is laid over
//! the event as one document: the CloudEvents attributes at the top (`type`,
//! `source`, `id`, `subject`, `time`, `tenant`, extensions), the payload under
//! `data`. All fields of an object must match; of a field's list one condition
//! is enough; `$or` holds alternatives of a whole object.
//!
//! What the language leaves open, and how it is here:
//! - **Lists in the event**: one element is enough, lists in lists included.
//!   Of a list of objects one object must match all that the pattern says
//!   below it; each `$or` alternative looks for its own.
//! - **Absent**: nothing matches a value that is not there but
//!   `exists: false`. An empty list holds no value. `null` is a value, and so
//!   is an object: EventBridge knows `exists` only at the ends of a document.
//! - **`anything-but`** takes any scalar that is not one of those named,
//!   whatever its kind; it needs a value to be there.
//! - **Numbers** are compared by exact value: 1, 1.0 and 1e0 are one number,
//!   and 9007199254740993 is not 9007199254740992. A text is never a number.
//! - **A key twice** in a JSON object: the last one counts.
//! - **Attributes are texts**, also those that a CloudEvent wrote as a number.
//!
//! Filters are written by tenants and run for every event, so each is bounded
//! when it is written: see the constants in [`limit`].

mod condition;
mod document;
mod event_type;
mod operator;
mod parse;
mod scalar;
mod wildcard;

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

pub use document::{Data, Document};
pub use event_type::EventTypePattern;
pub(crate) use event_type::Shape as EventTypeShape;
pub(crate) use scalar::Scalar;

use condition::Condition;

/// How large a filter may be.
pub mod limit {
    /// Objects inside each other. Real events are rarely deeper than 8.
    pub const DEPTH_MAX: usize = 32;
    /// Conditions in all; each may be evaluated for each value of an event.
    pub const CONDITIONS_MAX: usize = 256;
    /// Alternatives of all `$or` together.
    pub const OR_ALTERNATIVES_MAX: usize = 64;
    /// `*` in one wildcard; each costs one pass over the text.
    pub const WILDCARD_STARS_MAX: usize = 8;
    /// Bytes of one text of a filter, and of an event-type pattern.
    pub const TEXT_MAX: usize = 1024;
}

/// Key of the payload in the document that filters see.
pub const DATA: &str = "data";

/// Why a filter or pattern is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterError {
    /// Path below the filter, beginning with `.` or `[`, or empty.
    pub path: String,
    /// What is wrong and what would be right.
    pub reason: String,
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.reason)
        } else {
            write!(f, "{}: {}", self.path, self.reason)
        }
    }
}

impl std::error::Error for FilterError {}

/// A condition on an event, checked and bounded. Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    root: Arc<Node>,
    needs_data: bool,
}

/// An object of the pattern: everything in it must match.
#[derive(Clone, Debug, Default, PartialEq)]
struct Node {
    /// At the root, attributes come before `data`: they cost no parsing.
    fields: Vec<(String, Child)>,
    /// The alternatives of `$or`; empty when there is none.
    any_of: Vec<Node>,
}

#[derive(Clone, Debug, PartialEq)]
enum Child {
    Node(Node),
    Leaf(Vec<Condition>),
}

/// A field that must have one of a few values: what an index can file by.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Equality<'a> {
    /// From the root of the document; one segment for an attribute.
    pub(crate) path: Vec<&'a str>,
    /// Any of these; never empty.
    pub(crate) values: Vec<&'a Scalar>,
}

impl Filter {
    /// Reads a pattern.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its path.
    pub fn parse(value: &Value) -> Result<Self, Vec<FilterError>> {
        let root = parse::parse(value)?;
        Ok(Self {
            needs_data: root.names_data(),
            root: Arc::new(root),
        })
    }

    /// Whether the filter may have to look into the payload.
    #[must_use]
    pub fn needs_data(&self) -> bool {
        self.needs_data
    }

    /// Whether the event matches. Parses the payload if it has to and nobody
    /// did yet.
    #[must_use]
    pub fn matches(&self, document: &Document<'_>) -> bool {
        self.root.matches_document(document)
    }

    /// The equality conditions that every matching event meets.
    pub(crate) fn equalities(&self) -> Vec<Equality<'_>> {
        let mut found = Vec::new();
        self.root.collect_equalities(&mut Vec::new(), &mut found);
        found
    }
}

impl Node {
    fn names_data(&self) -> bool {
        self.fields.iter().any(|(name, _)| name == DATA) || self.any_of.iter().any(Self::names_data)
    }

    fn matches_document(&self, document: &Document<'_>) -> bool {
        let fields = self.fields.iter().all(|(name, child)| match child {
            child if name == DATA => child.matches(document.data()),
            Child::Leaf(conditions) => matches_attribute(conditions, document.attribute(name)),
            // Refused when the filter is read: an attribute has no fields.
            Child::Node(_) => false,
        });
        fields && self.one_of(|alternative| alternative.matches_document(document))
    }

    fn matches(&self, value: Option<&Value>) -> bool {
        match value {
            Some(Value::Object(map)) => {
                self.fields
                    .iter()
                    .all(|(name, child)| child.matches(map.get(name)))
                    && self.one_of(|alternative| alternative.matches(value))
            }
            Some(Value::Array(items)) if !items.is_empty() => {
                items.iter().any(|item| self.matches(Some(item)))
            }
            _ => self.matches_nothing(),
        }
    }

    /// The pattern on a value that has no fields.
    fn matches_nothing(&self) -> bool {
        self.fields.iter().all(|(_, child)| child.matches(None))
            && self.one_of(Self::matches_nothing)
    }

    fn one_of(&self, matches: impl FnMut(&Self) -> bool) -> bool {
        self.any_of.is_empty() || self.any_of.iter().any(matches)
    }

    fn collect_equalities<'a>(&'a self, path: &mut Vec<&'a str>, found: &mut Vec<Equality<'a>>) {
        for (name, child) in &self.fields {
            path.push(name);
            match child {
                Child::Node(node) => node.collect_equalities(path, found),
                Child::Leaf(conditions) => {
                    let values: Option<Vec<_>> =
                        conditions.iter().map(Condition::equality).collect();
                    if let Some(values) = values {
                        found.push(Equality {
                            path: path.clone(),
                            values,
                        });
                    }
                }
            }
            path.pop();
        }
    }
}

impl Child {
    fn matches(&self, value: Option<&Value>) -> bool {
        match self {
            Self::Node(node) => node.matches(value),
            Self::Leaf(conditions) => conditions.iter().any(|condition| match condition {
                Condition::Exists(wanted) => value.is_some_and(has_value) == *wanted,
                other => value.is_some_and(|v| any_value(v, &mut |v| other.matches(v))),
            }),
        }
    }
}

fn matches_attribute(conditions: &[Condition], text: Option<&str>) -> bool {
    conditions.iter().any(|condition| match condition {
        Condition::Exists(wanted) => text.is_some() == *wanted,
        other => text.is_some_and(|text| other.matches_text(text)),
    })
}

fn has_value(value: &Value) -> bool {
    any_value(value, &mut |_| true)
}

/// Whether `wanted` holds for the value or, of a list, for one in it.
fn any_value(value: &Value, wanted: &mut impl FnMut(&Value) -> bool) -> bool {
    match value {
        Value::Array(items) => items.iter().any(|item| any_value(item, wanted)),
        other => wanted(other),
    }
}

#[cfg(test)]
mod naive;
#[cfg(test)]
pub(crate) use naive::matches as naive_matches;
#[cfg(test)]
mod tests;
