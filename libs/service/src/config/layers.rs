//! Where values come from: the file, then the environment over it, then what
//! the program itself hands in. Everything is text here; what a text means is
//! decided by the getters. Unknown names are found here and in `environment`.

use std::collections::BTreeMap;
use std::path::Path;

use hooklane_model::yaml::without_values;
use serde_norway::{Mapping, Value};

use super::error::{ConfigError, Origin};
use super::spec::{KeySpec, Kind, Section};
use super::suggest::nearest;

/// A value before anybody knows its type.
#[derive(Clone, Debug)]
pub(super) enum Raw {
    Text(String),
    List(Vec<String>),
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) raw: Raw,
    pub(super) origin: Origin,
}

/// The merged values and the problems met so far.
#[derive(Debug)]
pub(super) struct Layers {
    pub(super) specs: Vec<&'static KeySpec>,
    /// Top-level names that belong to other binaries reading the same file.
    pub(super) foreign: &'static [&'static str],
    pub(super) entries: BTreeMap<&'static str, Entry>,
    pub(super) maps: BTreeMap<&'static str, BTreeMap<String, (String, Origin)>>,
    pub(super) errors: Vec<ConfigError>,
    /// A file that could not be read: then "required" would only be noise.
    pub(super) file_unreadable: bool,
}

impl Layers {
    pub(super) fn new(sections: &[&'static Section]) -> Self {
        Self {
            specs: sections.iter().flat_map(|section| section.keys).collect(),
            foreign: &[],
            entries: BTreeMap::new(),
            maps: BTreeMap::new(),
            errors: Vec::new(),
            file_unreadable: false,
        }
    }

    pub(super) fn error(&mut self, path: &str, origin: Option<Origin>, reason: String) {
        self.errors.push(ConfigError {
            path: path.to_owned(),
            origin,
            reason,
        });
    }

    pub(super) fn add_file(&mut self, file: &Path) {
        let name = file.display().to_string();
        let parsed = std::fs::read_to_string(file)
            .map_err(|error| format!("cannot be read: {error}"))
            .and_then(|text| {
                serde_norway::from_str::<Value>(&text)
                    .map_err(|e| format!("is not YAML: {}", without_values(&e)))
            });
        let reason = match parsed {
            Ok(Value::Mapping(mapping)) => return self.walk("", &mapping, file),
            Ok(Value::Null) => return,
            Ok(_) => "is not a mapping; write `section:` and its keys below it".to_owned(),
            Err(reason) => reason,
        };
        self.file_unreadable = true;
        self.error(&name, None, reason);
    }

    fn walk(&mut self, prefix: &str, mapping: &Mapping, file: &Path) {
        let origin = Origin::File(file.to_owned());
        for (key, value) in mapping {
            let Some(key) = scalar(key) else {
                let place = if prefix.is_empty() {
                    "top level"
                } else {
                    prefix
                };
                self.error(
                    place,
                    Some(origin.clone()),
                    "a key here is not text".to_owned(),
                );
                continue;
            };
            let path = if prefix.is_empty() {
                key.clone()
            } else {
                format!("{prefix}.{key}")
            };
            let below = format!("{path}.");
            if let Some(spec) = self.specs.iter().copied().find(|spec| spec.path == path) {
                self.take(spec, value, &origin);
            } else if self.specs.iter().any(|spec| spec.path.starts_with(&below)) {
                match value {
                    Value::Mapping(inner) => self.walk(&path, inner, file),
                    Value::Null => {}
                    _ => self.error(
                        &path,
                        Some(origin.clone()),
                        "is a section; write its keys below it".to_owned(),
                    ),
                }
            } else if !(prefix.is_empty() && self.foreign.contains(&key.as_str())) {
                self.unknown_path(&path, origin.clone());
            }
        }
    }

    fn unknown_path(&mut self, path: &str, origin: Origin) {
        let tops = self
            .specs
            .iter()
            .filter_map(|spec| spec.path.split('.').next());
        let known = self.specs.iter().map(|spec| spec.path).chain(tops);
        let reason = unknown("key", nearest(path, known));
        self.error(path, Some(origin), reason);
    }

    /// Takes one value of the file; a YAML null means unset.
    fn take(&mut self, spec: &'static KeySpec, value: &Value, origin: &Origin) {
        let raw = match (spec.kind, value) {
            (_, Value::Null) => return,
            (Kind::TextMap, Value::Mapping(mapping)) => {
                return self.take_map(spec, mapping, origin);
            }
            (Kind::TextMap, _) => {
                Err("is not a mapping; write one `name: value` a line".to_owned())
            }
            (Kind::TextList | Kind::CidrList, Value::Sequence(items)) => items
                .iter()
                .map(scalar)
                .collect::<Option<Vec<_>>>()
                .map(Raw::List)
                .ok_or_else(|| "has an item that is not a single value".to_owned()),
            _ => scalar(value).map(Raw::Text).ok_or_else(|| {
                format!(
                    "is not a single value; write this: {}",
                    spec.kind.describe()
                )
            }),
        };
        match raw {
            Ok(raw) => {
                self.entries.insert(
                    spec.path,
                    Entry {
                        raw,
                        origin: origin.clone(),
                    },
                );
            }
            Err(reason) => self.error(spec.path, Some(origin.clone()), reason),
        }
    }

    fn take_map(&mut self, spec: &'static KeySpec, mapping: &Mapping, origin: &Origin) {
        for (name, value) in mapping {
            let entry = scalar(name).zip(scalar(value));
            if let Some((name, value)) = entry {
                self.maps
                    .entry(spec.path)
                    .or_default()
                    .insert(name, (value, origin.clone()));
                continue;
            }
            let name = scalar(name).unwrap_or_else(|| "?".to_owned());
            self.error(
                &format!("{}.{name}", spec.path),
                Some(origin.clone()),
                "is not a single text; write dotted names as one key, `a.b.c: value`".to_owned(),
            );
        }
    }

    pub(super) fn add_given(&mut self, path: &str, value: String) {
        let exact = self.specs.iter().copied().find(|spec| spec.path == path);
        let map = self.specs.iter().copied().find_map(|spec| {
            let entry = path.strip_prefix(spec.path)?.strip_prefix('.')?;
            (spec.kind == Kind::TextMap).then(|| (spec, entry.to_owned()))
        });
        if let Some(spec) = exact {
            self.entries.insert(
                spec.path,
                Entry {
                    raw: Raw::Text(value),
                    origin: Origin::Given,
                },
            );
        } else if let Some((spec, entry)) = map {
            self.maps
                .entry(spec.path)
                .or_default()
                .insert(entry, (value, Origin::Given));
        } else {
            self.unknown_path(path, Origin::Given);
        }
    }
}

pub(super) fn unknown(what: &str, near: Option<&str>) -> String {
    match near {
        Some(near) => format!("unknown {what}; did you mean `{near}`?"),
        None => format!("unknown {what}; the reference of all keys is docs/configuration.md"),
    }
}

/// A YAML scalar as the text a person wrote, or nearly.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Sequence(_) | Value::Mapping(_) | Value::Tagged(_) => None,
    }
}
