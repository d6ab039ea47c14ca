//! The Kafka jars and how java is started with them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, ensure};

static FETCHED: Mutex<Option<PathBuf>> = Mutex::new(None);

/// The root of this repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The folder with the jars, the argument file and a formatted log folder;
/// `deploy/kafka/fetch` makes it when it is missing, which needs Maven Central.
pub(crate) fn folder() -> anyhow::Result<PathBuf> {
    // Held while fetching, so that tests of one binary wait for one download.
    let mut fetched = FETCHED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(folder) = &*fetched {
        return Ok(folder.clone());
    }
    let script = repository().join("deploy/kafka/fetch");
    let output = Command::new(&script)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("start {}", script.display()))?;
    ensure!(
        output.status.success(),
        "{} ended with {}: {}",
        script.display(),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    let folder = PathBuf::from(String::from_utf8(output.stdout)?.trim());
    *fetched = Some(folder.clone());
    Ok(folder)
}

/// `java` with the class path of Kafka and only warnings logged, to standard
/// error. Compiled once and lightly: what runs here lives for seconds.
pub(crate) fn java() -> anyhow::Result<Command> {
    let mut argfile = std::ffi::OsString::from("@");
    argfile.push(folder()?.join("java.args"));
    let mut java = Command::new("java");
    java.arg(argfile)
        .arg("-XX:TieredStopAtLevel=1")
        .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
        .arg("-Dorg.slf4j.simpleLogger.showDateTime=true")
        .stdin(Stdio::null());
    Ok(java)
}
