//! `hooklane describe`: everything about one resource.

use clap::Args;
use hooklane_model::catalog::Catalog;
use hooklane_model::plan::spoken;
use hooklane_model::resource::{Document, Endpoint, Kind, Manifest, ResourceKey};

use crate::cluster::Cluster;
use crate::error::CliError;
use crate::get::{event_types, state};
use crate::kind::{key_of, missing, parse_kind};
use crate::{Io, exit, output, store};

/// Arguments of `describe`.
#[derive(Args, Clone, Debug)]
pub struct DescribeArgs {
    /// source (src), endpoint (ep) or subscription (sub)
    #[arg(value_parser = parse_kind)]
    pub kind: Kind,
    /// Its name
    pub name: String,
    /// Its tenant; a source has none
    #[arg(long, value_name = "TENANT")]
    pub tenant: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// When there is no such resource; when Kafka fails.
pub fn run(cluster: &Cluster, args: &DescribeArgs, io: &mut Io<'_>) -> Result<u8, CliError> {
    let key = key_of(args.kind, &args.name, args.tenant.as_deref())?;
    let stored = store::load(cluster)?;
    stored.warn(io);
    let catalog = &stored.catalog;
    let document = catalog.document(&key).filter(|d| !d.deleted);
    let document = document.ok_or_else(|| missing(&key))?;
    let mut rows = head(&key, document);
    if let Manifest::Endpoint(endpoint) = &document.manifest {
        rows.push(("State", state_line(catalog, endpoint)));
    }
    for (name, value) in rows {
        writeln!(io.out, "{:<13}{value}", format!("{name}:"))?;
    }
    writeln!(io.out, "Spec:")?;
    for line in output::yaml(&document.spec)?.lines() {
        writeln!(io.out, "  {line}")?;
    }
    if key.kind != Kind::Subscription {
        show_referrers(catalog, &key, io)?;
    }
    Ok(exit::OK)
}

fn head(key: &ResourceKey, document: &Document) -> Vec<(&'static str, String)> {
    let meta = document.manifest.meta();
    let mut rows = vec![("Kind", key.kind.to_string())];
    if key.kind != Kind::Source {
        rows.push(("Tenant", key.tenant.clone()));
    }
    rows.extend([
        ("Name", key.name.clone()),
        ("Uid", key.kind.show_uid(meta.uid)),
        ("Generation", meta.generation.to_string()),
        ("Created", meta.created_at.to_rfc3339()),
        ("Updated", meta.updated_at.to_rfc3339()),
    ]);
    if let Manifest::Source(source) = &document.manifest
        && let Some(offsets) = &source.start_offsets
    {
        let listed: Vec<String> = offsets.iter().map(|(p, o)| format!("{p}:{o}")).collect();
        let shown = if listed.is_empty() {
            "the first event of the topic".to_owned()
        } else {
            listed.join(" ")
        };
        rows.push(("Starts at", shown));
    }
    rows
}

/// The state of an endpoint, and what is behind it.
fn state_line(catalog: &Catalog, endpoint: &Endpoint) -> String {
    let (word, disabled) = state(catalog, endpoint);
    if let Some(disabled) = disabled {
        let why = match disabled.reason.as_str() {
            "gone" => "the receiver answered 410 Gone",
            "directive" => "the receiver answered `webhook-delivery: disable`",
            other => other,
        };
        return format!(
            "{word} since {}: {why}; a change of the spec enables it again",
            disabled.at
        );
    }
    let status = catalog.status(endpoint.uid());
    match status.filter(|s| s.disabled.is_some()) {
        Some(old) => format!(
            "{word} (it was disabled at generation {}, which is void now)",
            old.observed_generation
        ),
        None => word.to_owned(),
    }
}

fn show_referrers(catalog: &Catalog, key: &ResourceKey, io: &mut Io<'_>) -> Result<(), CliError> {
    let mut any = false;
    for (_, document) in catalog.documents() {
        let Manifest::Subscription(subscription) = &document.manifest else {
            continue;
        };
        let spec = &subscription.spec;
        let (refers, line) = match key.kind {
            Kind::Source => (
                spec.source == key.name,
                format!("to endpoint {}", spec.endpoint),
            ),
            _ => (
                spec.endpoint == key.name && subscription.meta.tenant == key.tenant,
                format!("from source {}", spec.source),
            ),
        };
        if document.deleted || !refers {
            continue;
        }
        if !any {
            writeln!(io.out, "Subscriptions:")?;
            any = true;
        }
        let name = spoken(&document.manifest.key());
        let types = event_types(&document.spec);
        writeln!(io.out, "  {name}: {types} {line}")?;
    }
    if !any {
        writeln!(io.out, "Subscriptions: none")?;
    }
    Ok(())
}
