//! Documents: several in a file, each one manifest.

mod secrets;

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use thiserror::Error;

use self::secrets::refuse_clear;
pub use self::secrets::spec_path;
use super::{
    Binding, Endpoint, EndpointSpec, Metadata, ResourceKey, Source, SourceSpec, Subscription,
    SubscriptionSpec,
};
use crate::fields::{Fields, Findings, Problem};
use crate::id::{EndpointUid, SourceUid, SubscriptionUid};
use crate::yaml::without_values;

/// The one version of manifests.
const API_VERSION: &str = "hooklane/v1";

/// What a manifest declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An event topic and how to read it.
    Source,
    /// Where deliveries go, and how.
    Endpoint,
    /// What goes to which endpoint.
    Subscription,
}

impl Kind {
    /// All kinds, each after those it may refer to.
    pub const ALL: [Self; 3] = [Self::Source, Self::Endpoint, Self::Subscription];

    /// The word in manifests and record keys.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Source => "Source",
            Self::Endpoint => "Endpoint",
            Self::Subscription => "Subscription",
        }
    }

    /// Reads the word in manifests and record keys.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// A uid of this kind as text.
    #[must_use]
    pub fn show_uid(self, uid: u128) -> String {
        match self {
            Self::Source => SourceUid(uid).to_string(),
            Self::Endpoint => EndpointUid(uid).to_string(),
            Self::Subscription => SubscriptionUid(uid).to_string(),
        }
    }

    /// Reads a uid of this kind, or says why it is none.
    pub(super) fn parse_uid(self, text: &str) -> Result<u128, String> {
        let parsed = match self {
            Self::Source => text.parse().map(|SourceUid(uid)| uid),
            Self::Endpoint => text.parse().map(|EndpointUid(uid)| uid),
            Self::Subscription => text.parse().map(|SubscriptionUid(uid)| uid),
        };
        parsed.map_err(|e| e.to_string())
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One declared resource.
#[derive(Clone, Debug, PartialEq)]
pub enum Manifest {
    /// A source.
    Source(Source),
    /// An endpoint.
    Endpoint(Endpoint),
    /// A subscription.
    Subscription(Subscription),
}

impl Manifest {
    /// Which kind it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Source(_) => Kind::Source,
            Self::Endpoint(_) => Kind::Endpoint,
            Self::Subscription(_) => Kind::Subscription,
        }
    }

    /// Its metadata.
    #[must_use]
    pub fn meta(&self) -> &Metadata {
        match self {
            Self::Source(r) => &r.meta,
            Self::Endpoint(r) => &r.meta,
            Self::Subscription(r) => &r.meta,
        }
    }

    /// Its metadata, to be completed by the writer.
    pub fn meta_mut(&mut self) -> &mut Metadata {
        match self {
            Self::Source(r) => &mut r.meta,
            Self::Endpoint(r) => &mut r.meta,
            Self::Subscription(r) => &mut r.meta,
        }
    }

    /// Which resource it is.
    #[must_use]
    pub fn key(&self) -> ResourceKey {
        let meta = self.meta();
        ResourceKey {
            kind: self.kind(),
            tenant: meta.tenant.clone(),
            name: meta.name.clone(),
        }
    }
}

/// A manifest with its spec as it was written, which is what is stored and
/// compared.
#[derive(Clone, PartialEq)]
pub struct Document {
    /// The resource, read and checked.
    pub manifest: Manifest,
    /// The `spec` object as written: with secrets, in clear where a person
    /// wrote it and sealed where it is stored. [`Document::shown_spec`] has none.
    pub spec: Value,
    /// Set on the record that says the resource is deleted.
    pub deleted: bool,
}

/// Without the values of secrets, in clear or sealed.
impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Document");
        shown.field("manifest", &self.manifest);
        shown
            .field("deleted", &self.deleted)
            .finish_non_exhaustive()
    }
}

impl Document {
    /// The document as stored in the config topic.
    #[must_use]
    pub fn to_json(&self) -> Value {
        self.json_with(self.spec.clone())
    }

    /// The document as people see it: in place of each secret its handle,
    /// which is enough to apply it again.
    #[must_use]
    pub fn to_shown(&self) -> Value {
        self.json_with(self.shown_spec())
    }

    fn json_with(&self, spec: Value) -> Value {
        let kind = self.manifest.kind();
        let mut metadata = self.manifest.meta().to_json(kind);
        if let Manifest::Source(Source {
            start_offsets: Some(offsets),
            ..
        }) = &self.manifest
        {
            let offsets: Map<String, Value> = offsets
                .iter()
                .map(|(p, o)| (p.to_string(), json!(o)))
                .collect();
            metadata["startOffsets"] = Value::Object(offsets);
        }
        if let Manifest::Subscription(Subscription {
            bound: Some(bound), ..
        }) = &self.manifest
        {
            metadata["bound"] = json!({
                "source": bound.source.to_string(),
                "endpoint": bound.endpoint.to_string(),
            });
        }
        if self.deleted {
            metadata["deleted"] = json!(true);
        }
        json!({
            "apiVersion": API_VERSION,
            "kind": kind.as_str(),
            "metadata": metadata,
            "spec": spec,
        })
    }
}

/// How a document is held to the fields this release knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// Unknown fields are problems: a person is writing.
    Write,
    /// Unknown fields are notes: a newer release may have written.
    Read,
}

/// Everything wrong with a file, at once.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{}", list(problems))]
pub struct ParseError {
    /// The problems, paths beginning with the document's number where a file
    /// holds several.
    pub problems: Vec<Problem>,
}

fn list(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

/// Reads all documents of a YAML (or JSON) text. Empty documents are skipped.
///
/// # Errors
/// All problems of all documents.
pub fn parse_yaml(text: &str) -> Result<Vec<Document>, ParseError> {
    let mut problems = Vec::new();
    let mut documents = Vec::new();
    for (i, yaml) in serde_norway::Deserializer::from_str(text).enumerate() {
        let at = format!("document {}", i + 1);
        match Value::deserialize(yaml) {
            Ok(Value::Null) => {}
            Ok(value) => match parse_value(value, Strictness::Write) {
                Ok((document, _)) => documents.push(document),
                Err(error) => problems.extend(error.problems.into_iter().map(|p| Problem {
                    path: if p.path.is_empty() {
                        at.clone()
                    } else {
                        format!("{at}: {}", p.path)
                    },
                    reason: p.reason,
                })),
            },
            Err(error) => {
                problems.push(Problem {
                    path: at,
                    reason: format!("not YAML: {}", without_values(&error)),
                });
                // The reader cannot find the next document behind a syntax error.
                break;
            }
        }
    }
    if problems.is_empty() {
        Ok(documents)
    } else {
        Err(ParseError { problems })
    }
}

/// Reads one document. On [`Strictness::Read`] also returns notes of fields
/// that this release does not know.
///
/// # Errors
/// All problems of the document.
pub fn parse_value(
    value: Value,
    strictness: Strictness,
) -> Result<(Document, Vec<Problem>), ParseError> {
    let mut findings = Findings::default();
    let document = read_document(value, &mut findings);
    match strictness {
        Strictness::Write => findings.problems.append(&mut findings.unknown),
        Strictness::Read => refuse_clear(document.as_ref(), &mut findings),
    }
    match document {
        Some(document) if findings.problems.is_empty() => Ok((document, findings.unknown)),
        _ => Err(ParseError {
            problems: findings.problems,
        }),
    }
}

fn read_document(value: Value, findings: &mut Findings) -> Option<Document> {
    let mut fields = Fields::of(value, "", findings);
    let version = fields.required_text("apiVersion", findings);
    if !version.is_empty() && version != API_VERSION {
        findings.problem(
            "apiVersion",
            format!("expected {API_VERSION}, found `{version}`"),
        );
    }
    let word = fields.required_text("kind", findings);
    let kind = Kind::parse(&word);
    if kind.is_none() && !word.is_empty() {
        findings.problem(
            "kind",
            format!("expected Source, Endpoint or Subscription, found `{word}`"),
        );
    }
    // What `get -o yaml` shows can be applied again; its status is not read.
    let _shown_only = fields.take("status");
    let metadata = fields.take("metadata").unwrap_or_else(|| json!({}));
    let spec = fields.take("spec").unwrap_or_else(|| json!({}));
    fields.finish(findings);

    let kind = kind?;
    let mut metadata = Fields::of(metadata, "metadata", findings);
    let meta = Metadata::read(kind, &mut metadata, findings);
    let start_offsets = read_start_offsets(kind, &mut metadata, findings);
    let bound = read_binding(kind, &mut metadata, findings);
    let deleted = metadata.boolean("deleted", findings).unwrap_or(false);
    metadata.finish(findings);

    let spec_fields = Fields::of(spec.clone(), "spec", findings);
    let manifest = match kind {
        Kind::Source => {
            let spec = SourceSpec::read(spec_fields, findings);
            Manifest::Source(Source {
                meta,
                spec,
                start_offsets,
            })
        }
        Kind::Endpoint => {
            let spec = EndpointSpec::read(spec_fields, findings)?;
            Manifest::Endpoint(Endpoint { meta, spec })
        }
        Kind::Subscription => {
            let spec = SubscriptionSpec::read(spec_fields, findings);
            Manifest::Subscription(Subscription { meta, spec, bound })
        }
    };
    Some(Document {
        manifest,
        spec,
        deleted,
    })
}

fn read_start_offsets(
    kind: Kind,
    metadata: &mut Fields,
    findings: &mut Findings,
) -> Option<BTreeMap<i32, i64>> {
    if kind != Kind::Source {
        return None;
    }
    let path = metadata.path_of("startOffsets");
    let Value::Object(map) = metadata.take("startOffsets")? else {
        findings.problem(path, "expected an object of partition: offset");
        return None;
    };
    let mut offsets = BTreeMap::new();
    for (partition, offset) in map {
        match (partition.parse(), offset.as_i64()) {
            (Ok(partition), Some(offset)) => {
                offsets.insert(partition, offset);
            }
            _ => findings.problem(format!("{path}.{partition}"), "expected partition: offset"),
        }
    }
    Some(offsets)
}

fn read_binding(kind: Kind, metadata: &mut Fields, findings: &mut Findings) -> Option<Binding> {
    if kind != Kind::Subscription {
        return None;
    }
    let mut fields = metadata.object("bound", findings)?;
    let source = uid_field(&mut fields, "source", findings);
    let endpoint = uid_field(&mut fields, "endpoint", findings);
    fields.finish(findings);
    Some(Binding {
        source: source?,
        endpoint: endpoint?,
    })
}

fn uid_field<T>(fields: &mut Fields, field: &'static str, findings: &mut Findings) -> Option<T>
where
    T: std::str::FromStr<Err = crate::id::IdError>,
{
    let text = fields.required_text(field, findings);
    text.parse()
        .map_err(|error| findings.problem(fields.path_of(field), format!("{error}")))
        .ok()
}

#[cfg(test)]
mod tests;
