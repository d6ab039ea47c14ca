//! Reading declared keys: what is wrong is kept for [`Keys::finish`], without
//! which no value may be used. The typed getters are in `getters`.

use std::path::Path;

use super::error::{ConfigErrors, Origin};
use super::layers::{Layers, Raw};
use super::spec::{DefaultValue, KeySpec, Section};

/// Longest value that an error shows.
const SHOWN_CHARS: usize = 80;

/// Reads declared keys and collects what is wrong with them.
#[derive(Debug)]
pub struct Keys {
    pub(super) layers: Layers,
}

impl Keys {
    /// Knows the keys of `sections` and no value yet.
    #[must_use]
    pub fn new(sections: &[&'static Section]) -> Self {
        Self {
            layers: Layers::new(sections),
        }
    }

    /// Passes over these top-level sections: they belong to other binaries
    /// that are configured by the same file or environment.
    #[must_use]
    pub fn ignoring(mut self, foreign: &'static [&'static str]) -> Self {
        self.layers.foreign = foreign;
        self
    }

    /// A file, if there is one, and the environment over it.
    #[must_use]
    pub fn load(
        sections: &[&'static Section],
        file: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
    ) -> Self {
        let keys = Self::new(sections);
        match file {
            Some(file) => keys.file(file).env(env),
            None => keys.env(env),
        }
    }

    /// Adds a YAML file.
    #[must_use]
    pub fn file(mut self, file: &Path) -> Self {
        self.layers.add_file(file);
        self
    }

    /// Adds environment variables over what is there; only names that begin
    /// with `HOOKLANE__` count.
    #[must_use]
    pub fn env(mut self, variables: impl Iterator<Item = (String, String)>) -> Self {
        self.layers.add_env(variables);
        self
    }

    /// Sets one key by the program itself, over everything before.
    #[must_use]
    pub fn given(mut self, path: &str, value: impl Into<String>) -> Self {
        self.layers.add_given(path, value.into());
        self
    }

    /// Records that `spec`'s value breaks a rule between keys. Nothing is
    /// recorded where the key already has a problem of its own.
    pub fn problem(&mut self, spec: &KeySpec, reason: impl Into<String>) {
        if !self.failed(spec) {
            let origin = self
                .layers
                .entries
                .get(spec.path)
                .map(|entry| entry.origin.clone());
            self.layers
                .error(spec.path, origin.or(Some(Origin::Default)), reason.into());
        }
    }

    /// Records that an entry of the mapping `spec` cannot be used.
    pub fn entry_problem(&mut self, spec: &KeySpec, entry: &str, reason: impl Into<String>) {
        let entries = self.layers.maps.get(spec.path);
        let origin = entries
            .and_then(|entries| entries.get(entry))
            .map(|(_, origin)| origin.clone());
        let path = format!("{}.{entry}", spec.path);
        self.layers.error(&path, origin, reason.into());
    }

    /// Whether a problem with this key is known; rules between keys make no
    /// sense then, for its value is a placeholder.
    #[must_use]
    pub fn failed(&self, spec: &KeySpec) -> bool {
        self.layers
            .errors
            .iter()
            .any(|error| error.path == spec.path)
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// Every problem met, sorted by path.
    pub fn finish(self) -> Result<(), ConfigErrors> {
        let mut errors = self.layers.errors;
        errors.sort_by(|a, b| a.path.cmp(&b.path));
        // A key that is read twice is wrong once.
        errors.dedup();
        if errors.is_empty() {
            Ok(())
        } else {
            Err(ConfigErrors(errors))
        }
    }

    /// The value that holds, with its origin; records a missing required one.
    fn raw(&mut self, spec: &'static KeySpec) -> Option<(Raw, Origin)> {
        if let Some(entry) = self.layers.entries.get(spec.path) {
            return Some((entry.raw.clone(), entry.origin.clone()));
        }
        match spec.default {
            DefaultValue::Text(text) => Some((Raw::Text(text.to_owned()), Origin::Default)),
            DefaultValue::Unset => None,
            DefaultValue::Required => {
                if !self.layers.file_unreadable && !self.failed(spec) {
                    let reason =
                        format!("is required; set it in the file or as {}", spec.variable());
                    self.layers.error(spec.path, None, reason);
                }
                None
            }
        }
    }

    pub(super) fn scalar<T>(
        &mut self,
        spec: &'static KeySpec,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let (raw, origin) = self.raw(spec)?;
        // A list never gets here: the file's reader refuses it for these kinds.
        let Raw::Text(text) = raw else { return None };
        match read(&text) {
            Ok(value) => Some(value),
            Err(reason) => {
                let reason = format!("{} {reason}", shown(spec, &text));
                self.layers.error(spec.path, Some(origin), reason);
                None
            }
        }
    }

    pub(super) fn list<T>(
        &mut self,
        spec: &'static KeySpec,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let Some((raw, origin)) = self.raw(spec) else {
            return Vec::new();
        };
        let items = match raw {
            Raw::List(items) => items,
            Raw::Text(text) => text.split(',').map(str::to_owned).collect(),
        };
        let mut values = Vec::new();
        for item in items
            .iter()
            .map(|item| item.trim())
            .filter(|item| !item.is_empty())
        {
            match read(item) {
                Ok(value) => values.push(value),
                Err(reason) => {
                    let reason = format!("{} {reason}", shown(spec, item));
                    self.layers.error(spec.path, Some(origin.clone()), reason);
                }
            }
        }
        if values.is_empty() && spec.default == DefaultValue::Required && !self.failed(spec) {
            self.layers.error(
                spec.path,
                Some(origin),
                "is empty; name at least one".to_owned(),
            );
        }
        values
    }
}

/// The value as an error may show it.
fn shown(spec: &KeySpec, text: &str) -> String {
    if spec.secret {
        return "the value (not shown)".to_owned();
    }
    let mut short: String = text
        .chars()
        .take(SHOWN_CHARS)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().count() > SHOWN_CHARS {
        short.push_str("...");
    }
    format!("`{short}`")
}
