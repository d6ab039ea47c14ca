//! The environment as a layer over the file: which variable sets which key,
//! entries of maps, values read from files.

use std::collections::BTreeMap;

use super::error::Origin;
use super::layers::{Entry, Layers, Raw, unknown};
use super::spec::{KeySpec, Kind};
use super::suggest::nearest;

/// What all variables of ours begin with. One underscore is not ours:
/// Kubernetes makes `HOOKLANE_INGEST_PORT` for a service `hooklane-ingest`.
const PREFIX: &str = "HOOKLANE__";

/// The environment of this process, for [`super::Keys::env`]. What is not
/// UTF-8 arrives with replacement characters, which no typed getter accepts.
pub fn process_environment() -> impl Iterator<Item = (String, String)> {
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    std::env::vars_os().map(move |(name, value)| (text(name), text(value)))
}

impl Layers {
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
            matches!(spec.kind, Kind::Text | Kind::TextList)
                && Some(spec.variable().as_str()) == name.strip_suffix("_FILE")
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
            let of_file = name.strip_suffix("_FILE");
            let reason = match of_file.filter(|base| known.iter().any(|name| name == base)) {
                Some(base) => format!("only a text can come from a file; set `{base}`"),
                None => unknown("variable", nearest(&name, known.iter().map(String::as_str))),
            };
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
}

fn from_environment(origin: &Origin) -> bool {
    matches!(origin, Origin::Variable(_) | Origin::VariableFile(..))
}
