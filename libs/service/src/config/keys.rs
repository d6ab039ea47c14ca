//! The typed getters. Each returns a value at once; what was wrong with it is
//! kept for [`Keys::finish`], without which no value may be used.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use hooklane_model::duration::{self, DurationError};
use ipnet::IpNet;

use super::bytes;
use super::error::{ConfigErrors, Origin};
use super::layers::{Layers, Raw};
use super::secret::{Secret, SecretMap};
use super::spec::{DefaultValue, KeySpec, Kind, Section};

/// Longest value that an error shows.
const SHOWN_CHARS: usize = 80;

/// Reads declared keys and collects what is wrong with them.
#[derive(Debug)]
pub struct Keys {
    layers: Layers,
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
        if errors.is_empty() {
            Ok(())
        } else {
            Err(ConfigErrors(errors))
        }
    }

    /// A text that must be there (or has a default).
    pub fn string(&mut self, spec: &'static KeySpec) -> String {
        self.opt_string(spec).unwrap_or_default()
    }

    /// A text, or `None` when unset.
    pub fn opt_string(&mut self, spec: &'static KeySpec) -> Option<String> {
        debug_assert_eq!(spec.kind, Kind::Text, "{}", spec.path);
        self.scalar(spec, |text| {
            if text.is_empty() {
                Err(EMPTY.into())
            } else {
                Ok(text.into())
            }
        })
    }

    /// A text that is masked from here on, or `None` when unset.
    pub fn opt_secret(&mut self, spec: &'static KeySpec) -> Option<Secret> {
        debug_assert!(spec.secret, "{} is not declared secret", spec.path);
        self.opt_string(spec).map(Secret::new)
    }

    /// A duration.
    pub fn duration(&mut self, spec: &'static KeySpec) -> Duration {
        self.duration_within(spec, Duration::ZERO..=Duration::MAX)
    }

    /// A duration within bounds.
    pub fn duration_within(
        &mut self,
        spec: &'static KeySpec,
        range: RangeInclusive<Duration>,
    ) -> Duration {
        debug_assert_eq!(spec.kind, Kind::Duration, "{}", spec.path);
        let read = self.scalar(spec, |text| match duration::parse(text) {
            Ok(value) if range.contains(&value) => Ok(value),
            Ok(_) => Err(format!(
                "is out of range; allowed is {} to {}",
                duration::format(*range.start()),
                duration::format(*range.end())
            )),
            Err(DurationError::TooLong(_)) => Err("is too long a duration".to_owned()),
            Err(DurationError::Syntax(_)) => {
                Err("is not a duration; write as in 250ms, 15s, 5m, 1h30m".to_owned())
            }
        });
        read.unwrap_or(Duration::ZERO)
    }

    /// A size in bytes.
    pub fn bytes(&mut self, spec: &'static KeySpec, range: RangeInclusive<u64>) -> u64 {
        debug_assert_eq!(spec.kind, Kind::Bytes, "{}", spec.path);
        let read = self.scalar(spec, |text| match bytes::parse(text) {
            Some(value) if range.contains(&value) => Ok(value),
            Some(_) => Err(format!(
                "is out of range; allowed is {}B to {}B",
                range.start(),
                range.end()
            )),
            None => Err("is not a size; write as in 512B, 64KiB, 256MiB, 1GiB".to_owned()),
        });
        read.unwrap_or(0)
    }

    /// A whole number within bounds: u16, u32, u64 or usize.
    pub fn integer<T>(&mut self, spec: &'static KeySpec, range: RangeInclusive<T>) -> T
    where
        T: FromStr + PartialOrd + Display + Copy,
    {
        debug_assert_eq!(spec.kind, Kind::Integer, "{}", spec.path);
        self.in_range(spec, "a whole number", range)
    }

    /// A number within bounds.
    pub fn number(&mut self, spec: &'static KeySpec, range: RangeInclusive<f64>) -> f64 {
        debug_assert_eq!(spec.kind, Kind::Number, "{}", spec.path);
        self.in_range(spec, "a number", range)
    }

    /// `true` or `false`.
    pub fn bool(&mut self, spec: &'static KeySpec) -> bool {
        debug_assert_eq!(spec.kind, Kind::Bool, "{}", spec.path);
        let read = self.scalar(spec, |text| match text.to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("is neither `true` nor `false`".to_owned()),
        });
        read.unwrap_or_default()
    }

    /// An address to listen on, IPv4 or IPv6, with its port.
    pub fn socket_addr(&mut self, spec: &'static KeySpec) -> SocketAddr {
        debug_assert_eq!(spec.kind, Kind::Address, "{}", spec.path);
        let read = self.scalar(spec, |text| {
            let hint = "is not an address; write as in 0.0.0.0:9464, 127.0.0.1:0 or [::]:9464";
            text.parse().map_err(|_| hint.to_owned())
        });
        read.unwrap_or_else(|| (Ipv4Addr::UNSPECIFIED, 0).into())
    }

    /// One of the words in `choices`, which must be those of the spec.
    pub fn choice<T: Copy>(&mut self, spec: &'static KeySpec, choices: &[(&str, T)]) -> Option<T> {
        debug_assert!(
            matches!(spec.kind, Kind::Choice(words) if words.iter().eq(choices.iter().map(|(w, _)| w))),
            "{}",
            spec.path
        );
        self.scalar(spec, |text| {
            let found = choices
                .iter()
                .find(|(word, _)| *word == text)
                .map(|(_, value)| *value);
            found.ok_or_else(|| {
                let words: Vec<_> = choices
                    .iter()
                    .map(|(word, _)| format!("`{word}`"))
                    .collect();
                format!("is not one of {}", words.join(", "))
            })
        })
    }

    /// Texts. A required list must have one.
    pub fn string_list(&mut self, spec: &'static KeySpec) -> Vec<String> {
        debug_assert_eq!(spec.kind, Kind::TextList, "{}", spec.path);
        self.list(spec, |text| Ok(text.to_owned()))
    }

    /// Networks in CIDR notation; a single address is a network of one.
    pub fn cidr_list(&mut self, spec: &'static KeySpec) -> Vec<IpNet> {
        debug_assert_eq!(spec.kind, Kind::CidrList, "{}", spec.path);
        self.list(spec, |text| {
            let network: IpNet = text
                .parse()
                .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
                .map_err(|_| "is not a network; write as in 10.0.0.0/8 or fd00::/8")?;
            if network.trunc() == network {
                Ok(network)
            } else {
                Err(format!(
                    "has bits set beyond its prefix; write {}",
                    network.trunc()
                ))
            }
        })
    }

    /// A mapping of texts, merged from file and environment, its values masked.
    pub fn string_map(&mut self, spec: &'static KeySpec) -> SecretMap {
        debug_assert_eq!(spec.kind, Kind::TextMap, "{}", spec.path);
        let entries = self.layers.maps.get(spec.path);
        let plain: BTreeMap<_, _> = entries
            .into_iter()
            .flatten()
            .map(|(name, (value, _))| (name.clone(), value.clone()))
            .collect();
        SecretMap::new(plain)
    }

    fn in_range<T>(&mut self, spec: &'static KeySpec, what: &str, range: RangeInclusive<T>) -> T
    where
        T: FromStr + PartialOrd + Display + Copy,
    {
        let bounds = format!("{} to {}", range.start(), range.end());
        let read = self.scalar(spec, |text| match text.trim().parse::<T>() {
            Ok(value) if range.contains(&value) => Ok(value),
            Ok(_) => Err(format!("is out of range; allowed is {bounds}")),
            Err(_) => Err(format!("is not {what} of {bounds}")),
        });
        read.unwrap_or(*range.start())
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

    fn scalar<T>(
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

    fn list<T>(
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

const EMPTY: &str = "is empty; give it a value or remove the key";

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
