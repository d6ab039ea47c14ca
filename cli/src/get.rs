//! `hooklane get`: list resources of one kind.

use std::sync::Arc;

use clap::Args;
use hooklane_model::catalog::Catalog;
use hooklane_model::resource::{Document, Kind, Manifest, ResourceKey, TenantRule};
use hooklane_model::time::{Clock, UnixMillis};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::condition::Condition;
use crate::error::CliError;
use crate::kind::{parse_kind, word};
use crate::output::{self, Format};
use crate::{Io, exit, store};

/// Arguments of `get`.
#[derive(Args, Clone, Debug)]
pub struct GetArgs {
    /// sources (src), endpoints (ep) or subscriptions (sub)
    #[arg(value_parser = parse_kind)]
    pub kind: Kind,
    /// Only the one of this name
    pub name: Option<String>,
    /// Only those of this tenant
    #[arg(long, value_name = "TENANT")]
    pub tenant: Option<String>,
    /// Those of all tenants, as without --tenant
    #[arg(long, short = 'A', conflicts_with = "tenant")]
    pub all_tenants: bool,
    /// How to show them
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Format,
}

/// Runs the command.
///
/// # Errors
/// When a name was given and nothing has it; when Kafka fails.
pub fn run(
    cluster: &Cluster,
    args: &GetArgs,
    clock: &dyn Clock,
    io: &mut Io<'_>,
) -> Result<u8, CliError> {
    let stored = store::load(cluster)?;
    stored.warn(io);
    let found: Vec<(&ResourceKey, &Arc<Document>)> = stored
        .catalog
        .documents()
        .into_iter()
        .filter(|(key, document)| matches(args, key) && !document.deleted)
        .collect();
    if let (Some(name), true) = (&args.name, found.is_empty()) {
        let of = args.tenant.as_ref().filter(|_| args.kind != Kind::Source);
        let tenant = of.map_or(String::new(), |tenant| format!("{tenant}/"));
        return Err(CliError::NotFound(format!("{} {tenant}{name}", args.kind)));
    }
    let (catalog, now) = (&stored.catalog, clock.now());
    match args.output {
        Format::Table if found.is_empty() => io.say("nothing found"),
        Format::Table => output::table(io.out, &rows(args.kind, catalog, &found, now))?,
        Format::Json => show_json(args, (catalog, now), &found, io)?,
        Format::Yaml => {
            for (i, (_, document)) in found.iter().enumerate() {
                let separator = if i > 0 { "---\n" } else { "" };
                let yaml = output::yaml(&with_status(catalog, document, now))?;
                write!(io.out, "{separator}{yaml}")?;
            }
        }
        Format::Name => {
            for (key, _) in &found {
                writeln!(io.out, "{}", short_name(key))?;
            }
        }
    }
    Ok(exit::OK)
}

fn matches(args: &GetArgs, key: &ResourceKey) -> bool {
    let tenant = args.tenant.as_ref().filter(|_| args.kind != Kind::Source);
    key.kind == args.kind
        && args.name.as_ref().is_none_or(|name| *name == key.name)
        && tenant.is_none_or(|tenant| *tenant == key.tenant)
}

/// One resource asked for by name is an object, everything else a list.
fn show_json(
    args: &GetArgs,
    (catalog, now): (&Catalog, UnixMillis),
    found: &[(&ResourceKey, &Arc<Document>)],
    io: &mut Io<'_>,
) -> Result<(), CliError> {
    let mut items: Vec<Value> = found
        .iter()
        .map(|(_, document)| with_status(catalog, document, now))
        .collect();
    let value = match (&args.name, items.len()) {
        (Some(_), 1) => items.remove(0),
        _ => json!({"apiVersion": "hooklane/v1", "kind": "List", "items": items}),
    };
    output::json(io.out, &value)
}

fn short_name(key: &ResourceKey) -> String {
    match key.kind {
        Kind::Source => format!("{}/{}", word(key.kind), key.name),
        _ => format!("{}/{}/{}", word(key.kind), key.tenant, key.name),
    }
}

/// The stored document, and for an endpoint what the pipeline found out.
pub(crate) fn with_status(catalog: &Catalog, document: &Document, now: UnixMillis) -> Value {
    let mut value = document.to_shown();
    if let Manifest::Endpoint(endpoint) = &document.manifest {
        value["status"] = Condition::of(catalog, endpoint, now).to_json();
    }
    value
}

fn rows(
    kind: Kind,
    catalog: &Catalog,
    found: &[(&ResourceKey, &Arc<Document>)],
    now: UnixMillis,
) -> Vec<Vec<String>> {
    let heading: &[&str] = match kind {
        Kind::Source => &["NAME", "TOPIC", "FORMAT", "TENANT", "AGE"],
        Kind::Endpoint => &[
            "TENANT", "NAME", "URL", "RATE", "STATE", "WAITING", "OLDEST", "AGE",
        ],
        Kind::Subscription => &[
            "TENANT",
            "NAME",
            "SOURCE",
            "EVENT TYPES",
            "FILTER",
            "ENDPOINT",
            "AGE",
        ],
    };
    let heading = heading.iter().map(ToString::to_string).collect();
    let mut rows: Vec<Vec<String>> = vec![heading];
    for (_, document) in found {
        let mut row = row(catalog, document, now);
        row.push(output::age(now, document.manifest.meta().created_at));
        rows.push(row);
    }
    rows
}

fn row(catalog: &Catalog, document: &Document, now: UnixMillis) -> Vec<String> {
    let meta = document.manifest.meta();
    let spec = &document.spec;
    match &document.manifest {
        Manifest::Source(source) => vec![
            meta.name.clone(),
            source.spec.topic.clone(),
            text(&spec["format"], "auto"),
            match &source.spec.tenant {
                TenantRule::Header(name) => format!("header {name}"),
                TenantRule::JsonPointer(path) => path.clone(),
                TenantRule::Fixed(tenant) => tenant.clone(),
                TenantRule::Shared => "shared".to_owned(),
            },
        ],
        Manifest::Endpoint(endpoint) => {
            let condition = Condition::of(catalog, endpoint, now);
            let [waiting, oldest] = condition.backlog();
            vec![
                meta.tenant.clone(),
                meta.name.clone(),
                text(&spec["url"], "-"),
                rate(&spec["rateLimit"]),
                condition.cell(),
                waiting,
                oldest,
            ]
        }
        Manifest::Subscription(subscription) => vec![
            meta.tenant.clone(),
            meta.name.clone(),
            subscription.spec.source.clone(),
            event_types(spec),
            if spec["filter"].is_null() { "-" } else { "yes" }.to_owned(),
            subscription.spec.endpoint.clone(),
        ],
    }
}

/// A text of a spec, or what stands for none.
fn text(value: &Value, none: &str) -> String {
    value.as_str().unwrap_or(none).to_owned()
}

/// The event types of a subscription's spec, separated by commas.
pub(crate) fn event_types(spec: &Value) -> String {
    let types = spec["eventTypes"].as_array();
    let types = types.map(|all| all.iter().filter_map(Value::as_str).collect::<Vec<_>>());
    types.map_or_else(|| "*".to_owned(), |all| all.join(","))
}

/// A rate limit as a person wrote it.
pub(crate) fn rate(limit: &Value) -> String {
    let units = [("perSecond", "s"), ("perMinute", "min"), ("perHour", "h")];
    let found = units
        .iter()
        .find_map(|(field, unit)| limit.get(field).map(|n| format!("{n}/{unit}")));
    found.unwrap_or_else(|| "-".to_owned())
}
