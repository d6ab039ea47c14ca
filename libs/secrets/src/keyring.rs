//! The key-encryption keys of a deployment, by id.
//!
//! A key file has a line `id: key` for each key, the key being 32 bytes in
//! base64, and one line `writing: id`, which names the key that new secrets
//! are sealed under. Empty lines and lines that begin with `#` do not count.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::entropy::{Entropy, EntropyError};

/// Bytes of a key.
pub(crate) const KEY_BYTES: usize = 32;
/// A key.
pub(crate) type Key = Zeroizing<[u8; KEY_BYTES]>;

/// Longest id: it stands in every sealed secret.
const ID_MAX: usize = 32;
/// More keys than ever wait for a re-wrap at a time.
const KEYS_MAX: usize = 64;
/// The word that names the writing key, and so no key.
const WRITING: &str = "writing";

/// The name of a key-encryption key: 1 to 32 of `a-z 0-9 -`, not `writing`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(String);

impl KeyId {
    /// Reads an id, if it is one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let good = (1..=ID_MAX).contains(&text.len()) && text.bytes().all(plain) && text != WRITING;
        good.then(|| Self(text.to_owned()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is wrong with a key file. Lines are counted from 1, and none is shown:
/// what stands in the wrong place of such a file may be a key.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum KeyringError {
    /// A line without a colon.
    #[error("line {0}: expected `id: key` or `writing: id`")]
    Line(usize),
    /// An id of other characters.
    #[error("line {0}: the id of a key is 1 to 32 of a-z, 0-9 and `-`")]
    Id(usize),
    /// A key of another form.
    #[error("line {0}: a key is 32 random bytes in base64; `hooklane secrets keygen` makes one")]
    Key(usize),
    /// The same id, the same key, or `writing` again.
    #[error("line {0}: repeats an earlier line")]
    Repeated(usize),
    /// More keys than can be of use.
    #[error("line {0}: a key file holds at most {KEYS_MAX} keys")]
    TooMany(usize),
    /// Nobody says which key is written with.
    #[error("there is no line `writing: id`, which names the key for new secrets")]
    NothingWrites,
    /// The writing key is not there.
    #[error("the writing key {0} has no line of its own")]
    NoSuchKey(KeyId),
}

/// Keys by id, one of them for writing.
#[derive(Clone)]
pub struct Keyring {
    keys: BTreeMap<KeyId, Key>,
    writing: KeyId,
}

impl Keyring {
    /// Reads the text of a key file.
    ///
    /// # Errors
    /// The first thing wrong with it.
    pub fn parse(text: &str) -> Result<Self, KeyringError> {
        let mut keys: BTreeMap<KeyId, Key> = BTreeMap::new();
        let mut writing = None;
        for (i, line) in text.lines().enumerate() {
            let (number, line) = (i + 1, line.trim());
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (id, value) = line.split_once(':').ok_or(KeyringError::Line(number))?;
            let (id, value) = (id.trim(), value.trim());
            if id == WRITING {
                let id = KeyId::parse(value).ok_or(KeyringError::Id(number))?;
                if writing.replace(id).is_some() {
                    return Err(KeyringError::Repeated(number));
                }
                continue;
            }
            let id = KeyId::parse(id).ok_or(KeyringError::Id(number))?;
            let key = read_key(value).ok_or(KeyringError::Key(number))?;
            if keys.contains_key(&id) || keys.values().any(|known| **known == *key) {
                return Err(KeyringError::Repeated(number));
            }
            if keys.len() == KEYS_MAX {
                return Err(KeyringError::TooMany(number));
            }
            keys.insert(id, key);
        }
        let writing = writing.ok_or(KeyringError::NothingWrites)?;
        if keys.contains_key(&writing) {
            Ok(Self { keys, writing })
        } else {
            Err(KeyringError::NoSuchKey(writing))
        }
    }

    /// The text of a key file with one new key.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn generate(
        id: &KeyId,
        entropy: &mut dyn Entropy,
    ) -> Result<Zeroizing<String>, EntropyError> {
        let mut key = Key::default();
        entropy.fill(&mut *key)?;
        // Room for all of it at once: a text that grows leaves copies behind.
        let mut text = Zeroizing::new(String::with_capacity(256));
        writeln!(text, "{WRITING}: {id}").expect("a String takes everything");
        write!(text, "{id}: ").expect("a String takes everything");
        STANDARD.encode_string(*key, &mut text);
        text.push('\n');
        Ok(text)
    }

    /// The key that new secrets are sealed under.
    #[must_use]
    pub fn writing(&self) -> &KeyId {
        &self.writing
    }

    /// The ids of all keys.
    pub fn ids(&self) -> impl Iterator<Item = &KeyId> {
        self.keys.keys()
    }

    pub(crate) fn key(&self, id: &KeyId) -> Option<&Key> {
        self.keys.get(id)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring")
            .field("writing", &self.writing)
            .field("keys", &self.keys.keys())
            .finish()
    }
}

/// A key, unless it is no key or an obvious placeholder.
fn read_key(text: &str) -> Option<Key> {
    let bytes = Zeroizing::new(STANDARD.decode(text).ok()?);
    let mut key = Key::default();
    if bytes.len() != KEY_BYTES || bytes.iter().all(|b| *b == bytes[0]) {
        return None;
    }
    key.copy_from_slice(&bytes);
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemEntropy;

    const ONE: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const TWO: &str = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

    #[test]
    fn a_file_of_several_keys_is_read() {
        let text = format!("# keys\n\nwriting: k-2\nk1: {ONE}\r\n k-2 : {TWO} \n");
        let ring = Keyring::parse(&text).unwrap();
        let ids: Vec<&str> = ring.ids().map(KeyId::as_str).collect();
        assert_eq!((ids, ring.writing().as_str()), (vec!["k-2", "k1"], "k-2"));
        assert_eq!(ring.key(&KeyId::parse("k1").unwrap()).unwrap()[31], 31);
        assert_eq!(
            format!("{ring:?}"),
            "Keyring { writing: k-2, keys: [k-2, k1] }"
        );
    }

    #[test]
    fn what_is_wrong_is_said_by_line() {
        let many: String = (0..=KEYS_MAX)
            .map(|i| {
                let mut key = [7u8; KEY_BYTES];
                key[0] = u8::try_from(i).unwrap() + 100;
                format!("k{i}: {}\n", STANDARD.encode(key))
            })
            .collect();
        let id = |text: &str| KeyId::parse(text).unwrap();
        let long = "k".repeat(ID_MAX + 1);
        for (text, expected) in [
            (String::new(), KeyringError::NothingWrites),
            (format!("k1: {ONE}"), KeyringError::NothingWrites),
            (format!("{ONE}\nwriting: k1"), KeyringError::Line(1)),
            (format!("writing: k1\n{long}: {ONE}"), KeyringError::Id(2)),
            (format!("K1: {ONE}"), KeyringError::Id(1)),
            (format!(": {ONE}"), KeyringError::Id(1)),
            (format!("writing: {ONE}"), KeyringError::Id(1)),
            ("writing: writing".to_owned(), KeyringError::Id(1)),
            (format!("k1: {}", &ONE[4..]), KeyringError::Key(1)),
            (format!("k1: AAAA{ONE}"), KeyringError::Key(1)),
            (
                format!("k1: {}", ONE.replace("h8=", "h9=")),
                KeyringError::Key(1),
            ),
            (format!("k1: {}A=", "A".repeat(42)), KeyringError::Key(1)),
            (format!("k1: {ONE}\nk2: {ONE}"), KeyringError::Repeated(2)),
            (format!("k1: {ONE}\nk1: {TWO}"), KeyringError::Repeated(2)),
            (
                "writing: a\nwriting: a".to_owned(),
                KeyringError::Repeated(2),
            ),
            (
                format!("k1: {ONE}\nwriting: k2"),
                KeyringError::NoSuchKey(id("k2")),
            ),
            (many, KeyringError::TooMany(KEYS_MAX + 1)),
        ] {
            let error = Keyring::parse(&text).unwrap_err();
            assert_eq!(error, expected, "{text}");
            let shown = format!("{error} {error:?}");
            assert!(
                !shown.contains("AAEC") && !shown.contains("CAkK"),
                "{shown}"
            );
        }
    }

    #[test]
    fn a_generated_file_can_be_read_and_differs_each_time() {
        let id = KeyId::parse("2026-11").unwrap();
        let make = || Keyring::generate(&id, &mut SystemEntropy).unwrap();
        let (one, two) = (make(), make());
        assert_eq!(Keyring::parse(&one).unwrap().writing(), &id);
        assert_ne!(*one, *two);
    }
}
