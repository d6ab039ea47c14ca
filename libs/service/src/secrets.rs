//! Where secrets come from besides the configuration topic: the file with the
//! keys that they are encrypted under there, and what a deployment mounts for
//! `valueFrom`.
//!
//! Manifests are written by tenants, so what they can name is what the
//! deployment set aside for that tenant, and nothing else of the process.

mod key_file;
mod mounted;

use std::path::PathBuf;

use crate::config::{KeySpec, Keys, Kind, Section};

pub use key_file::{KeyFile, KeyFileError};
pub use mounted::{MountError, MountedSecrets, check_name};

const KEK_FILE: KeySpec = KeySpec::optional(
    "secrets.kek_file",
    Kind::Text,
    "File with the keys that secrets are encrypted under in Kafka (`hooklane secrets keygen` makes \
     one). The dispatcher reads it again when it changes; the `hooklane` command needs it to apply \
     secrets. Unset: no secret can be stored or opened.",
);
const DIRECTORY: KeySpec = KeySpec::optional(
    "secrets.directory",
    Kind::Text,
    "Directory of mounted secrets: an endpoint of tenant `acme` with `valueFrom: {file: erp}` reads \
     `acme/erp` in it. Unset: `valueFrom: {file: ..}` reads nothing.",
);
const ENV_PREFIX: KeySpec = KeySpec::new(
    "secrets.env_prefix",
    Kind::Text,
    "HOOKLANE_SECRET_",
    "What variables with secrets begin with: an endpoint of tenant `acme` with `valueFrom: {env: \
     ERP}` reads `HOOKLANE_SECRET_ACME__ERP`.",
);

/// Where secrets come from.
pub const SECRETS: Section = Section {
    name: "secrets",
    doc: "Secrets of endpoints: keys, and what deployments mount. See [secrets](secrets.md).",
    keys: &[KEK_FILE, DIRECTORY, ENV_PREFIX],
};

/// Where secrets come from.
#[derive(Clone, Debug)]
pub struct SecretsSection {
    /// The key file.
    pub kek_file: Option<PathBuf>,
    /// What `valueFrom: {file: ..}` is relative to, with the tenant's name.
    pub directory: Option<PathBuf>,
    /// What variables for `valueFrom: {env: ..}` begin with.
    pub env_prefix: String,
}

impl SecretsSection {
    /// Reads the section.
    pub fn read(keys: &mut Keys) -> Self {
        let env_prefix = keys.string(&ENV_PREFIX);
        if env_prefix.starts_with("HOOKLANE__") {
            keys.problem(
                &ENV_PREFIX,
                "must not begin with HOOKLANE__: those are configuration",
            );
        } else if env_prefix.len() < 4 {
            keys.problem(
                &ENV_PREFIX,
                "is so short that other variables begin with it, too",
            );
        }
        let kek_file = keys.opt_string(&KEK_FILE);
        // Its path stands in logs and errors.
        if kek_file.as_deref().is_some_and(is_content) {
            keys.problem(
                &KEK_FILE,
                "holds what stands in a key file; write that to a file and give its path",
            );
        }
        let kek_file = kek_file.filter(|text| !is_content(text));
        Self {
            kek_file: kek_file.map(PathBuf::from),
            directory: keys.opt_string(&DIRECTORY).map(PathBuf::from),
            env_prefix,
        }
    }
}

impl SecretsSection {
    /// Holds the key file to its form now: for a service that cannot do
    /// without, so that `--check-config` finds what its start would.
    pub fn check_key_file(&self, keys: &mut Keys) {
        let Some(Err(error)) = self.kek_file.as_deref().map(KeyFile::open) else {
            return;
        };
        let mut reason = error.to_string();
        let mut next = std::error::Error::source(&error);
        while let Some(cause) = next {
            reason.push_str(&format!(": {cause}"));
            next = cause.source();
        }
        keys.problem(&KEK_FILE, reason);
    }
}

/// Whether this is a key file itself, as `$(cat kek)` gives it, and no path.
fn is_content(text: &str) -> bool {
    text.contains('\n') || text.contains(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<SecretsSection, String> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let mut keys = Keys::new(&[&SECRETS]).env(variables.iter().map(owned));
        let section = SecretsSection::read(&mut keys);
        keys.finish().map(|()| section).map_err(|e| e.to_string())
    }

    #[test]
    fn the_variable_names_the_file_and_is_not_its_content() {
        let section = read(&[("HOOKLANE__SECRETS__KEK_FILE", "/run/keys/kek")]).unwrap();
        assert_eq!(section.kek_file, Some(PathBuf::from("/run/keys/kek")));
        assert_eq!(section.directory, None);
        assert_eq!(section.env_prefix, "HOOKLANE_SECRET_");
    }

    #[test]
    fn keys_in_place_of_their_file_are_refused_and_not_shown() {
        let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        for text in [
            format!("writing: k1\nk1: {key}\n"),
            format!("k1: {key}"),
            format!("writing:k1\nk1:{key}"),
        ] {
            let error = read(&[("HOOKLANE__SECRETS__KEK_FILE", &text)]).unwrap_err();
            assert!(error.contains("give its path"), "{error}");
            assert!(!error.contains(key), "{error}");
        }
    }

    #[test]
    fn a_prefix_that_takes_in_other_variables_is_refused() {
        for prefix in ["HOOKLANE__", "HOOKLANE__KAFKA__", "PA"] {
            assert!(
                read(&[("HOOKLANE__SECRETS__ENV_PREFIX", prefix)]).is_err(),
                "{prefix}"
            );
        }
    }
}
