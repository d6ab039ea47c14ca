//! A value that must not be seen.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Bytes that are wiped when dropped. Debug shows nothing of them, and there
/// is no Display, no Serialize and no `==`: what needs the value says so by
/// [`Secret::expose`].
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for the one place that needs them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The value as text, if it is one.
    #[must_use]
    pub fn expose_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// Whether two values are the same, in a time that depends on their
    /// lengths alone.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text.into_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_shows_the_value_or_its_length() {
        let shown = format!(
            "{:?} {:#?}",
            Secret::from("hunter2".to_owned()),
            Secret::new(vec![1])
        );
        assert_eq!(shown, "*** ***");
    }

    #[test]
    fn equal_is_equal_in_every_byte() {
        let secret = |text: &str| Secret::from(text.to_owned());
        assert!(secret("hunter2").same_as(&secret("hunter2")));
        for other in ["hunter3", "iunter2", "hunter", "hunter22", ""] {
            assert!(!secret("hunter2").same_as(&secret(other)), "{other}");
        }
    }
}
