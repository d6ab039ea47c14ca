//! Reads a filter, reporting everything that is wrong at once.

use serde_json::Value;

use super::limit::{CONDITIONS_MAX, DEPTH_MAX, OR_ALTERNATIVES_MAX, TEXT_MAX};
use super::operator::condition;
use super::{Child, DATA, FilterError, Node};
use crate::fields::kind;

const OR: &str = "$or";
/// Words of other filter languages. As field names they would never match
/// anything, and nobody would be told.
const NOT_OURS: [&str; 4] = ["$and", "$not", "$nor", "$in"];

pub(super) fn parse(value: &Value) -> Result<Node, Vec<FilterError>> {
    let mut parser = Parser::default();
    let root = parser.object(
        value,
        Place {
            path: String::new(),
            depth: 0,
            scope: Scope::Root,
        },
    );
    if parser.conditions > CONDITIONS_MAX {
        let reason = format!(
            "has {} conditions, at most {CONDITIONS_MAX} are allowed",
            parser.conditions
        );
        parser.problem("", reason);
    }
    if parser.alternatives > OR_ALTERNATIVES_MAX {
        let reason = format!(
            "has {} alternatives of $or, at most {OR_ALTERNATIVES_MAX} are allowed",
            parser.alternatives
        );
        parser.problem("", reason);
    }
    if parser.errors.is_empty() {
        Ok(root)
    } else {
        Err(parser.errors)
    }
}

#[derive(Default)]
struct Parser {
    errors: Vec<FilterError>,
    conditions: usize,
    alternatives: usize,
}

/// Where in the pattern we are.
struct Place {
    path: String,
    depth: usize,
    scope: Scope,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// The keys are attributes and `data`.
    Root,
    /// The value is an attribute's.
    Attribute,
    /// Inside the payload.
    Payload,
}

impl Place {
    fn field(&self, name: &str) -> Self {
        let plain = !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_alphanumeric() || "-_$".contains(c));
        let step = if plain {
            format!(".{name}")
        } else {
            format!("[{name:?}]")
        };
        let scope = match self.scope {
            Scope::Root if name != DATA => Scope::Attribute,
            _ => Scope::Payload,
        };
        Self {
            path: format!("{}{step}", self.path),
            depth: self.depth + 1,
            scope,
        }
    }

    /// An alternative of `$or`, which stands for the object it is in.
    fn alternative(&self, index: usize) -> Self {
        Self {
            path: format!("{}.{OR}[{index}]", self.path),
            depth: self.depth + 1,
            scope: self.scope,
        }
    }
}

impl Parser {
    fn problem(&mut self, path: impl Into<String>, reason: impl Into<String>) {
        self.errors.push(FilterError {
            path: path.into(),
            reason: reason.into(),
        });
    }

    fn object(&mut self, value: &Value, place: Place) -> Node {
        let mut node = Node::default();
        let Value::Object(map) = value else {
            let reason = format!("expected an object of fields, found {}", kind(value));
            self.problem(place.path, reason);
            return node;
        };
        if map.is_empty() {
            self.problem(
                &*place.path,
                "must not be empty: it would match every event",
            );
        }
        if place.depth > DEPTH_MAX {
            self.problem(place.path, format!("is deeper than {DEPTH_MAX} levels"));
            return node;
        }
        for (name, value) in map {
            if name == OR {
                node.any_of = self.alternatives(value, &place);
                continue;
            }
            self.check_name(name, &place);
            let child = self.child(value, place.field(name));
            node.fields.push((name.clone(), child));
        }
        if place.scope == Scope::Root {
            node.fields.sort_by_key(|(name, _)| name == DATA);
        }
        node
    }

    fn check_name(&mut self, name: &str, place: &Place) {
        let path = place.field(name).path;
        if NOT_OURS.contains(&name) {
            self.problem(
                path,
                format!("`{name}` is not an operator here; there is {OR}"),
            );
        } else if name.len() > TEXT_MAX {
            self.problem(path, format!("the name is longer than {TEXT_MAX} bytes"));
        } else if place.scope == Scope::Root
            && !name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        {
            let reason = "is not the name of a CloudEvents attribute (a-z, 0-9); \
                          fields of the payload stand under `data`";
            self.problem(path, reason);
        }
    }

    fn alternatives(&mut self, value: &Value, place: &Place) -> Vec<Node> {
        let path = format!("{}.{OR}", place.path);
        let Some(items) = value.as_array().filter(|items| items.len() >= 2) else {
            self.problem(path, "expected a list of at least two objects");
            return Vec::new();
        };
        self.alternatives += items.len();
        if self.alternatives > OR_ALTERNATIVES_MAX {
            return Vec::new(); // reported once, with the sum
        }
        let alternative = |(i, item)| self.object(item, place.alternative(i));
        items.iter().enumerate().map(alternative).collect()
    }

    fn child(&mut self, value: &Value, place: Place) -> Child {
        match value {
            Value::Object(_) if place.scope == Scope::Attribute => {
                self.problem(
                    place.path,
                    "an attribute is a text and has no fields; give a list",
                );
                Child::Leaf(Vec::new())
            }
            Value::Object(_) => Child::Node(self.object(value, place)),
            Value::Array(items) => {
                if items.is_empty() {
                    self.problem(&*place.path, "must not be empty: it would match nothing");
                }
                self.conditions += items.len();
                let mut conditions = Vec::with_capacity(items.len());
                for (i, item) in items.iter().enumerate() {
                    let path = format!("{}[{i}]", place.path);
                    match condition(item, place.scope == Scope::Attribute) {
                        Ok(condition) => conditions.push(condition),
                        Err((below, reason)) => self.problem(format!("{path}{below}"), reason),
                    }
                }
                Child::Leaf(conditions)
            }
            other => {
                let reason = format!(
                    "expected a list of values or conditions, or an object of fields, found {}; \
                     write [{other}]",
                    kind(other)
                );
                self.problem(place.path, reason);
                Child::Leaf(Vec::new())
            }
        }
    }
}
