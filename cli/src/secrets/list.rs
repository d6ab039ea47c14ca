//! `hooklane secrets list`.

use std::collections::BTreeMap;

use clap::Args;
use hooklane_model::catalog::Catalog;
use hooklane_model::secret::SecretRef;
use hooklane_secrets::{Keyring, Sealed};
use serde_json::json;

use crate::cluster::Cluster;
use crate::error::CliError;
use crate::output::{self, ReportFormat};
use crate::{Io, exit, store};

/// Arguments of `secrets list`.
#[derive(Args, Clone, Debug, Default)]
pub struct ListArgs {
    /// How to show it
    #[arg(long, short, value_enum, default_value_t)]
    pub output: ReportFormat,
}

/// What is under one key.
#[derive(Default)]
struct Use {
    secrets: usize,
    endpoints: usize,
}

/// Runs the command.
///
/// # Errors
/// When Kafka fails; when there is a key file and it is of no use.
pub(super) fn run(cluster: &Cluster, args: &ListArgs, io: &mut Io<'_>) -> Result<u8, CliError> {
    let keyring = super::keyring(cluster, io)?;
    let stored = store::load(cluster)?;
    stored.warn(io);
    let mut uses = uses(&stored.catalog);
    for id in keyring.iter().flat_map(Keyring::ids) {
        uses.entry(id.to_string()).or_default();
    }
    let state = |key: &str| match &keyring {
        None => "unknown",
        Some(keyring) if keyring.writing().as_str() == key => "writing",
        Some(keyring) if keyring.ids().any(|id| id.as_str() == key) => "present",
        Some(_) => "missing",
    };
    match args.output {
        ReportFormat::Table => {
            let heading = ["KEY", "SECRETS", "ENDPOINTS", "KEY FILE"];
            let mut rows = vec![heading.map(str::to_owned).to_vec()];
            rows.extend(uses.iter().map(|(key, found)| {
                vec![
                    key.clone(),
                    found.secrets.to_string(),
                    found.endpoints.to_string(),
                    state(key).to_owned(),
                ]
            }));
            output::table(io.out, &rows)?;
        }
        ReportFormat::Json => {
            let keys = uses.iter().map(|(key, found)| {
                json!({
                    "key": key,
                    "secrets": found.secrets,
                    "endpoints": found.endpoints,
                    "keyFile": state(key),
                })
            });
            output::json(io.out, &json!({"keys": keys.collect::<Vec<_>>()}))?;
        }
    }
    Ok(exit::OK)
}

fn uses(catalog: &Catalog) -> BTreeMap<String, Use> {
    let mut uses: BTreeMap<String, Use> = BTreeMap::new();
    for (_, document) in catalog.documents() {
        let mut here: BTreeMap<String, usize> = BTreeMap::new();
        for (_, secret) in document.secrets() {
            let SecretRef::Sealed(text) = secret else {
                continue;
            };
            let key = Sealed::parse(text).map_or_else(
                |_| "(damaged)".to_owned(),
                |sealed| sealed.key_id().to_string(),
            );
            *here.entry(key).or_default() += 1;
        }
        for (key, secrets) in here {
            let found = uses.entry(key).or_default();
            found.secrets += secrets;
            found.endpoints += 1;
        }
    }
    uses
}
