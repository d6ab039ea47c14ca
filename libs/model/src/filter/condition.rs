//! One condition on one value.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use super::scalar::{Number, Scalar};
use super::wildcard::Wildcard;

/// What a value must be.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Condition {
    Equals(Scalar),
    Exists(bool),
    Numeric(Range),
    Text(TextTest),
    AnythingBut(Vec<Scalar>),
    AnythingButText(Vec<TextTest>),
}

/// What a text must be; nothing that is no text passes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum TextTest {
    Prefix(String),
    Suffix(String),
    /// The texts of the `Folded` tests are folded already.
    FoldedPrefix(String),
    FoldedSuffix(String),
    FoldedEquals(String),
    Wildcard(Wildcard),
    Cidr(IpNet),
}

/// Bounds of a number, each with whether the bound itself belongs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Range {
    pub(super) low: Option<(Number, bool)>,
    pub(super) high: Option<(Number, bool)>,
}

impl Range {
    fn contains(self, number: Number) -> bool {
        let above = self
            .low
            .is_none_or(|(low, with)| number > low || (with && number == low));
        let below = self
            .high
            .is_none_or(|(high, with)| number < high || (with && number == high));
        above && below
    }

    pub(super) fn is_empty(self) -> bool {
        match (self.low, self.high) {
            (Some((low, a)), Some((high, b))) => low > high || (low == high && !(a && b)),
            _ => false,
        }
    }
}

impl Condition {
    /// Whether a value that is there passes. Lists are taken apart by the
    /// caller, and `exists` is his too.
    pub(super) fn matches(&self, value: &Value) -> bool {
        match value {
            Value::String(text) => return self.matches_text(text),
            Value::Array(_) | Value::Object(_) => return false,
            _ => {}
        }
        match self {
            Self::Equals(scalar) => scalar.equals(value),
            Self::Numeric(range) => {
                matches!(value, Value::Number(number) if range.contains(Number::of(number)))
            }
            Self::AnythingBut(scalars) => !scalars.iter().any(|scalar| scalar.equals(value)),
            Self::AnythingButText(_) => true,
            Self::Text(_) | Self::Exists(_) => false,
        }
    }

    /// The same for a text.
    pub(super) fn matches_text(&self, text: &str) -> bool {
        match self {
            Self::Equals(scalar) => scalar.equals_text(text),
            Self::Text(test) => test.passes(text),
            Self::AnythingBut(scalars) => !scalars.iter().any(|scalar| scalar.equals_text(text)),
            Self::AnythingButText(tests) => !tests.iter().any(|test| test.passes(text)),
            Self::Numeric(_) | Self::Exists(_) => false,
        }
    }

    /// The value that this condition demands, if it demands one.
    pub(super) fn equality(&self) -> Option<&Scalar> {
        match self {
            Self::Equals(scalar) => Some(scalar),
            _ => None,
        }
    }
}

impl TextTest {
    fn passes(&self, text: &str) -> bool {
        match self {
            Self::Prefix(prefix) => text.starts_with(prefix.as_str()),
            Self::Suffix(suffix) => text.ends_with(suffix.as_str()),
            Self::FoldedPrefix(prefix) => begins(folded(text), prefix.chars()),
            Self::FoldedSuffix(suffix) => begins(folded_back(text), suffix.chars().rev()),
            Self::FoldedEquals(own) => folded(text).eq(own.chars()),
            Self::Wildcard(wildcard) => wildcard.matches(text),
            Self::Cidr(net) => text
                .parse::<IpAddr>()
                .is_ok_and(|address| net.contains(&address)),
        }
    }
}

/// A text for comparison without case.
pub(super) fn fold(text: &str) -> String {
    folded(text).collect()
}

fn folded(text: &str) -> impl Iterator<Item = char> {
    text.chars().flat_map(char::to_lowercase)
}

fn folded_back(text: &str) -> impl Iterator<Item = char> {
    text.chars().rev().flat_map(|c| c.to_lowercase().rev())
}

fn begins(mut text: impl Iterator<Item = char>, mut with: impl Iterator<Item = char>) -> bool {
    with.all(|c| text.next() == Some(c))
}
