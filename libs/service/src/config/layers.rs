//! Where values come from: the file, then the environment over it, then what
//! the program itself hands in. Everything is text here; what a text means is
//! decided by the getters in `keys`. Unknown names are found here.

use std::collections::BTreeMap;
use std::path::Path;

use serde_norway::{Mapping, Value};

use super::error::{ConfigError, Origin};
use super::spec::{KeySpec, Kind, Section};
use super::suggest::nearest;

/// What all variables of ours begin with. One underscore is not ours:
/// Kubernetes makes `HOOKLANE_INGEST_PORT` for a service `hooklane-ingest`.
const PREFIX: &str = "HOOKLANE__";

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
                serde_norway::from_str::<Value>(&text).map_err(|e| format!("is not YAML: {e}"))
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
            _ => scalar(value)
                .map(Raw::Text)
                .ok_or_else(|| format!("is not a single value; write a {}", spec.kind.describe())),
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

    pub(super) fn add_env(&mut self, variables: impl Iterator<Item = (String, String)>) {
        // Sorted, so that two runs report in the same order.
        let ours: BTreeMap<_, _> = variables
            .filter(|(name, _)| name.starts_with(PREFIX))
            .collect();
        for (name, value) in ours {
            self.add_variable(name, value);
        }
    }

    fn add_variable(&mut self, name: String, value: String) {
        if let Some(spec) = self
            .specs
            .iter()
            .copied()
            .find(|spec| spec.variable() == name)
        {
            if spec.kind == Kind::TextMap {
                let reason =
                    "is a mapping; set one variable per entry, `..__ENTRY_NAME`".to_owned();
                return self.error(spec.path, Some(Origin::Variable(name)), reason);
            }
            return self.set(spec, value, Origin::Variable(name));
        }
        let text_key = self.specs.iter().copied().find(|spec| {
            spec.kind == Kind::Text && Some(spec.variable().as_str()) == name.strip_suffix("_FILE")
        });
        if let Some(spec) = text_key {
            if let Some((value, origin)) = self.read_value(spec.path, &name, value) {
                self.set(spec, value, origin);
            }
            return;
        }
        let map = self.specs.iter().copied().find_map(|spec| {
            let rest = name.strip_prefix(&format!("{}__", spec.variable()))?;
            (spec.kind == Kind::TextMap).then(|| (spec, rest.to_owned()))
        });
        if let Some((spec, rest)) = map {
            return self.set_map_entry(spec, &rest, name, value);
        }
        let foreign = self
            .foreign
            .iter()
            .any(|section| name.starts_with(&format!("{PREFIX}{}__", section.to_uppercase())));
        if !foreign {
            let known: Vec<String> = self.specs.iter().map(|spec| spec.variable()).collect();
            let reason = unknown("variable", nearest(&name, known.iter().map(String::as_str)));
            self.error(&name, None, reason);
        }
    }

    /// Reads a value from the file that a `..._FILE` variable names.
    fn read_value(&mut self, path: &str, name: &str, file: String) -> Option<(String, Origin)> {
        let origin = Origin::VariableFile(name.to_owned(), file.into());
        let Origin::VariableFile(_, file) = &origin else {
            return None;
        };
        match std::fs::read_to_string(file) {
            Ok(text) => {
                let text = text.strip_suffix('\n').unwrap_or(&text);
                Some((text.strip_suffix('\r').unwrap_or(text).to_owned(), origin))
            }
            Err(error) => {
                let reason = format!("the file with the value cannot be read: {error}");
                self.error(path, Some(origin.clone()), reason);
                None
            }
        }
    }

    fn set(&mut self, spec: &'static KeySpec, value: String, origin: Origin) {
        if let Some(Entry {
            origin: earlier, ..
        }) = self.entries.get(spec.path)
            && from_environment(earlier)
        {
            let reason = format!("is also set by {earlier}; remove one of them");
            return self.error(spec.path, Some(origin), reason);
        }
        self.entries.insert(
            spec.path,
            Entry {
                raw: Raw::Text(value),
                origin,
            },
        );
    }

    fn set_map_entry(&mut self, spec: &'static KeySpec, rest: &str, name: String, value: String) {
        let (rest, from_file) = match rest.strip_suffix("_FILE") {
            Some(base) => (base, true),
            None => (rest, false),
        };
        if rest.is_empty() || rest.split('_').any(str::is_empty) {
            let reason = "does not name an entry; `_` stands for the dots of its name".to_owned();
            return self.error(spec.path, Some(Origin::Variable(name)), reason);
        }
        let entry = rest.to_lowercase().replace('_', ".");
        let path = format!("{}.{entry}", spec.path);
        let read = if from_file {
            self.read_value(&path, &name, value)
        } else {
            Some((value, Origin::Variable(name)))
        };
        let Some((value, origin)) = read else { return };
        let entries = self.maps.entry(spec.path).or_default();
        match entries.get(&entry) {
            Some((_, earlier)) if from_environment(earlier) => {
                let reason = format!("is also set by {earlier}; remove one of them");
                self.error(&path, Some(origin), reason);
            }
            _ => {
                entries.insert(entry, (value, origin));
            }
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

fn from_environment(origin: &Origin) -> bool {
    matches!(origin, Origin::Variable(_) | Origin::VariableFile(..))
}

fn unknown(what: &str, near: Option<&str>) -> String {
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
