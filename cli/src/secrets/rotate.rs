//! `hooklane secrets rotate`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use hooklane_model::catalog::Catalog;
use hooklane_model::id::new_uid;
use hooklane_model::plan::{self, Given, Rotation, StartOffsets};
use hooklane_model::resource::{Kind, Manifest, ResourceKey};
use hooklane_model::secret::Secret;
use hooklane_model::time::Clock;

use crate::cluster::Cluster;
use crate::error::CliError;
use crate::kind::key_of;
use crate::{Io, apply, exit, files, store};

/// Arguments of `secrets rotate`.
#[derive(Args, Clone, Debug)]
pub struct RotateArgs {
    /// The endpoint's name
    #[arg(value_name = "ENDPOINT")]
    pub name: String,
    /// Its tenant; may be left out where one tenant alone has an endpoint of this name
    #[arg(long, value_name = "TENANT")]
    pub tenant: Option<String>,
    /// How long until the new secret signs: time for the receiver to learn it
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = parse_time)]
    pub after: Duration,
    /// How long the old secrets go on signing from then on; 0s ends them at once
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = parse_time)]
    pub overlap: Duration,
    /// Read the new secret from this file, `-` is standard input; without it one is made and shown
    #[arg(long, value_name = "FILE")]
    pub value_file: Option<PathBuf>,
}

/// A year: who wants more than that wants no rotation.
const TIME_MAX: Duration = Duration::from_secs(366 * 86_400);

fn parse_time(text: &str) -> Result<Duration, String> {
    let time = hooklane_model::duration::parse(text).map_err(|e| e.to_string())?;
    if time > TIME_MAX {
        return Err("is more than a year".to_owned());
    }
    Ok(time)
}

/// Runs the command.
///
/// # Errors
/// Without a key file; when there is no such endpoint or it does not sign;
/// when Kafka fails.
pub(super) fn run(
    cluster: &Cluster,
    args: &RotateArgs,
    clock: &dyn Clock,
    io: &mut Io<'_>,
) -> Result<u8, CliError> {
    let value = match &args.value_file {
        Some(file) => Some(read_value(file, io)?),
        None => None,
    };
    let rotation = Rotation {
        value,
        after: args.after,
        overlap: args.overlap,
    };
    let mut sealer = super::sealer(cluster, io)?.ok_or(CliError::NoKeys)?;
    let stored = store::load(cluster)?;
    let key = match &args.tenant {
        Some(tenant) => key_of(Kind::Endpoint, &args.name, Some(tenant))?,
        None => only_one(&stored.catalog, &args.name)?,
    };
    stored.check_readable([&key])?;
    let mut make = |catalog: &Catalog| {
        let mut given = Given {
            now: clock.now(),
            topic_prefix: cluster.names.prefix(),
            start_offsets: &StartOffsets::new(),
            new_uid: &mut new_uid,
        };
        plan::rotate(catalog, &key, &rotation, &mut given, &mut sealer).map_err(CliError::Plan)
    };
    // First without writing: who is refused takes over from no other writer.
    let planned = make(&stored.catalog)?;
    let scheme = planned
        .changes
        .iter()
        .find_map(|change| match &change.document.manifest {
            Manifest::Endpoint(endpoint) => Some(endpoint.spec.signing.scheme),
            _ => None,
        });
    if let (Some(scheme), Some(value)) = (scheme, &rotation.value)
        && let Some(reason) = apply::unfit_key(scheme, value)
    {
        return Err(CliError::Usage(format!(
            "--value-file: the secret {reason}"
        )));
    }
    let written = store::write(cluster, &mut make)?;
    apply::show(&written, false, io)?;
    for change in &written.changes {
        if let Manifest::Endpoint(endpoint) = &change.document.manifest
            && !endpoint.spec.signing.scheme.signs_with_all()
            && args.after.is_zero()
        {
            io.say(
                "warning: this scheme has room for one signature: the new secret signs at once, so \
                 the receiver must know it already; `--after 1h` gives it an hour",
            );
        }
        if let Some(secret) = sealer.take_made(&change.document) {
            super::show_made(&key, &secret, io)?;
        }
    }
    Ok(exit::OK)
}

/// The endpoint of this name, whoever's it is.
fn only_one(catalog: &Catalog, name: &str) -> Result<ResourceKey, CliError> {
    let live = catalog.documents().into_iter().filter(|(key, document)| {
        key.kind == Kind::Endpoint && key.name == name && !document.deleted
    });
    let found: Vec<&ResourceKey> = live.map(|(key, _)| key).collect();
    match found[..] {
        [key] => Ok(key.clone()),
        [] => Err(CliError::NotFound(format!("Endpoint {name}"))),
        [_, ..] => Err(CliError::Usage(format!(
            "{} tenants have an endpoint {name}; name one: --tenant TENANT",
            found.len()
        ))),
    }
}

/// The new secret, without the line break at its end.
fn read_value(file: &Path, io: &mut Io<'_>) -> Result<Secret, CliError> {
    let text = files::read_text(file, io.input).map_err(|error| {
        CliError::Usage(format!(
            "--value-file {}: cannot be read: {error}",
            file.display()
        ))
    })?;
    let value = text.trim_end_matches(['\r', '\n']);
    if value.is_empty() {
        let reason = format!("--value-file {}: is empty", file.display());
        return Err(CliError::Usage(reason));
    }
    Ok(Secret::from(value.to_owned()))
}
