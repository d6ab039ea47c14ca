//! Values that must not be printed by accident.

use std::collections::BTreeMap;
use std::fmt;

/// A text whose Debug output is masked; it has no Display on purpose.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps `value`.
    #[must_use]
    pub fn new(value: String) -> Self {
        Self(value)
    }

    /// The value itself, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A map whose values may be secrets: Debug shows its keys alone.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecretMap(BTreeMap<String, String>);

impl SecretMap {
    /// Wraps `entries`.
    #[must_use]
    pub fn new(entries: BTreeMap<String, String>) -> Self {
        Self(entries)
    }

    /// The entries themselves, for the one place that needs them.
    #[must_use]
    pub fn expose(&self) -> &BTreeMap<String, String> {
        &self.0
    }
}

impl fmt::Debug for SecretMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.0.keys().map(|key| (key, Secret(String::new()))))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_shows_no_value() {
        let map = SecretMap::new([("sasl.password".to_owned(), "hunter2".to_owned())].into());
        let shown = format!("{:?} {map:?}", Secret::new("hunter2".to_owned()));
        assert_eq!(shown, r#"*** {"sasl.password": ***}"#);
    }
}
