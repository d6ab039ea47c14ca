//! `hooklane secrets keygen`.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use hooklane_secrets::{KeyId, Keyring, SystemEntropy};

use crate::error::CliError;
use crate::{Io, exit};

/// Arguments of `secrets keygen`.
#[derive(Args, Clone, Debug)]
pub struct KeygenArgs {
    /// Id of the key, which stands in every secret under it: a-z, 0-9 and `-`, such as 2026-11
    #[arg(long, value_parser = parse_id)]
    pub id: KeyId,
    /// Create this file, readable by its owner alone, instead of printing
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

fn parse_id(text: &str) -> Result<KeyId, String> {
    let wrong = "is 1 to 32 of a-z, 0-9 and `-`, and not `writing`";
    KeyId::parse(text).ok_or_else(|| wrong.to_owned())
}

/// Runs the command.
///
/// # Errors
/// When there is no randomness, or the file is there already.
pub fn keygen(args: &KeygenArgs, io: &mut Io<'_>) -> Result<u8, CliError> {
    match &args.out {
        None => {
            let text = Keyring::generate(&args.id, &mut SystemEntropy)?;
            write!(io.out, "{}", *text)?;
        }
        Some(path) => make_key_file(&args.id, path)?,
    }
    Ok(exit::OK)
}

/// Makes a key file with one new key, readable by its owner alone.
pub(crate) fn make_key_file(id: &KeyId, path: &Path) -> Result<(), CliError> {
    let text = Keyring::generate(id, &mut SystemEntropy)?;
    create(path, text.as_bytes())
}

/// Writes a key to a new file, readable by its owner alone.
pub(super) fn create(path: &Path, text: &[u8]) -> Result<(), CliError> {
    let failed = |source| CliError::KeyOut {
        path: path.to_owned(),
        source,
    };
    let mut options = OpenOptions::new();
    // Never over another: its keys may be the only copy.
    let file = options.write(true).create_new(true).mode(0o400).open(path);
    let mut file = file.map_err(failed)?;
    file.write_all(text).map_err(failed)?;
    file.sync_all().map_err(failed)
}
