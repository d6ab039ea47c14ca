//! Patterns of event types.

use super::FilterError;
use super::limit::TEXT_MAX;

/// `order.created`, `order.*` or `*`.
///
/// `*` stands only as the whole pattern or as the whole last segment after a
/// `.`. So a pattern is an equality or a prefix that ends at a segment, both
/// of which an index finds without trying them, and nobody has to know whether
/// `order*` was meant to take `orders.created`. What needs more (`*.created`)
/// is a filter on `type`, with `suffix` or `wildcard`.
///
/// `order.*` takes `order.created` and `order.line.added`, at any depth; not
/// `order`, and not `order.`. `*` takes every type, also an empty one. Upper
/// and lower case differ, as in CloudEvents.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EventTypePattern(Shape);

/// What a pattern comes to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Shape {
    Any,
    /// With the `.` at its end.
    Below(String),
    Exact(String),
}

impl EventTypePattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// Why it is none, with an empty path.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        let shape = if text == "*" {
            Shape::Any
        } else if let Some(prefix) = text.strip_suffix('*').filter(|p| p.ends_with('.')) {
            Shape::Below(prefix.to_owned())
        } else {
            Shape::Exact(text.to_owned())
        };
        let stem = match &shape {
            Shape::Any => return Ok(Self(shape)),
            Shape::Below(stem) | Shape::Exact(stem) => stem,
        };
        let reason = if stem.is_empty() || stem == "." {
            "an event type must not be empty; `*` takes all".to_owned()
        } else if stem.len() > TEXT_MAX {
            format!("is longer than {TEXT_MAX} bytes")
        } else if stem.contains('*') {
            format!(
                "`{text}`: `*` can only be the whole pattern or the whole last segment, as in \
                 `order.*`; for anything else use a filter on `type` with suffix or wildcard"
            )
        } else {
            return Ok(Self(shape));
        };
        Err(FilterError {
            path: String::new(),
            reason,
        })
    }

    /// Whether the pattern takes `event_type`.
    #[must_use]
    pub fn matches(&self, event_type: &str) -> bool {
        match &self.0 {
            Shape::Any => true,
            Shape::Below(prefix) => {
                event_type.len() > prefix.len() && event_type.starts_with(prefix)
            }
            Shape::Exact(own) => own == event_type,
        }
    }

    pub(crate) fn shape(&self) -> &Shape {
        &self.0
    }
}

impl std::fmt::Display for EventTypePattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Shape::Any => f.write_str("*"),
            Shape::Below(prefix) => write!(f, "{prefix}*"),
            Shape::Exact(own) => f.write_str(own),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_take_what_they_say() {
        let cases = [
            ("*", "", true),
            ("*", "order.created", true),
            ("order.*", "order.created", true),
            ("order.*", "order.line.added", true),
            ("order.*", "order", false),
            ("order.*", "order.", false),
            ("order.*", "orders.created", false),
            ("order.created", "order.created", true),
            ("order.created", "Order.Created", false),
            ("order.created", "order.created.v2", false),
        ];
        for (pattern, event_type, expected) in cases {
            let parsed = EventTypePattern::parse(pattern).unwrap();
            assert_eq!(
                parsed.matches(event_type),
                expected,
                "{pattern} {event_type}"
            );
            assert_eq!(parsed.to_string(), pattern);
        }
    }

    #[test]
    fn a_star_elsewhere_is_refused() {
        for bad in ["", ".*", "order*", "*.created", "a.*.b", "**", "a.**"] {
            assert!(EventTypePattern::parse(bad).is_err(), "{bad}");
        }
    }
}
