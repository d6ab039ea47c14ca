//! `hooklane secrets`: rotating the secrets of endpoints, and the keys that
//! they are encrypted under.

mod keygen;
mod keypair;
mod list;
mod rekey;
mod rotate;

use clap::{Args, Subcommand};
use hooklane_model::plan::spoken;
use hooklane_model::resource::ResourceKey;
use hooklane_model::secret::Secret;
use hooklane_model::time::Clock;
use hooklane_secrets::{Keyring, Sealer, SystemEntropy};
use hooklane_service::secrets::KeyFile;

use crate::Io;
use crate::cluster::Cluster;
use crate::error::CliError;

pub(crate) use keygen::make_key_file;
pub use keygen::{KeygenArgs, keygen};
pub use keypair::{KeypairArgs, keypair};
pub use list::ListArgs;
pub use rotate::RotateArgs;

/// Arguments of `secrets`.
#[derive(Args, Clone, Debug)]
pub struct SecretsArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: SecretsCommand,
}

/// What can be done.
#[derive(Subcommand, Clone, Debug)]
pub enum SecretsCommand {
    /// Sign with a new secret, and with the old ones until the overlap ends
    Rotate(RotateArgs),
    /// Encrypt all stored secrets under the key file's writing key
    Rekey,
    /// Show which keys are in use; a key with no secrets can be taken out of the key file
    List(ListArgs),
    /// Make a key file with a new key
    Keygen(KeygenArgs),
    /// Make a pair of keys for an endpoint whose receiver shall hold a public key alone (v1a)
    Keypair(KeypairArgs),
}

/// Runs the command.
///
/// # Errors
/// See the commands.
pub fn run(
    cluster: &Cluster,
    args: &SecretsArgs,
    clock: &dyn Clock,
    io: &mut Io<'_>,
) -> Result<u8, CliError> {
    match &args.command {
        SecretsCommand::Rotate(args) => rotate::run(cluster, args, clock, io),
        SecretsCommand::Rekey => rekey::run(cluster, clock, io),
        SecretsCommand::List(args) => list::run(cluster, args, io),
        SecretsCommand::Keygen(args) => keygen(args, io),
        SecretsCommand::Keypair(args) => keypair(args, io),
    }
}

/// The keys of the key file, if there is one.
fn keyring(cluster: &Cluster, io: &mut Io<'_>) -> Result<Option<Keyring>, CliError> {
    let Some(path) = &cluster.kek_file else {
        return Ok(None);
    };
    let (file, keyring) = KeyFile::open(path)?;
    if let Some(exposed) = file.exposed_to() {
        io.say(&format!("warning: {exposed}"));
    }
    Ok(Some(keyring))
}

/// What seals secrets, if there is a key file.
pub(crate) fn sealer(cluster: &Cluster, io: &mut Io<'_>) -> Result<Option<Sealer>, CliError> {
    let keyring = keyring(cluster, io)?;
    Ok(keyring.map(|keyring| Sealer::new(keyring, Box::new(SystemEntropy))))
}

/// Shows a secret that was made: this once, and nowhere else.
pub(crate) fn show_made(
    key: &ResourceKey,
    secret: &Secret,
    io: &mut Io<'_>,
) -> Result<(), CliError> {
    if let Some(text) = secret.expose_text() {
        writeln!(io.out, "{} secret {text}", spoken(key))?;
        io.say("note: the secret is shown this once; give it to the receiver now");
    }
    Ok(())
}
