//! Reads one condition: a plain value or an operator.

use serde_json::{Map, Value};

use super::condition::{Condition, Range, TextTest, fold};
use super::limit::{CONDITIONS_MAX, TEXT_MAX};
use super::scalar::{Number, Scalar};
use super::wildcard::Wildcard;
use crate::fields::kind;

const OPERATORS: &str =
    "prefix, suffix, wildcard, exists, anything-but, numeric, equals-ignore-case, cidr";

/// Path below the condition, and why.
pub(super) type Wrong = (String, String);

fn wrong<T>(path: impl Into<String>, reason: impl Into<String>) -> Result<T, Wrong> {
    Err((path.into(), reason.into()))
}

pub(super) fn condition(value: &Value, attribute: bool) -> Result<Condition, Wrong> {
    let condition = match value {
        Value::Object(map) => operator(map)?,
        Value::Array(_) => return wrong("", "a list in a list is no condition"),
        scalar => Condition::Equals(checked_scalar(scalar, "")?),
    };
    let never = match &condition {
        Condition::Equals(scalar) => !matches!(scalar, Scalar::Text(_)),
        Condition::Numeric(_) => true,
        _ => false,
    };
    if attribute && never {
        return wrong(
            "",
            "an attribute is always a text, so this would never match",
        );
    }
    Ok(condition)
}

fn operator(map: &Map<String, Value>) -> Result<Condition, Wrong> {
    let mut entries = map.iter();
    let (Some((name, value)), None) = (entries.next(), entries.next()) else {
        return wrong(
            "",
            format!("a condition has exactly one operator: {OPERATORS}"),
        );
    };
    let below = |(path, reason)| (format!(".{name}{path}"), reason);
    match name.as_str() {
        "exists" => match value.as_bool() {
            Some(flag) => Ok(Condition::Exists(flag)),
            None => wrong(".exists", "expected true or false"),
        },
        "numeric" => numeric(value).map(Condition::Numeric).map_err(below),
        "anything-but" => anything_but(value).map_err(below),
        "prefix" | "suffix" | "wildcard" | "equals-ignore-case" | "cidr" => {
            text_test(name, value).map(Condition::Text).map_err(below)
        }
        other => wrong(
            "",
            format!("`{other}` is not an operator; there are {OPERATORS}"),
        ),
    }
}

fn text(value: &Value) -> Result<&str, Wrong> {
    match value {
        Value::String(text) if text.len() > TEXT_MAX => {
            wrong("", format!("is longer than {TEXT_MAX} bytes"))
        }
        Value::String(text) => Ok(text),
        other => wrong("", format!("expected a string, found {}", kind(other))),
    }
}

fn text_test(name: &str, value: &Value) -> Result<TextTest, Wrong> {
    // `prefix` and `suffix` take a text or {"equals-ignore-case": text}.
    let ignore_case = "equals-ignore-case";
    let inner = value
        .as_object()
        .filter(|map| map.len() == 1)
        .and_then(|map| map.get(ignore_case));
    if let Some(inner) = inner.filter(|_| name == "prefix" || name == "suffix") {
        let folded = fold(text(inner).map_err(|(_, reason)| (format!(".{ignore_case}"), reason))?);
        return Ok(if name == "prefix" {
            TextTest::FoldedPrefix(folded)
        } else {
            TextTest::FoldedSuffix(folded)
        });
    }
    let text = text(value)?;
    Ok(match name {
        "prefix" => TextTest::Prefix(text.to_owned()),
        "suffix" => TextTest::Suffix(text.to_owned()),
        "wildcard" => TextTest::Wildcard(Wildcard::parse(text).map_err(|e| (String::new(), e))?),
        "cidr" => cidr(text)?,
        _ => TextTest::FoldedEquals(fold(text)),
    })
}

fn cidr(text: &str) -> Result<TextTest, Wrong> {
    let net = text
        .parse()
        .or_else(|_| text.parse::<std::net::IpAddr>().map(ipnet::IpNet::from));
    match net {
        Ok(net) => Ok(TextTest::Cidr(net)),
        Err(_) => wrong(
            "",
            format!("`{text}` is not a network such as 10.0.0.0/8 or 2001:db8::/32"),
        ),
    }
}

fn checked_scalar(value: &Value, path: &str) -> Result<Scalar, Wrong> {
    if let Value::String(_) = value {
        text(value).map_err(|(_, reason)| (path.to_owned(), reason))?;
    }
    match Scalar::of(value) {
        Some(scalar) => Ok(scalar),
        None => wrong(
            path,
            format!("expected a plain value, found {}", kind(value)),
        ),
    }
}

/// One value, or the items of a list that must not be empty, with their paths.
fn one_or_more(value: &Value) -> Result<Vec<(String, &Value)>, Wrong> {
    match value {
        Value::Array(items) if items.is_empty() => wrong("", "must not be empty"),
        Value::Array(items) if items.len() > CONDITIONS_MAX => {
            wrong("", format!("has more than {CONDITIONS_MAX} values"))
        }
        Value::Array(items) => Ok(items
            .iter()
            .enumerate()
            .map(|(i, item)| (format!("[{i}]"), item))
            .collect()),
        other => Ok(vec![(String::new(), other)]),
    }
}

fn anything_but(value: &Value) -> Result<Condition, Wrong> {
    let Value::Object(map) = value else {
        let values = one_or_more(value)?;
        let scalars: Result<_, _> = values
            .iter()
            .map(|(path, v)| checked_scalar(v, path))
            .collect();
        return scalars.map(Condition::AnythingBut);
    };
    let known = ["prefix", "suffix", "wildcard", "equals-ignore-case"];
    let mut entries = map.iter();
    let (Some((name, value)), None) = (entries.next(), entries.next()) else {
        return wrong(
            "",
            format!("expected values or exactly one of {}", known.join(", ")),
        );
    };
    if !known.contains(&name.as_str()) {
        return wrong(
            "",
            format!("cannot hold `{name}`; only values or {}", known.join(", ")),
        );
    }
    let mut tests = Vec::new();
    for (path, value) in
        one_or_more(value).map_err(|(path, reason)| (format!(".{name}{path}"), reason))?
    {
        let test = text_test(name, value);
        tests.push(test.map_err(|(below, reason)| (format!(".{name}{path}{below}"), reason))?);
    }
    Ok(Condition::AnythingButText(tests))
}

fn numeric(value: &Value) -> Result<Range, Wrong> {
    let shape = "expected [\"=\", 5], [\">\", 0] or a range as [\">=\", 0, \"<\", 10]";
    let Some(items) = value
        .as_array()
        .filter(|items| matches!(items.len(), 2 | 4))
    else {
        return wrong("", shape);
    };
    let mut range = Range::default();
    for (i, pair) in items.chunks_exact(2).enumerate() {
        let number = match &pair[1] {
            Value::Number(number) => Number::of(number),
            other => {
                return wrong(
                    format!("[{}]", 2 * i + 1),
                    format!("expected a number, found {}", kind(other)),
                );
            }
        };
        let bound = match (pair[0].as_str(), items.len()) {
            (Some("="), 2) => {
                return Ok(Range {
                    low: Some((number, true)),
                    high: Some((number, true)),
                });
            }
            (Some(">"), _) => (&mut range.low, false),
            (Some(">="), _) => (&mut range.low, true),
            (Some("<"), _) => (&mut range.high, false),
            (Some("<="), _) => (&mut range.high, true),
            _ => return wrong(format!("[{}]", 2 * i), shape),
        };
        if bound.0.replace((number, bound.1)).is_some() {
            return wrong("", "gives the same bound twice");
        }
    }
    if range.is_empty() {
        return wrong("", "no number lies in this range");
    }
    Ok(range)
}
