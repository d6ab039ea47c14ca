//! The configuration as one reader has applied it.
//!
//! Built from the records of the config and status topics in log order. A
//! record that cannot be read changes nothing: the last good value stays, and
//! the problem is reported. Names are for people; everything here that a
//! delivery needs is found by uid.

mod found;
mod snapshot;
mod status;
mod verification;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::Value;

pub use snapshot::{LastFailure, Snapshot};
pub use status::{Disabled, EndpointStatus, Health};
pub use verification::{Consent, Unverified};

use crate::envelope::{ConfigStamp, SCHEMA_VERSION};
use crate::fields::Problem;
use crate::id::{EndpointUid, SourceUid, SubscriptionUid};
use crate::resource::{
    Document, Endpoint, Kind, Manifest, ResourceKey, Source, Strictness, Subscription, parse_value,
};

/// Key of the record that identifies the config topic's history.
pub const EPOCH_KEY: &str = "hooklane/epoch";
/// Key of the record that names the schema version writers use.
pub const FORMAT_KEY: &str = "hooklane/format";

/// What one record changed.
#[derive(Clone, Debug)]
pub enum Change {
    /// A source is new or differs.
    Source(Arc<Source>),
    /// A source is gone.
    SourceGone(SourceUid),
    /// An endpoint is new or differs.
    Endpoint(Arc<Endpoint>),
    /// An endpoint was deleted.
    EndpointGone(EndpointUid),
    /// A subscription is new or differs; its `bound` is set.
    Subscription(Arc<Subscription>),
    /// A subscription is gone.
    SubscriptionGone(SubscriptionUid),
    /// What the pipeline found out about an endpoint is new or differs.
    Status(EndpointUid, Arc<EndpointStatus>),
    /// Nothing is known about the endpoint any more.
    StatusGone(EndpointUid),
    /// Whether a [`Snapshot`] of the endpoint stands in the status topic. What
    /// it says is for people; its owner must know that it is there, or nobody
    /// would delete what a former owner wrote.
    Snapshot(EndpointUid, bool),
    /// The consent of an endpoint's receiver is new or differs; without one
    /// it is gone. Apart from the status, so that nothing else that is found
    /// out about the endpoint says anything of it.
    Consent(EndpointUid, Option<Arc<Consent>>),
    /// Why there is no consent is new or differs; without one there is nothing
    /// to say.
    Unverified(EndpointUid, Option<Arc<Unverified>>),
}

/// What applying one record came to.
#[derive(Debug, Default)]
pub struct Applied {
    /// What changed, in order.
    pub changes: Vec<Change>,
    /// Why the record, or a part of it, was not applied.
    pub problems: Vec<Problem>,
    /// Fields this release does not know and passed over.
    pub notes: Vec<Problem>,
}

impl Applied {
    fn change(change: Change) -> Self {
        Self {
            changes: vec![change],
            ..Self::default()
        }
    }

    fn problem(key: &[u8], reason: impl Into<String>) -> Self {
        let path = String::from_utf8_lossy(key).into_owned();
        let problems = vec![Problem {
            path,
            reason: reason.into(),
        }];
        Self {
            problems,
            ..Self::default()
        }
    }
}

/// All resources and statuses, by uid and by name.
#[derive(Debug, Default)]
pub struct Catalog {
    /// By [`name_of`]. The largest table of a service with a million endpoints
    /// and half empty at worst, so keys and entries are as small as they get.
    by_name: HashMap<Box<str>, Entry>,
    /// As written, deleted ones included; only where people look at them.
    documents: BTreeMap<ResourceKey, Arc<Document>>,
    endpoints: HashMap<EndpointUid, Arc<Endpoint>>,
    statuses: HashMap<EndpointUid, Arc<EndpointStatus>>,
    /// What it says is read only where people look at it. Bounded by the
    /// endpoints that have something to say.
    snapshots: HashMap<EndpointUid, Option<Arc<Snapshot>>>,
    /// Of endpoints that want a consent.
    consents: HashMap<EndpointUid, Arc<Consent>>,
    unverified: HashMap<EndpointUid, Arc<Unverified>>,
    stamp: ConfigStamp,
    keep_documents: bool,
}

/// A resource as one text: two strings and a kind take three times the memory.
fn name_of(key: &ResourceKey) -> Box<str> {
    key.to_string().into_boxed_str()
}

/// What stands under a name.
#[derive(Clone, Debug)]
enum Entry {
    Source(Arc<Source>),
    Endpoint(Arc<Endpoint>),
    Subscription(Arc<Subscription>),
    /// The name is free; the uid stays known so that late deliveries can say
    /// why they are dead, and the record can be pruned when it is old. Boxed:
    /// a uid in place would double the size of every entry.
    Deleted(Box<Deleted>),
}

#[derive(Clone, Debug)]
struct Deleted {
    kind: Kind,
    uid: u128,
}

impl Entry {
    fn kind(&self) -> Kind {
        match self {
            Self::Source(_) => Kind::Source,
            Self::Endpoint(_) => Kind::Endpoint,
            Self::Subscription(_) => Kind::Subscription,
            Self::Deleted(deleted) => deleted.kind,
        }
    }

    fn uid(&self) -> u128 {
        match self {
            Self::Source(r) => r.meta.uid,
            Self::Endpoint(r) => r.meta.uid,
            Self::Subscription(r) => r.meta.uid,
            Self::Deleted(deleted) => deleted.uid,
        }
    }

    fn set(&self) -> Option<Change> {
        Some(match self {
            Self::Source(r) => Change::Source(r.clone()),
            Self::Endpoint(r) => Change::Endpoint(r.clone()),
            Self::Subscription(r) => Change::Subscription(r.clone()),
            Self::Deleted(..) => return None,
        })
    }

    fn gone(&self) -> Option<Change> {
        Some(match self {
            Self::Source(r) => Change::SourceGone(r.uid()),
            Self::Endpoint(r) => Change::EndpointGone(r.uid()),
            Self::Subscription(r) => Change::SubscriptionGone(r.uid()),
            Self::Deleted(..) => return None,
        })
    }

    /// The endpoint that stood here before it was deleted.
    fn deleted_endpoint(&self) -> Option<EndpointUid> {
        match self {
            Self::Deleted(deleted) if deleted.kind == Kind::Endpoint => {
                Some(EndpointUid(deleted.uid))
            }
            _ => None,
        }
    }
}

impl Catalog {
    /// A catalog that also keeps documents as written, for people to see.
    #[must_use]
    pub fn with_documents() -> Self {
        Self {
            keep_documents: true,
            ..Self::default()
        }
    }

    /// Applies the record at `offset` of the config topic; `None` is a
    /// tombstone.
    pub fn apply_config(&mut self, offset: i64, key: &[u8], value: Option<&[u8]>) -> Applied {
        self.stamp.offset = offset + 1;
        match key {
            k if k == EPOCH_KEY.as_bytes() => self.apply_epoch(key, value),
            k if k == FORMAT_KEY.as_bytes() => check_format(key, value),
            _ => match ResourceKey::parse(key) {
                Some(resource) => self.apply_resource(resource, key, value),
                None => Applied::problem(key, "not a key of the config topic"),
            },
        }
    }

    fn apply_epoch(&mut self, key: &[u8], value: Option<&[u8]>) -> Applied {
        let read = value
            .and_then(|v| serde_json::from_slice::<Value>(v).ok())
            .and_then(|v| u128::from_str_radix(v["epoch"].as_str()?, 16).ok());
        match read {
            Some(epoch) => {
                self.stamp.epoch = epoch;
                Applied::default()
            }
            None => Applied::problem(key, "expected {\"epoch\": <hex>}"),
        }
    }

    fn apply_resource(
        &mut self,
        resource: ResourceKey,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Applied {
        let Some(value) = value else {
            self.documents.remove(&resource);
            let gone = self.by_name.remove(&name_of(&resource));
            return self.replaced(gone, None);
        };
        let (document, notes) = match read_stored(&resource, value) {
            Ok(read) => read,
            Err(reason) => return Applied::problem(key, reason),
        };
        let entry = entry_of(&document);
        let old = self.by_name.insert(name_of(&resource), entry.clone());
        if self.keep_documents {
            self.documents.insert(resource, Arc::new(document));
        }
        let applied = self.replaced(old, Some(entry));
        Applied { notes, ..applied }
    }

    /// What it means that `new` stands where `old` stood.
    fn replaced(&mut self, old: Option<Entry>, new: Option<Entry>) -> Applied {
        let mut changes = Vec::new();
        let same = |old: &Entry| {
            new.as_ref()
                .is_some_and(|n| n.uid() == old.uid() && n.set().is_some())
        };
        if let Some(gone) = old.as_ref().filter(|old| !same(old)).and_then(Entry::gone) {
            if let Change::EndpointGone(uid) = gone {
                self.endpoints.remove(&uid);
            }
            changes.push(gone);
        }
        if let Some(set) = new.as_ref().and_then(Entry::set) {
            if let Change::Endpoint(endpoint) = &set {
                self.endpoints.insert(endpoint.uid(), endpoint.clone());
            }
            changes.push(set);
        } else if old.is_none()
            && let Some(uid) = new.as_ref().and_then(Entry::deleted_endpoint)
        {
            // Read first after a compaction: say that it is gone all the same.
            changes.push(Change::EndpointGone(uid));
        }
        Applied {
            changes,
            ..Applied::default()
        }
    }

    /// Everything there is, as changes from nothing: sources and endpoints
    /// before the subscriptions that refer to them, then what is known about
    /// endpoints.
    #[must_use]
    pub fn all(&self) -> Vec<Change> {
        let mut entries: Vec<&Entry> = self.by_name.values().collect();
        entries.sort_by_key(|entry| entry.kind());
        let deleted = entries.iter().filter_map(|entry| entry.deleted_endpoint());
        let deleted = deleted.map(Change::EndpointGone);
        let set = entries.iter().filter_map(|entry| entry.set());
        let statuses = self
            .statuses
            .iter()
            .map(|(uid, s)| Change::Status(*uid, s.clone()));
        let snapshots = self
            .snapshots
            .keys()
            .map(|uid| Change::Snapshot(*uid, true));
        let consents = self.consents.iter();
        let consents = consents.map(|(uid, one)| Change::Consent(*uid, Some(one.clone())));
        let unverified = self.unverified.iter();
        let unverified = unverified.map(|(uid, one)| Change::Unverified(*uid, Some(one.clone())));
        deleted
            .chain(set)
            .chain(statuses)
            .chain(snapshots)
            .chain(consents)
            .chain(unverified)
            .collect()
    }

    /// How far the config topic was applied.
    #[must_use]
    pub fn stamp(&self) -> ConfigStamp {
        self.stamp
    }

    /// An endpoint by uid.
    #[must_use]
    pub fn endpoint(&self, uid: EndpointUid) -> Option<&Arc<Endpoint>> {
        self.endpoints.get(&uid)
    }

    /// What the pipeline found out about an endpoint, whatever its spec says
    /// now: see [`EndpointStatus::disabled_for`].
    #[must_use]
    pub fn status(&self, uid: EndpointUid) -> Option<&Arc<EndpointStatus>> {
        self.statuses.get(&uid)
    }

    /// The consent of an endpoint's receiver, whatever its spec asks now.
    #[must_use]
    pub fn consent(&self, uid: EndpointUid) -> Option<&Arc<Consent>> {
        self.consents.get(&uid)
    }

    /// Why an endpoint's receiver had not agreed when it was last asked.
    #[must_use]
    pub fn unverified(&self, uid: EndpointUid) -> Option<&Arc<Unverified>> {
        self.unverified.get(&uid)
    }

    /// What its owner saw of an endpoint lately; only in a catalog made
    /// [`Catalog::with_documents`].
    #[must_use]
    pub fn snapshot(&self, uid: EndpointUid) -> Option<&Arc<Snapshot>> {
        self.snapshots.get(&uid)?.as_ref()
    }

    /// A live resource's uid and generation by name.
    #[must_use]
    pub fn find(&self, key: &ResourceKey) -> Option<(u128, u64)> {
        let (uid, generation) = match self.by_name.get(&name_of(key))? {
            Entry::Source(r) => (r.meta.uid, r.meta.generation),
            Entry::Endpoint(r) => (r.meta.uid, r.meta.generation),
            Entry::Subscription(r) => (r.meta.uid, r.meta.generation),
            Entry::Deleted(..) => return None,
        };
        Some((uid, generation))
    }

    /// A document as written, deleted ones included; only in a catalog made
    /// [`Catalog::with_documents`].
    #[must_use]
    pub fn document(&self, key: &ResourceKey) -> Option<&Arc<Document>> {
        self.documents.get(key)
    }

    /// All documents as written, deleted ones included, by key.
    #[must_use]
    pub fn documents(&self) -> Vec<(&ResourceKey, &Arc<Document>)> {
        self.documents.iter().collect()
    }
}

fn check_format(key: &[u8], value: Option<&[u8]>) -> Applied {
    let version = value
        .and_then(|v| serde_json::from_slice::<Value>(v).ok())
        .and_then(|v| v["version"].as_u64());
    match version {
        Some(version) if version == u64::from(SCHEMA_VERSION) => Applied::default(),
        Some(version) => Applied::problem(
            key,
            format!(
                "writers are told to use schema version {version}, this release writes \
                 {SCHEMA_VERSION}; upgrade it or set the format back"
            ),
        ),
        None => Applied::problem(key, "expected {\"version\": <number>}"),
    }
}

/// Reads a stored document and checks that it is what its key says.
fn read_stored(key: &ResourceKey, value: &[u8]) -> Result<(Document, Vec<Problem>), String> {
    let value: Value = serde_json::from_slice(value).map_err(|e| format!("not JSON: {e}"))?;
    let (document, notes) = parse_value(value, Strictness::Read).map_err(|e| e.to_string())?;
    if document.manifest.key() != *key {
        return Err(format!("the record is about {}", document.manifest.key()));
    }
    if document.manifest.meta().uid == 0 {
        return Err("metadata.uid: is required in a stored record".to_owned());
    }
    let unbound = matches!(&document.manifest, Manifest::Subscription(s) if s.bound.is_none());
    if unbound && !document.deleted {
        return Err("metadata.bound: is required in a stored Subscription".to_owned());
    }
    Ok((document, notes))
}

fn entry_of(document: &Document) -> Entry {
    if document.deleted {
        return Entry::Deleted(Box::new(Deleted {
            kind: document.manifest.kind(),
            uid: document.manifest.meta().uid,
        }));
    }
    match document.manifest.clone() {
        Manifest::Source(r) => Entry::Source(Arc::new(r)),
        Manifest::Endpoint(r) => Entry::Endpoint(Arc::new(r)),
        Manifest::Subscription(r) => Entry::Subscription(Arc::new(r)),
    }
}

#[cfg(test)]
mod tests;
