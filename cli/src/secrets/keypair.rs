//! `hooklane secrets keypair`.

use std::path::PathBuf;

use clap::Args;
use hooklane_secrets::{Entropy, SystemEntropy};
use hooklane_sender::signing::key_pair;
use zeroize::Zeroizing;

use super::keygen::create;
use crate::error::CliError;
use crate::{Io, exit};

/// Arguments of `secrets keypair`.
#[derive(Args, Clone, Debug)]
pub struct KeypairArgs {
    /// Write the secret to this file, readable by its owner alone, instead of printing it
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// When there is no randomness, or the file is there already.
pub fn keypair(args: &KeypairArgs, io: &mut Io<'_>) -> Result<u8, CliError> {
    let mut seed = Zeroizing::new([0; 32]);
    SystemEntropy.fill(&mut *seed)?;
    let (secret, public) = key_pair(&seed);
    match &args.out {
        Some(path) => create(path, &Zeroizing::new([secret.expose(), b"\n"].concat()))?,
        None => writeln!(
            io.out,
            "secret {}",
            secret.expose_text().unwrap_or_default()
        )?,
    }
    writeln!(io.out, "public {public}")?;
    Ok(exit::OK)
}
