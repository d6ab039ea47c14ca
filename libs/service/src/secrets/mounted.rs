//! `valueFrom`: secrets that the deployment mounts, by tenant.
//!
//! A name in a manifest is a tenant's word. Variables are looked up under the
//! configured prefix and the tenant's name, files below the configured
//! directory and the tenant's name, links followed only as far as they stay
//! there. So no manifest reads another tenant's secret, or any other variable
//! or file of the process, and sends it to a URL of its choice.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use hooklane_model::secret::{Secret, SecretRef};
use thiserror::Error;

use super::SecretsSection;

/// The bound that manifests have.
const BYTES_MAX: u64 = 64 * 1024;

/// Why a mounted secret cannot be had. Shows names, never values.
#[derive(Debug, Error)]
pub enum MountError {
    /// The name in the manifest is not of the form of such names.
    #[error("valueFrom: {0}")]
    Name(&'static str),
    /// No variable of this name was there at start.
    #[error("variable {0} was not set when the process started")]
    NoVariable(String),
    /// Files are not set up.
    #[error("secrets.directory is not configured, so no file is read")]
    NoDirectory,
    /// It is not there, or not for this process.
    #[error("file {path} cannot be read")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A link leads out of the tenant's directory.
    #[error("file {0} is not in the directory of its tenant")]
    Outside(PathBuf),
    /// A directory, a pipe, or too large.
    #[error("file {0} is not a file of at most 64 KiB")]
    NoFile(PathBuf),
    /// Nothing is in it.
    #[error("{0} is empty")]
    Empty(String),
}

/// What the deployment set aside for `valueFrom`.
#[derive(Debug)]
pub struct MountedSecrets {
    directory: Option<PathBuf>,
    prefix: String,
    variables: BTreeMap<String, Secret>,
}

impl MountedSecrets {
    /// Takes the variables with secrets out of an environment.
    #[must_use]
    pub fn new(
        section: &SecretsSection,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Self {
        let ours = environment.filter(|(name, _)| name.starts_with(&section.env_prefix));
        Self {
            directory: section.directory.clone(),
            prefix: section.env_prefix.clone(),
            variables: ours
                .map(|(name, value)| (name, Secret::from(value)))
                .collect(),
        }
    }

    /// The value of a tenant's variable, as it was at start.
    ///
    /// # Errors
    /// When the name is no such name, or nothing is there.
    pub fn variable(&self, tenant: &str, name: &str) -> Result<Secret, MountError> {
        check_variable(tenant, name)?;
        let tenant = tenant.to_ascii_uppercase().replace('-', "_");
        let full = format!("{}{tenant}__{name}", self.prefix);
        match self.variables.get(&full) {
            Some(value) if value.expose().is_empty() => Err(MountError::Empty(full)),
            Some(value) => Ok(value.clone()),
            None => Err(MountError::NoVariable(full)),
        }
    }

    /// What stands in a tenant's file now, without the line break at its end.
    ///
    /// # Errors
    /// When the name is no such name, or there is nothing to be read.
    pub fn file(&self, tenant: &str, name: &str) -> Result<Secret, MountError> {
        let directory = self.directory.as_ref().ok_or(MountError::NoDirectory)?;
        check_file(name)?;
        let home = directory.join(tenant);
        let path = home.join(name);
        let failed = |source| MountError::Read {
            path: path.clone(),
            source,
        };
        let real_home = home.canonicalize().map_err(failed)?;
        let real = path.canonicalize().map_err(failed)?;
        if !real.starts_with(&real_home) {
            return Err(MountError::Outside(path));
        }
        // Asked before it is opened: opening a pipe waits for its writer.
        if !std::fs::metadata(&real).map_err(failed)?.is_file() {
            return Err(MountError::NoFile(path));
        }
        let mut bytes = Vec::with_capacity(4096);
        let file = File::open(&real).map_err(failed)?;
        file.take(BYTES_MAX + 1)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        if bytes.len() as u64 > BYTES_MAX {
            return Err(MountError::NoFile(path));
        }
        for end in [b'\n', b'\r'] {
            if bytes.last() == Some(&end) {
                bytes.pop();
            }
        }
        if bytes.is_empty() {
            return Err(MountError::Empty(format!("file {}", path.display())));
        }
        Ok(Secret::new(bytes))
    }
}

/// Whether `valueFrom` of a tenant's manifest can name anything, wherever it is
/// deployed; other forms of secrets always can.
///
/// # Errors
/// Why not: always [`MountError::Name`].
pub fn check_name(tenant: &str, secret: &SecretRef) -> Result<(), MountError> {
    match secret {
        SecretRef::Env(name) => check_variable(tenant, name),
        SecretRef::File(name) => check_file(name),
        SecretRef::Inline(_) | SecretRef::Sealed(_) => Ok(()),
    }
}

fn check_variable(tenant: &str, name: &str) -> Result<(), MountError> {
    let plain = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    if name.is_empty() || name.starts_with('_') || !name.bytes().all(plain) {
        return Err(MountError::Name(
            "the name of a variable is of A-Z, 0-9 and `_`, not beginning with `_`; prefix and \
             tenant are put before it",
        ));
    }
    // `-` becomes `_`. Names with other signs, or with two of them in a row,
    // could become another tenant's.
    if tenant.contains(['_', '.']) || tenant.contains("--") {
        return Err(MountError::Name(
            "this tenant's name cannot stand in a variable's; use a file",
        ));
    }
    Ok(())
}

fn check_file(name: &str) -> Result<(), MountError> {
    let inner = |part: Component<'_>| matches!(part, Component::Normal(_));
    if name.is_empty() || name.contains('\0') || !Path::new(name).components().all(inner) {
        return Err(MountError::Name(
            "the name of a file is relative to the tenant's directory, without `..`",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn mounted(directory: Option<&Path>, variables: &[(&str, &str)]) -> MountedSecrets {
        let section = SecretsSection {
            kek_file: None,
            directory: directory.map(Path::to_owned),
            env_prefix: "SECRET_".to_owned(),
        };
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        MountedSecrets::new(&section, variables.iter().map(owned))
    }

    fn text(result: Result<Secret, MountError>) -> Result<String, String> {
        result
            .map(|secret| secret.expose_text().unwrap().to_owned())
            .map_err(|e| e.to_string())
    }

    #[test]
    fn a_tenant_reads_its_own_variables() {
        let mounted = mounted(
            None,
            &[
                ("SECRET_ACME__ERP", "uno"),
                ("SECRET_ACME_EU__ERP", "two"),
                ("SECRET_ACME__EU__ERP", "three"),
                ("SECRET_ACME__NONE", ""),
                ("PATH", "/bin"),
                ("HOOKLANE__KAFKA__PROPERTIES__SASL_PASSWORD", "hunter2"),
            ],
        );
        assert_eq!(text(mounted.variable("acme", "ERP")), Ok("uno".to_owned()));
        assert_eq!(
            text(mounted.variable("acme-eu", "ERP")),
            Ok("two".to_owned())
        );
        assert_eq!(
            text(mounted.variable("acme", "EU__ERP")),
            Ok("three".to_owned())
        );
        for (tenant, name) in [
            ("acme", "PATH"),
            ("acme", "_EU__ERP"),
            ("acme", "erp"),
            ("acme", ""),
            ("acme", "NONE"),
            ("acme", "HOOKLANE__KAFKA__PROPERTIES__SASL_PASSWORD"),
            ("acme_eu", "ERP"),
            ("acme.eu", "ERP"),
            // Would be SECRET_ACME__EU__ERP, which is another's.
            ("acme--eu", "ERP"),
            ("other", "ERP"),
        ] {
            assert!(mounted.variable(tenant, name).is_err(), "{tenant} {name}");
        }
        let shown = format!("{mounted:?}");
        assert!(
            !shown.contains("uno") && !shown.contains("hunter2"),
            "{shown}"
        );
    }

    #[test]
    fn a_tenant_reads_files_of_its_own_directory_alone() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        for tenant in ["acme", "other"] {
            std::fs::create_dir_all(at(tenant).join("sub")).unwrap();
            std::fs::write(at(tenant).join("erp"), format!("{tenant}\n")).unwrap();
        }
        std::fs::write(at("acme/sub/deep"), "deep\r\n").unwrap();
        std::fs::write(at("acme/empty"), "\n").unwrap();
        std::fs::write(at("acme/large"), vec![b'x'; 65_537]).unwrap();
        std::fs::write(at("outside"), "outside").unwrap();
        symlink("../outside", at("acme/link-out")).unwrap();
        symlink("../other/erp", at("acme/link-other")).unwrap();
        symlink("/etc/passwd", at("acme/passwd")).unwrap();
        symlink("sub/deep", at("acme/link-in")).unwrap();
        let mounted = mounted(Some(dir.path()), &[]);
        for (name, expected) in [("erp", "acme"), ("sub/deep", "deep"), ("link-in", "deep")] {
            assert_eq!(text(mounted.file("acme", name)), Ok(expected.to_owned()));
        }
        for name in [
            "",
            ".",
            "..",
            "../other/erp",
            "sub/../../other/erp",
            "/etc/passwd",
            "passwd",
            "link-out",
            "link-other",
            "sub",
            "empty",
            "large",
            "missing",
            "erp\0",
        ] {
            let read = text(mounted.file("acme", name));
            assert!(read.is_err(), "{name}: {read:?}");
        }
        assert!(mounted.file("nobody", "erp").is_err());
    }

    #[test]
    fn a_mounted_file_is_read_as_it_is_now_through_swapped_links() {
        let dir = tempfile::tempdir().unwrap();
        for version in ["v1", "v2"] {
            std::fs::create_dir_all(dir.path().join(version).join("acme")).unwrap();
            std::fs::write(dir.path().join(version).join("acme/erp"), version).unwrap();
        }
        symlink("v1", dir.path().join("..data")).unwrap();
        symlink("..data/acme", dir.path().join("acme")).unwrap();
        let mounted = mounted(Some(dir.path()), &[]);
        assert_eq!(text(mounted.file("acme", "erp")), Ok("v1".to_owned()));
        symlink("v2", dir.path().join("..new")).unwrap();
        std::fs::rename(dir.path().join("..new"), dir.path().join("..data")).unwrap();
        assert_eq!(text(mounted.file("acme", "erp")), Ok("v2".to_owned()));
    }

    /// As Kubernetes mounts a secret: the links stay in the tenant's folder.
    #[test]
    fn a_tenants_own_mount_is_read_through_its_links() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("acme");
        for version in ["..v1", "..v2"] {
            std::fs::create_dir_all(home.join(version)).unwrap();
            std::fs::write(home.join(version).join("erp"), version).unwrap();
        }
        symlink("..v1", home.join("..data")).unwrap();
        symlink("..data/erp", home.join("erp")).unwrap();
        let mounted = mounted(Some(dir.path()), &[]);
        assert_eq!(text(mounted.file("acme", "erp")), Ok("..v1".to_owned()));
        symlink("..v2", home.join("..new")).unwrap();
        std::fs::rename(home.join("..new"), home.join("..data")).unwrap();
        assert_eq!(text(mounted.file("acme", "erp")), Ok("..v2".to_owned()));
    }
}
