//! Names, uids and generations.

use std::fmt;

use serde_json::{Value, json};

use super::Kind;
use crate::fields::{Fields, Findings};
use crate::time::UnixMillis;

/// The tenant part of a key of a resource that belongs to no tenant.
pub const SHARED_TENANT: &str = "";

/// Longest name of a resource or tenant: a DNS label, so that names can serve
/// as Kubernetes names later.
const NAME_MAX: usize = 63;

/// Which resource: kind, tenant and name, as a person refers to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceKey {
    /// Kind.
    pub kind: Kind,
    /// Tenant; [`SHARED_TENANT`] for a source.
    pub tenant: String,
    /// Name, unique within kind and tenant.
    pub name: String,
}

impl ResourceKey {
    /// Reads a record key of the config topic; `None` for anything else.
    #[must_use]
    pub fn parse(key: &[u8]) -> Option<Self> {
        let mut parts = std::str::from_utf8(key).ok()?.split('/');
        let (kind, tenant, name) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || name.is_empty() {
            return None;
        }
        let kind = Kind::parse(kind)?;
        Some(Self {
            kind,
            tenant: tenant.to_owned(),
            name: name.to_owned(),
        })
    }
}

/// The record key in the config topic: `kind/tenant/name`.
impl fmt::Display for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.kind, self.tenant, self.name)
    }
}

/// What every resource carries beside its spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Tenant; [`SHARED_TENANT`] for a source.
    pub tenant: String,
    /// Name.
    pub name: String,
    /// Given at creation, kept for life; 0 in a manifest that names none.
    pub uid: u128,
    /// Counts changes of the spec, from 1; 0 in a manifest that names none.
    pub generation: u64,
    /// When it was created.
    pub created_at: UnixMillis,
    /// When the spec last changed.
    pub updated_at: UnixMillis,
}

impl Metadata {
    /// Reads the `metadata` object of a manifest or a stored record.
    pub(super) fn read(kind: Kind, fields: &mut Fields, findings: &mut Findings) -> Self {
        let name = name_field(fields, "name", findings);
        let tenant = if kind == Kind::Source {
            if fields.has("tenant") {
                findings.problem(
                    fields.path_of("tenant"),
                    "a Source belongs to no tenant; say in spec.tenant where an event's tenant stands",
                );
            }
            let _ignored = fields.take("tenant");
            SHARED_TENANT.to_owned()
        } else {
            name_field(fields, "tenant", findings)
        };
        let uid = read_uid(kind, fields, findings);
        let generation = fields
            .integer("generation", (0, u64::MAX), findings)
            .unwrap_or(0);
        let created_at = read_time(fields, "createdAt", findings);
        let updated_at = read_time(fields, "updatedAt", findings);
        Self {
            tenant,
            name,
            uid,
            generation,
            created_at,
            updated_at,
        }
    }

    /// The `metadata` object as stored and shown.
    #[must_use]
    pub fn to_json(&self, kind: Kind) -> Value {
        let mut map = serde_json::Map::new();
        if kind != Kind::Source {
            map.insert("tenant".into(), json!(self.tenant));
        }
        map.insert("name".into(), json!(self.name));
        map.insert("uid".into(), json!(kind.show_uid(self.uid)));
        map.insert("generation".into(), json!(self.generation));
        map.insert("createdAt".into(), json!(self.created_at.to_rfc3339()));
        map.insert("updatedAt".into(), json!(self.updated_at.to_rfc3339()));
        Value::Object(map)
    }
}

fn name_field(fields: &mut Fields, field: &'static str, findings: &mut Findings) -> String {
    let name = fields.required_text(field, findings);
    if !name.is_empty()
        && let Some(reason) = name_problem(&name)
    {
        findings.problem(fields.path_of(field), reason);
    }
    name
}

/// Why `name` cannot name a resource or tenant; `None` when it can.
fn name_problem(name: &str) -> Option<String> {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let fits = name.len() <= NAME_MAX
        && name.chars().all(inner)
        && name.starts_with(edge)
        && name.ends_with(edge);
    (!fits).then(|| {
        format!(
            "`{name}` must be 1 to {NAME_MAX} of a-z, 0-9, `-`, `_`, `.`, beginning and ending \
             with a letter or digit"
        )
    })
}

fn read_uid(kind: Kind, fields: &mut Fields, findings: &mut Findings) -> u128 {
    let Some(text) = fields.text("uid", findings) else {
        return 0;
    };
    kind.parse_uid(&text).unwrap_or_else(|reason| {
        findings.problem(fields.path_of("uid"), reason);
        0
    })
}

fn read_time(fields: &mut Fields, field: &'static str, findings: &mut Findings) -> UnixMillis {
    let Some(text) = fields.text(field, findings) else {
        return UnixMillis(0);
    };
    UnixMillis::from_rfc3339(&text).unwrap_or_else(|| {
        findings.problem(
            fields.path_of(field),
            format!("`{text}` is not an RFC 3339 time"),
        );
        UnixMillis(0)
    })
}
