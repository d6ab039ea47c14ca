//! Reads a JSON object field by field and reports every problem at once.
//!
//! serde stops at the first error and names lines, not fields. A person who
//! applies a manifest wants all of them, each with its path. Whoever writes
//! is held to the letter (unknown fields are problems); a service that reads
//! what a newer release wrote goes on and only notes them.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::duration;

/// One thing wrong in a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, as `spec.rateLimit.perSecond`.
    pub path: String,
    /// What is wrong and what would be right.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.reason)
        } else {
            write!(f, "{}: {}", self.path, self.reason)
        }
    }
}

/// What reading a document found.
#[derive(Debug, Default)]
pub struct Findings {
    /// What makes the document invalid.
    pub problems: Vec<Problem>,
    /// Fields nobody asked for: problems on write, notes on read.
    pub unknown: Vec<Problem>,
}

impl Findings {
    /// Notes a problem at `path`.
    pub fn problem(&mut self, path: impl Into<String>, reason: impl Into<String>) {
        self.problems.push(Problem {
            path: path.into(),
            reason: reason.into(),
        });
    }
}

/// An object of which each field is taken once.
#[derive(Debug)]
pub struct Fields {
    path: String,
    map: Map<String, Value>,
    asked: Vec<&'static str>,
}

impl Fields {
    /// The object `value` found at `path`; anything else is a problem, and
    /// reads as an empty object so that reading can go on.
    pub fn of(value: Value, path: impl Into<String>, findings: &mut Findings) -> Self {
        let path = path.into();
        let map = match value {
            Value::Object(map) => map,
            other => {
                findings.problem(
                    &*path,
                    format!("expected an object, found {}", kind(&other)),
                );
                Map::new()
            }
        };
        Self {
            path,
            map,
            asked: Vec::new(),
        }
    }

    /// The full path of `field`.
    #[must_use]
    pub fn path_of(&self, field: &str) -> String {
        if self.path.is_empty() {
            field.to_owned()
        } else {
            format!("{}.{field}", self.path)
        }
    }

    /// Takes a field as it is; absent and `null` are the same.
    pub fn take(&mut self, field: &'static str) -> Option<Value> {
        self.asked.push(field);
        self.map.remove(field).filter(|v| !v.is_null())
    }

    /// Whether a field is there and not `null`.
    #[must_use]
    pub fn has(&self, field: &str) -> bool {
        self.map.get(field).is_some_and(|v| !v.is_null())
    }

    /// Whether a field is this very text.
    #[must_use]
    pub fn text_is(&self, field: &str, text: &str) -> bool {
        self.map.get(field).and_then(Value::as_str) == Some(text)
    }

    /// Takes a nested object; absent reads as `None`.
    pub fn object(&mut self, field: &'static str, findings: &mut Findings) -> Option<Self> {
        let path = self.path_of(field);
        self.take(field)
            .map(|value| Self::of(value, path, findings))
    }

    /// Takes a text.
    pub fn text(&mut self, field: &'static str, findings: &mut Findings) -> Option<String> {
        match self.take(field)? {
            Value::String(text) => Some(text),
            other => self.mismatch(field, "a string", &other, findings),
        }
    }

    /// Takes a text that must be there.
    pub fn required_text(&mut self, field: &'static str, findings: &mut Findings) -> String {
        if !self.has(field) {
            findings.problem(self.path_of(field), "is required");
        }
        let text = self.text(field, findings);
        if text.as_deref() == Some("") {
            findings.problem(self.path_of(field), "is empty");
        }
        text.unwrap_or_default()
    }

    /// Takes `true` or `false`.
    pub fn boolean(&mut self, field: &'static str, findings: &mut Findings) -> Option<bool> {
        match self.take(field)? {
            Value::Bool(flag) => Some(flag),
            other => self.mismatch(field, "true or false", &other, findings),
        }
    }

    /// Takes a whole number from `min` to `max`.
    pub fn integer(
        &mut self,
        field: &'static str,
        (min, max): (u64, u64),
        findings: &mut Findings,
    ) -> Option<u64> {
        let value = self.take(field)?;
        let number = value.as_u64().filter(|n| (min..=max).contains(n));
        if number.is_none() {
            let wanted = format!("a whole number from {min} to {max}");
            return self.mismatch(field, &wanted, &value, findings);
        }
        number
    }

    /// Takes a number from `min` to `max`.
    pub fn number(
        &mut self,
        field: &'static str,
        (min, max): (f64, f64),
        findings: &mut Findings,
    ) -> Option<f64> {
        let value = self.take(field)?;
        let number = value.as_f64().filter(|n| (min..=max).contains(n));
        if number.is_none() {
            let wanted = format!("a number from {min} to {max}");
            return self.mismatch(field, &wanted, &value, findings);
        }
        number
    }

    /// Takes a duration such as `15s`, from `min` to `max`.
    pub fn duration(
        &mut self,
        field: &'static str,
        range: (Duration, Duration),
        findings: &mut Findings,
    ) -> Option<Duration> {
        let value = self.take(field)?;
        match duration_of(&value, range) {
            Ok(duration) => Some(duration),
            Err(reason) => {
                findings.problem(self.path_of(field), reason);
                None
            }
        }
    }

    /// Takes a list of durations, each from `min` to `max`.
    pub fn durations(
        &mut self,
        field: &'static str,
        range: (Duration, Duration),
        findings: &mut Findings,
    ) -> Option<Vec<Duration>> {
        let items = self.list(field, findings)?;
        let mut durations = Vec::with_capacity(items.len());
        for (i, item) in items.iter().enumerate() {
            match duration_of(item, range) {
                Ok(duration) => durations.push(duration),
                Err(reason) => findings.problem(format!("{}[{i}]", self.path_of(field)), reason),
            }
        }
        Some(durations)
    }

    /// Takes a list.
    pub fn list(&mut self, field: &'static str, findings: &mut Findings) -> Option<Vec<Value>> {
        match self.take(field)? {
            Value::Array(items) => Some(items),
            // By kind: a single secret where a list of them belongs is one.
            other => {
                let reason = format!("expected a list, found {}", kind(&other));
                findings.problem(self.path_of(field), reason);
                None
            }
        }
    }

    /// Takes a list of texts.
    pub fn texts(&mut self, field: &'static str, findings: &mut Findings) -> Option<Vec<String>> {
        let items = self.list(field, findings)?;
        let mut texts = Vec::with_capacity(items.len());
        for (i, item) in items.into_iter().enumerate() {
            match item {
                Value::String(text) => texts.push(text),
                other => findings.problem(
                    format!("{}[{i}]", self.path_of(field)),
                    format!("expected a string, found {}", kind(&other)),
                ),
            }
        }
        Some(texts)
    }

    /// Takes a map from text to text.
    pub fn text_map(
        &mut self,
        field: &'static str,
        findings: &mut Findings,
    ) -> Option<BTreeMap<String, String>> {
        let value = self.take(field)?;
        let Value::Object(map) = value else {
            return self.mismatch(field, "an object of strings", &value, findings);
        };
        let mut texts = BTreeMap::new();
        for (key, value) in map {
            match value {
                Value::String(text) => {
                    texts.insert(key, text);
                }
                other => findings.problem(
                    self.path_of(&format!("{field}.{key}")),
                    format!("expected a string, found {}", kind(&other)),
                ),
            }
        }
        Some(texts)
    }

    /// Takes one of a few words.
    pub fn word<T: Copy>(
        &mut self,
        field: &'static str,
        words: &[(&str, T)],
        findings: &mut Findings,
    ) -> Option<T> {
        let value = self.take(field)?;
        let known = words.iter().find(|(word, _)| value.as_str() == Some(word));
        if known.is_none() {
            let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let wanted = format!("one of {}", names.join(", "));
            return self.mismatch(field, &wanted, &value, findings);
        }
        known.map(|(_, meaning)| *meaning)
    }

    /// Ends the object: fields that nobody took are unknown.
    pub fn finish(self, findings: &mut Findings) {
        for field in self.map.keys() {
            // No field has a name as long: it may be a secret in the wrong place.
            let path = match field.len() {
                0..=SHOWN_MAX => self.path_of(field),
                _ => self.path_of("(a long name)"),
            };
            let reason = format!("unknown field; known here: {}", self.asked.join(", "));
            findings.unknown.push(Problem { path, reason });
        }
    }

    fn mismatch<T>(
        &self,
        field: &str,
        wanted: &str,
        found: &Value,
        findings: &mut Findings,
    ) -> Option<T> {
        findings.problem(
            self.path_of(field),
            format!("expected {wanted}, found {}", shown(found)),
        );
        None
    }
}

fn duration_of(value: &Value, (min, max): (Duration, Duration)) -> Result<Duration, String> {
    let text = value
        .as_str()
        .ok_or_else(|| format!("expected a duration such as 15s, found {}", shown(value)))?;
    let duration = duration::parse(text).map_err(|e| e.to_string())?;
    if duration < min || duration > max {
        let (min, max) = (duration::format(min), duration::format(max));
        return Err(format!(
            "expected a duration from {min} to {max}, found {text}"
        ));
    }
    Ok(duration)
}

/// The kind of a JSON value, in words.
#[must_use]
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Longest text that a problem repeats: words and times are shorter, keys and
/// most tokens longer.
const SHOWN_MAX: usize = 32;

/// A scalar as written, anything larger by kind: an error names the value
/// without repeating a document, or a secret that stands in the wrong place.
fn shown(value: &Value) -> String {
    match value {
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) if text.len() <= SHOWN_MAX => format!("`{text}`"),
        other => kind(other).to_owned(),
    }
}
