//! The language once more, as plainly as can be: the pattern as it was
//! written against the event as one document, nothing prepared. The oracle of
//! the property tests.

use serde_json::{Value, json};

use super::Document;

pub(crate) fn matches(pattern: &Value, document: &Document<'_>) -> bool {
    object(pattern, &whole(document))
}

fn whole(document: &Document<'_>) -> Value {
    let head = document.head();
    let mut event = json!({"source": head.source, "id": head.id});
    let optional = [
        ("type", Some(&head.event_type).filter(|t| !t.is_empty())),
        ("tenant", head.tenant.as_ref()),
        ("datacontenttype", head.content_type.as_ref()),
    ];
    for (name, text) in optional {
        if let Some(text) = text {
            event[name] = json!(text);
        }
    }
    for (name, text) in &head.attributes {
        event[name.as_str()] = json!(text);
    }
    if let Some(data) = document.data() {
        event["data"] = data.clone();
    }
    event
}

fn object(pattern: &Value, event: &Value) -> bool {
    if let Value::Array(items) = event
        && !items.is_empty()
    {
        return items.iter().any(|item| object(pattern, item));
    }
    pattern
        .as_object()
        .unwrap()
        .iter()
        .all(|(key, sub)| match sub {
            Value::Array(alternatives) if key == "$or" => {
                alternatives.iter().any(|a| object(a, event))
            }
            Value::Array(conditions) => {
                let mut values = Vec::new();
                if let Some(value) = event.get(key) {
                    flatten(value, &mut values);
                }
                conditions.iter().any(|c| condition(c, &values))
            }
            nested => object(nested, event.get(key).unwrap_or(&Value::Null)),
        })
}

fn flatten<'a>(value: &'a Value, into: &mut Vec<&'a Value>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| flatten(item, into)),
        other => into.push(other),
    }
}

fn condition(condition: &Value, values: &[&Value]) -> bool {
    if let Some(wanted) = condition.get("exists") {
        return wanted == &json!(!values.is_empty());
    }
    let scalars = values.iter().filter(|v| !v.is_object());
    scalars.into_iter().any(|value| one(condition, value))
}

fn same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b, // the tests keep to small numbers
        _ => a == b,
    }
}

fn one(condition: &Value, value: &Value) -> bool {
    let Some((operator, operand)) = condition.as_object().and_then(|map| map.iter().next()) else {
        return same(condition, value);
    };
    let text = value.as_str();
    let lower = |v: &Value| v["equals-ignore-case"].as_str().map(str::to_lowercase);
    match operator.as_str() {
        "prefix" => text.is_some_and(|t| match lower(operand) {
            Some(prefix) => t.to_lowercase().starts_with(&prefix),
            None => t.starts_with(operand.as_str().unwrap()),
        }),
        "suffix" => text.is_some_and(|t| match lower(operand) {
            Some(suffix) => t.to_lowercase().ends_with(&suffix),
            None => t.ends_with(operand.as_str().unwrap()),
        }),
        "equals-ignore-case" => {
            text.is_some_and(|t| t.to_lowercase() == operand.as_str().unwrap().to_lowercase())
        }
        "wildcard" => {
            let pattern: Vec<char> = operand.as_str().unwrap().chars().collect();
            text.is_some_and(|t| wildcard(&pattern, &t.chars().collect::<Vec<_>>()))
        }
        "cidr" => {
            let net: ipnet::IpNet = operand.as_str().unwrap().parse().unwrap();
            text.is_some_and(|t| {
                t.parse::<std::net::IpAddr>()
                    .is_ok_and(|a| net.contains(&a))
            })
        }
        "numeric" => value.as_f64().is_some_and(|number| {
            operand.as_array().unwrap().chunks(2).all(|pair| {
                let bound = pair[1].as_f64().unwrap();
                match pair[0].as_str().unwrap() {
                    "=" => number == bound,
                    "<" => number < bound,
                    "<=" => number <= bound,
                    ">" => number > bound,
                    _ => number >= bound,
                }
            })
        }),
        "anything-but" => {
            let (test, operand) = match operand.as_object().and_then(|map| map.iter().next()) {
                Some((name, inner)) => (Some(name), inner),
                None => (None, operand),
            };
            let listed = match operand {
                Value::Array(items) => items.clone(),
                single => vec![single.clone()],
            };
            !listed.into_iter().any(|item| match test {
                Some(name) => one(&json!({name.as_str(): item}), value),
                None => same(&item, value),
            })
        }
        other => panic!("{other}"),
    }
}

fn wildcard(pattern: &[char], text: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['*', rest @ ..] => (0..=text.len()).any(|skip| wildcard(rest, &text[skip..])),
        ['\\', c, rest @ ..] | [c, rest @ ..] => {
            text.first() == Some(c) && wildcard(rest, &text[1..])
        }
    }
}
