//! The key file: read at start, and again when it differs.
//!
//! A mounted Kubernetes secret changes by a swap of symbolic links, which no
//! watch of the file itself sees, so whoever holds a [`KeyFile`] asks now and
//! then; the file is small.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use hooklane_secrets::{Keyring, KeyringError};
use thiserror::Error;
use zeroize::Zeroizing;

/// 64 keys are below 8 KiB; the rest is for comments.
const BYTES_MAX: u64 = 64 * 1024;

/// Why there are no keys.
#[derive(Debug, Error)]
pub enum KeyFileError {
    /// The file is not there, or not for this process.
    #[error("key file {path} (secrets.kek_file) cannot be read")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is something else.
    #[error("key file {path} is larger than 64 KiB; is it another file?")]
    TooLarge {
        /// Which file.
        path: PathBuf,
    },
    /// Its content is no keyring.
    #[error("key file {path} is not usable")]
    Content {
        /// Which file.
        path: PathBuf,
        /// Why; never shows what stands there.
        #[source]
        source: KeyringError,
    },
}

/// A key file and what it held when it was last read.
pub struct KeyFile {
    path: PathBuf,
    text: Zeroizing<Vec<u8>>,
}

impl KeyFile {
    /// Reads the file.
    ///
    /// # Errors
    /// When it cannot be read or holds no keyring.
    pub fn open(path: &Path) -> Result<(Self, Keyring), KeyFileError> {
        let text = read(path)?;
        let keyring = parse(path, &text)?;
        let path = path.to_owned();
        Ok((Self { path, text }, keyring))
    }

    /// Reads it again; `None` if it is as it was. What cannot be used is
    /// reported once and otherwise changes nothing.
    ///
    /// # Errors
    /// As for [`KeyFile::open`].
    pub fn reload(&mut self) -> Result<Option<Keyring>, KeyFileError> {
        let text = read(&self.path)?;
        if *text == *self.text {
            return Ok(None);
        }
        self.text = text;
        parse(&self.path, &self.text).map(Some)
    }

    /// Who else may read or change the file, in words; `None` if nobody but
    /// its owner and group.
    #[must_use]
    pub fn exposed_to(&self) -> Option<String> {
        let mode = std::fs::metadata(&self.path).ok()?.permissions().mode();
        let others = match (mode & 0o004 != 0, mode & 0o022 != 0) {
            (true, true) => "is readable by everybody and writable by others than its owner",
            (true, false) => "is readable by everybody",
            (false, true) => "is writable by others than its owner",
            (false, false) => return None,
        };
        Some(format!(
            "key file {} {others} (mode {:03o}); make it 0400, or 0440 with a group of its own",
            self.path.display(),
            mode & 0o777
        ))
    }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let failed = |source| KeyFileError::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    // One buffer of the right size: one that grows leaves copies behind.
    let size = usize::try_from(BYTES_MAX).unwrap_or(usize::MAX);
    let mut text = Zeroizing::new(Vec::with_capacity(size + 1));
    file.take(BYTES_MAX + 1)
        .read_to_end(&mut text)
        .map_err(failed)?;
    if text.len() > size {
        let path = path.to_owned();
        return Err(KeyFileError::TooLarge { path });
    }
    Ok(text)
}

fn parse(path: &Path, text: &[u8]) -> Result<Keyring, KeyFileError> {
    // What is not text has no line with a colon that means anything.
    let parsed = std::str::from_utf8(text)
        .map_err(|_| KeyringError::Line(1))
        .and_then(Keyring::parse);
    parsed.map_err(|source| KeyFileError::Content {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const K1: &str = "writing: k1\nk1: AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";
    const K2: &str = "writing: k2\nk2: ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=\n";

    #[test]
    fn a_swap_of_links_is_seen_and_a_broken_file_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        for (version, text) in [("v1", K1), ("v2", "k1: nonsense"), ("v3", K2)] {
            std::fs::create_dir(dir.path().join(version)).unwrap();
            std::fs::write(dir.path().join(version).join("kek"), text).unwrap();
        }
        // As the kubelet does it: ..data points to a version, kek into ..data.
        let point_to = |version: &str| {
            symlink(version, dir.path().join("..new")).unwrap();
            std::fs::rename(dir.path().join("..new"), dir.path().join("..data")).unwrap();
        };
        point_to("v1");
        symlink("..data/kek", dir.path().join("kek")).unwrap();
        let (mut file, keyring) = KeyFile::open(&dir.path().join("kek")).unwrap();
        assert_eq!(keyring.writing().as_str(), "k1");
        assert!(file.reload().unwrap().is_none());
        point_to("v2");
        let error = file.reload().unwrap_err();
        assert!(matches!(error, KeyFileError::Content { .. }), "{error:?}");
        assert!(file.reload().unwrap().is_none(), "said once");
        point_to("v3");
        assert_eq!(file.reload().unwrap().unwrap().writing().as_str(), "k2");
        std::fs::remove_file(dir.path().join("kek")).unwrap();
        assert!(matches!(file.reload(), Err(KeyFileError::Read { .. })));
    }

    #[test]
    fn what_is_no_key_file_is_said_without_its_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kek");
        for content in [&b"hunter2\n"[..], b"\xff\xfe", b""] {
            std::fs::write(&path, content).unwrap();
            let error = KeyFile::open(&path).err().unwrap();
            let shown = format!("{error} {error:?}");
            assert!(matches!(error, KeyFileError::Content { .. }), "{shown}");
            assert!(!shown.contains("hunter2"), "{shown}");
        }
        std::fs::write(&path, vec![b'#'; 64 * 1024 + 1]).unwrap();
        let error = KeyFile::open(&path).err().unwrap();
        assert!(matches!(error, KeyFileError::TooLarge { .. }), "{error}");
    }

    #[test]
    fn loose_permissions_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kek");
        std::fs::write(&path, K1).unwrap();
        let (file, _) = KeyFile::open(&path).unwrap();
        for (mode, expected) in [
            (0o400, None),
            (0o640, None),
            (0o644, Some("readable by everybody (mode 644)")),
            (0o620, Some("writable by others than its owner (mode 620)")),
            (0o666, Some("(mode 666)")),
        ] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            let said = file.exposed_to();
            assert_eq!(said.is_some(), expected.is_some(), "{mode:o}: {said:?}");
            assert!(
                said.unwrap_or_default()
                    .contains(expected.unwrap_or_default())
            );
        }
    }
}
