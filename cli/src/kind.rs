//! The words for a kind on the command line.

use hooklane_model::plan::spoken;
use hooklane_model::resource::{Kind, ResourceKey, SHARED_TENANT};

use crate::error::CliError;

/// Reads a kind: singular, plural or short.
///
/// # Errors
/// The words there are.
pub fn parse_kind(word: &str) -> Result<Kind, String> {
    match word.to_ascii_lowercase().as_str() {
        "source" | "sources" | "src" => Ok(Kind::Source),
        "endpoint" | "endpoints" | "ep" => Ok(Kind::Endpoint),
        "subscription" | "subscriptions" | "sub" => Ok(Kind::Subscription),
        _ => Err("expected source (src), endpoint (ep) or subscription (sub)".to_owned()),
    }
}

/// The kind as it stands in commands.
#[must_use]
pub fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Source => "source",
        Kind::Endpoint => "endpoint",
        Kind::Subscription => "subscription",
    }
}

/// The one resource that kind, name and tenant name.
///
/// # Errors
/// A tenant for a source, or none for anything else.
pub fn key_of(kind: Kind, name: &str, tenant: Option<&str>) -> Result<ResourceKey, CliError> {
    let tenant = match (kind, tenant) {
        (Kind::Source, None) => SHARED_TENANT,
        (Kind::Source, Some(_)) => {
            let reason = "a source belongs to no tenant; leave out --tenant";
            return Err(CliError::Usage(reason.to_owned()));
        }
        (_, Some(tenant)) => tenant,
        (_, None) => {
            let reason = format!("name the tenant of {} {name}: --tenant TENANT", word(kind));
            return Err(CliError::Usage(reason));
        }
    };
    Ok(ResourceKey {
        kind,
        tenant: tenant.to_owned(),
        name: name.to_owned(),
    })
}

/// What is said when `key` is nowhere.
#[must_use]
pub fn missing(key: &ResourceKey) -> CliError {
    CliError::NotFound(spoken(key))
}
