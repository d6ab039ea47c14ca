//! Creating and changing resources.

use std::collections::{BTreeMap, BTreeSet};

use super::secrets::{Sealing, WithoutKeys, settle};
use super::{Action, Given, Plan, PlanError, PlannedChange, ProblemKind, Problems, finish, spoken};
use crate::catalog::Catalog;
use crate::id::{EndpointUid, SourceUid};
use crate::resource::{
    Binding, Document, Kind, Manifest, ResourceKey, SHARED_TENANT, Source, StartFrom, Subscription,
};

/// Plans to make what is stored as `documents` say. What they leave out stays
/// as it is; `metadata.uid` and `metadata.generation` are conditions, the rest
/// of what Hooklane keeps in the metadata is not read from them.
///
/// Without keys: secrets that are stored are kept, others refused.
///
/// # Errors
/// Every problem of every document.
pub fn apply(
    catalog: &Catalog,
    documents: Vec<Document>,
    given: &mut Given<'_>,
) -> Result<Plan, PlanError> {
    apply_sealing(catalog, documents, given, &mut WithoutKeys)
}

/// The same with keys: secrets in clear are sealed, unless the endpoint has
/// them already.
///
/// # Errors
/// Every problem of every document.
pub fn apply_sealing(
    catalog: &Catalog,
    documents: Vec<Document>,
    given: &mut Given<'_>,
    sealing: &mut dyn Sealing,
) -> Result<Plan, PlanError> {
    let mut problems = Problems::default();
    let uids = settle_uids(catalog, &documents, given, &mut problems);
    check_topics(catalog, &documents, given.topic_prefix, &mut problems);
    let mut changes = Vec::with_capacity(documents.len());
    for mut document in documents {
        let key = document.manifest.key();
        let before = catalog.document(&key).filter(|d| !d.deleted).cloned();
        if let (Manifest::Source(new), Some(before)) = (&document.manifest, &before) {
            check_topic_kept(&key, new, before, &mut problems);
        }
        if let Manifest::Subscription(subscription) = &mut document.manifest {
            subscription.bound = bind(catalog, subscription, &key, &uids, &mut problems);
        }
        let uid = uids.get(&key).copied().unwrap_or_default();
        let settled = settle(
            &mut document,
            uid,
            before.as_deref(),
            (&mut *sealing, given.now),
        );
        for (path, reason) in settled {
            problems.add(ProblemKind::Invalid, &key, format!("{path}: {reason}"));
        }
        let action = complete(&mut document, &key, before.as_deref(), &uids, given);
        changes.push(PlannedChange {
            key,
            action,
            before,
            document,
        });
    }
    problems.or(()).map(|()| finish(catalog, changes, given))
}

/// The key of a source.
pub(super) fn source_key(name: &str) -> ResourceKey {
    ResourceKey {
        kind: Kind::Source,
        tenant: SHARED_TENANT.to_owned(),
        name: name.to_owned(),
    }
}

/// The uid of each resource asked for: the stored one or a new one.
fn settle_uids(
    catalog: &Catalog,
    documents: &[Document],
    given: &mut Given<'_>,
    problems: &mut Problems,
) -> BTreeMap<ResourceKey, u128> {
    let mut uids = BTreeMap::new();
    let mut said = BTreeSet::new();
    for document in documents {
        let key = document.manifest.key();
        if uids.contains_key(&key) {
            if said.insert(key.clone()) {
                problems.add(ProblemKind::Invalid, &key, "is declared more than once");
            }
            continue;
        }
        if document.deleted {
            problems.add(
                ProblemKind::Invalid,
                &key,
                "metadata.deleted: cannot be applied; use `hooklane delete`",
            );
        }
        let meta = document.manifest.meta();
        let stored = catalog.find(&key);
        problems.check_match(&key, (meta.uid, meta.generation), stored);
        let uid = stored.map_or_else(|| (given.new_uid)(), |(uid, _)| uid);
        uids.insert(key, uid);
    }
    uids
}

/// No topic is read twice, and none of ours is read.
fn check_topics(catalog: &Catalog, documents: &[Document], prefix: &str, problems: &mut Problems) {
    let sources = |document: &Document| match &document.manifest {
        Manifest::Source(source) if !document.deleted => {
            Some((source.spec.topic.clone(), source.meta.name.clone()))
        }
        _ => None,
    };
    let asked: Vec<(String, String)> = documents.iter().filter_map(sources).collect();
    if asked.is_empty() {
        return;
    }
    let stored = catalog.documents().into_iter();
    let mut readers: BTreeMap<String, String> = stored
        .filter_map(|(_, document)| sources(document))
        .collect();
    for (topic, name) in asked {
        let key = source_key(&name);
        if !prefix.is_empty() && topic.starts_with(prefix) {
            let reason = format!(
                "spec.topic: {topic} is an internal topic: names that begin with {prefix} are \
                 Hooklane's own"
            );
            problems.add(ProblemKind::Invalid, &key, reason);
        }
        match readers.get(&topic) {
            Some(other) if *other != name => {
                let reason = format!(
                    "spec.topic: {topic} is read by Source {other} already; events would be \
                     delivered twice"
                );
                problems.add(ProblemKind::Conflict, &key, reason);
            }
            _ => {
                readers.insert(topic, name);
            }
        }
    }
}

fn check_topic_kept(key: &ResourceKey, new: &Source, before: &Document, problems: &mut Problems) {
    let Manifest::Source(old) = &before.manifest else {
        return;
    };
    if old.spec.topic != new.spec.topic {
        let reason = format!(
            "spec.topic: is {} and cannot become {}: positions and delivery ids belong to the \
             topic; create another Source",
            old.spec.topic, new.spec.topic
        );
        problems.add(ProblemKind::Invalid, key, reason);
    }
}

/// What the names in a subscription mean, if all of them mean something.
fn bind(
    catalog: &Catalog,
    subscription: &Subscription,
    key: &ResourceKey,
    uids: &BTreeMap<ResourceKey, u128>,
    problems: &mut Problems,
) -> Option<Binding> {
    let mut look_up = |field: &str, wanted: &ResourceKey| {
        let uid = uids.get(wanted).copied();
        let uid = uid.or_else(|| catalog.find(wanted).map(|(uid, _)| uid));
        if uid.is_none() {
            let reason = format!(
                "spec.{field}: {} does not exist, here or in the file",
                spoken(wanted)
            );
            problems.add(ProblemKind::Invalid, key, reason);
        }
        uid
    };
    let source = look_up("source", &source_key(&subscription.spec.source));
    let endpoint = ResourceKey {
        kind: Kind::Endpoint,
        tenant: subscription.meta.tenant.clone(),
        name: subscription.spec.endpoint.clone(),
    };
    let endpoint = look_up("endpoint", &endpoint);
    Some(Binding {
        source: SourceUid(source?),
        endpoint: EndpointUid(endpoint?),
    })
}

/// Fills in what Hooklane keeps in the metadata, and says what happens.
fn complete(
    document: &mut Document,
    key: &ResourceKey,
    before: Option<&Document>,
    uids: &BTreeMap<ResourceKey, u128>,
    given: &Given<'_>,
) -> Action {
    if let Manifest::Source(source) = &mut document.manifest {
        source.start_offsets = match before.map(|b| &b.manifest) {
            Some(Manifest::Source(old)) => old.start_offsets.clone(),
            _ if source.spec.start_from == StartFrom::Earliest => None,
            _ => given.start_offsets.get(&source.spec.topic).cloned(),
        };
    }
    let uid = uids.get(key).copied().unwrap_or_default();
    let meta = document.manifest.meta_mut();
    meta.uid = uid;
    let Some(before) = before else {
        meta.generation = 1;
        meta.created_at = given.now;
        meta.updated_at = given.now;
        return Action::Create;
    };
    let old = before.manifest.meta();
    meta.created_at = old.created_at;
    meta.updated_at = old.updated_at;
    meta.generation = old.generation;
    let spec_changes = document.spec != before.spec;
    if spec_changes {
        let meta = document.manifest.meta_mut();
        meta.generation += 1;
        meta.updated_at = given.now;
        return Action::Update;
    }
    // The same names may mean something else only where a record was written
    // by other means; it is made right without another generation.
    if bound(document) != bound(before) {
        document.manifest.meta_mut().updated_at = given.now;
        return Action::Update;
    }
    Action::Unchanged
}

fn bound(document: &Document) -> Option<Binding> {
    match &document.manifest {
        Manifest::Subscription(subscription) => subscription.bound,
        _ => None,
    }
}
