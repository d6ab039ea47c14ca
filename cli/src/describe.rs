//! `hooklane describe`: everything about one resource.

use clap::Args;
use hooklane_model::catalog::Catalog;
use hooklane_model::plan::spoken;
use hooklane_model::resource::{Document, EndpointSpec, Kind, Manifest, ResourceKey};
use hooklane_model::time::Clock;
use serde_json::Value;

use crate::cluster::Cluster;
use crate::condition::Condition;
use crate::error::CliError;
use crate::get::{event_types, rate, with_status};
use crate::kind::{key_of, missing, parse_kind};
use crate::output::OneFormat;
use crate::{Io, exit, output, store, tls};

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
    /// How to show it
    #[arg(long, short, value_enum, default_value_t)]
    pub output: OneFormat,
}

/// Runs the command.
///
/// # Errors
/// When there is no such resource; when Kafka fails.
pub fn run(
    cluster: &Cluster,
    args: &DescribeArgs,
    clock: &dyn Clock,
    io: &mut Io<'_>,
) -> Result<u8, CliError> {
    let key = key_of(args.kind, &args.name, args.tenant.as_deref())?;
    let stored = store::load(cluster)?;
    stored.warn(io);
    let catalog = &stored.catalog;
    let document = catalog.document(&key).filter(|d| !d.deleted);
    let document = document.ok_or_else(|| missing(&key))?;
    let data = || {
        let mut value = with_status(catalog, document, clock.now());
        if key.kind != Kind::Subscription {
            let names = referrers(catalog, &key).map(|(name, _)| name);
            value["subscriptions"] = names.collect();
        }
        value
    };
    if args.output.data(io.out, data)? {
        return Ok(exit::OK);
    }
    let mut rows = head(&key, document);
    if let Manifest::Endpoint(endpoint) = &document.manifest {
        let condition = Condition::of(catalog, endpoint, clock.now());
        rows.extend(condition.rows(limit(&endpoint.spec, &document.spec)));
        rows.extend(tls::rows(document, clock.now()));
    }
    for (name, value) in rows {
        writeln!(io.out, "{:<13}{value}", format!("{name}:"))?;
    }
    writeln!(io.out, "Spec:")?;
    for line in output::yaml(&document.shown_spec())?.lines() {
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

/// How fast an endpoint may be called.
fn limit(spec: &EndpointSpec, written: &Value) -> String {
    let open = spec.max_concurrency;
    match &spec.rate_limit {
        None => format!("{open} requests at a time"),
        Some(limit) => {
            let (rate, burst) = (rate(&written["rateLimit"]), limit.burst);
            format!("{rate}, bursts of {burst}, {open} requests at a time")
        }
    }
}

fn show_referrers(catalog: &Catalog, key: &ResourceKey, io: &mut Io<'_>) -> Result<(), CliError> {
    let found: Vec<_> = referrers(catalog, key).collect();
    if found.is_empty() {
        writeln!(io.out, "Subscriptions: none")?;
        return Ok(());
    }
    writeln!(io.out, "Subscriptions:")?;
    for (name, line) in found {
        writeln!(io.out, "  {name}: {line}")?;
    }
    Ok(())
}

/// The subscriptions that refer to a source or an endpoint, by name, and what
/// is to be said of each.
fn referrers<'a>(
    catalog: &'a Catalog,
    key: &'a ResourceKey,
) -> impl Iterator<Item = (String, String)> + 'a {
    let documents = catalog.documents().into_iter();
    documents.filter_map(move |(_, document)| {
        let Manifest::Subscription(subscription) = &document.manifest else {
            return None;
        };
        let spec = &subscription.spec;
        let (refers, other) = match key.kind {
            Kind::Source => (
                spec.source == key.name,
                format!("to endpoint {}", spec.endpoint),
            ),
            _ => (
                spec.endpoint == key.name && subscription.meta.tenant == key.tenant,
                format!("from source {}", spec.source),
            ),
        };
        let types = event_types(&document.spec);
        let name = spoken(&document.manifest.key());
        (!document.deleted && refers).then(|| (name, format!("{types} {other}")))
    })
}
