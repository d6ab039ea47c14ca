//! What a change of the configuration writes.
//!
//! From the catalog as it is and what a person asks for comes a [`Plan`]: what
//! changes and which records say so; or every reason why not, at once. Pure:
//! the time, fresh uids and resolved offsets are handed in, so whoever is
//! fenced while writing plans again from a newer catalog.
//!
//! Everything that many readers rely on is decided here, once, by the one
//! writer: uids and generations, what names are bound to, and that no
//! reference dangles. Nothing here knows Kafka.

mod delete;
mod put;
mod rekey;
mod rotate;
mod secrets;
mod switch;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use thiserror::Error;

use crate::catalog::{Catalog, EPOCH_KEY, FORMAT_KEY};
use crate::envelope::SCHEMA_VERSION;
use crate::resource::{Document, Kind, Manifest, ResourceKey, StartFrom};
use crate::time::UnixMillis;

pub use delete::{Victim, delete};
pub use put::{apply, apply_sealing};
pub use rekey::{MoveOne, Rekeyed, rekey};
pub use rotate::{Rotation, rotate};
pub use secrets::{Sealing, SecretPlace};
pub use switch::{Switch, switch};

/// How long a `deleted` record is kept: as long as the longest delivery can
/// still be under way (14 days is the most that maxAge allows), and two days
/// for clocks and services that stood still.
pub const DELETED_KEPT: Duration = Duration::from_secs((14 + 2) * 86_400);

/// End offsets by partition, by topic: where a new source that starts with the
/// latest event begins.
pub type StartOffsets = BTreeMap<String, BTreeMap<i32, i64>>;

/// What planning needs from the world.
pub struct Given<'a> {
    /// The time of the change.
    pub now: UnixMillis,
    /// A source must not read topics whose names begin with this.
    pub topic_prefix: &'a str,
    /// For the topics that [`topics_to_resolve`] names.
    pub start_offsets: &'a StartOffsets,
    /// A fresh uid, never 0: [`crate::id::new_uid`] outside tests.
    pub new_uid: &'a mut dyn FnMut() -> u128,
}

/// What happens to one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is new, or its name is used again after a deletion.
    Create,
    /// Its spec changes.
    Update,
    /// It is already so.
    Unchanged,
    /// It ends.
    Delete,
}

impl Action {
    /// What happened, as a person reads it.
    #[must_use]
    pub const fn done(self) -> &'static str {
        match self {
            Self::Create => "created",
            Self::Update => "configured",
            Self::Unchanged => "unchanged",
            Self::Delete => "deleted",
        }
    }
}

/// One resource of a plan.
#[derive(Clone, Debug)]
pub struct PlannedChange {
    /// Which resource.
    pub key: ResourceKey,
    /// What happens to it.
    pub action: Action,
    /// How it stands before; `None` when it is new.
    pub before: Option<Arc<Document>>,
    /// How it stands after; a deleted one says so.
    pub document: Document,
}

/// A record of the config topic: key, and value or tombstone.
pub type ConfigWrite = (String, Option<Vec<u8>>);

/// What changes, and the records that say so.
#[derive(Debug, Default)]
pub struct Plan {
    /// In the order asked for.
    pub changes: Vec<PlannedChange>,
    /// In the order to write them: what is referred to before what refers to
    /// it. Empty when nothing changes.
    pub writes: Vec<ConfigWrite>,
}

/// What sort of problem it is, for exit codes and HTTP statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// It could never be written.
    Invalid,
    /// It does not fit what is stored now.
    Conflict,
    /// It does not exist.
    NotFound,
}

/// One reason why a plan is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanProblem {
    /// What sort of problem.
    pub kind: ProblemKind,
    /// The resource it is about.
    pub key: ResourceKey,
    /// What is wrong, beginning with the field where there is one.
    pub reason: String,
}

impl fmt::Display for PlanProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", spoken(&self.key), self.reason)
    }
}

/// Every reason why a plan is refused.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{}", list(problems))]
pub struct PlanError {
    /// The reasons; never empty.
    pub problems: Vec<PlanProblem>,
}

impl PlanError {
    /// The kind that all problems share; problems of several kinds are
    /// [`ProblemKind::Invalid`] together.
    #[must_use]
    pub fn kind(&self) -> ProblemKind {
        let mut kinds = self.problems.iter().map(|p| p.kind);
        let first = kinds.next().unwrap_or(ProblemKind::Invalid);
        if kinds.all(|kind| kind == first) {
            first
        } else {
            ProblemKind::Invalid
        }
    }
}

fn list(problems: &[PlanProblem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// A resource as people speak of it: `Endpoint acme/erp`, `Source shop`.
#[must_use]
pub fn spoken(key: &ResourceKey) -> String {
    if key.kind == Kind::Source {
        format!("{} {}", key.kind, key.name)
    } else {
        format!("{} {}/{}", key.kind, key.tenant, key.name)
    }
}

/// The topics whose end offsets [`apply`] needs in [`Given::start_offsets`]:
/// those of new sources that start with the latest event. A topic that is
/// missing from them when [`apply`] is called leaves its source unresolved;
/// one with an empty map starts at 0 on every partition.
#[must_use]
pub fn topics_to_resolve(catalog: &Catalog, documents: &[Document]) -> Vec<String> {
    let mut topics: Vec<String> = documents
        .iter()
        .filter(|d| catalog.find(&d.manifest.key()).is_none())
        .filter_map(|d| match &d.manifest {
            Manifest::Source(s) if s.spec.start_from == StartFrom::Latest => {
                Some(s.spec.topic.clone())
            }
            _ => None,
        })
        .collect();
    topics.sort();
    topics.dedup();
    topics
}

/// Problems as they are found.
#[derive(Default)]
struct Problems(Vec<PlanProblem>);

impl Problems {
    fn add(&mut self, kind: ProblemKind, key: &ResourceKey, reason: impl Into<String>) {
        self.0.push(PlanProblem {
            kind,
            key: key.clone(),
            reason: reason.into(),
        });
    }

    fn or<T>(self, value: T) -> Result<T, PlanError> {
        if self.0.is_empty() {
            Ok(value)
        } else {
            Err(PlanError { problems: self.0 })
        }
    }

    /// What a person says about uid and generation must be so.
    fn check_match(&mut self, key: &ResourceKey, asked: (u128, u64), stored: Option<(u128, u64)>) {
        let (uid, generation) = asked;
        let Some((stored_uid, stored_generation)) = stored else {
            if uid != 0 {
                let reason = format!(
                    "metadata.uid: {} is expected, and no such resource exists; leave it out to \
                     create one",
                    key.kind.show_uid(uid)
                );
                self.add(ProblemKind::Conflict, key, reason);
            } else if generation != 0 {
                let reason = format!(
                    "metadata.generation: {generation} is expected, and no such resource exists; \
                     leave it out to create one"
                );
                self.add(ProblemKind::Conflict, key, reason);
            }
            return;
        };
        if uid != 0 && uid != stored_uid {
            let reason = format!(
                "metadata.uid: {} is expected, and it is {}: the name was used again",
                key.kind.show_uid(uid),
                key.kind.show_uid(stored_uid)
            );
            self.add(ProblemKind::Conflict, key, reason);
        } else if generation != 0 && generation != stored_generation {
            let reason = format!(
                "metadata.generation: {generation} is expected, and it is {stored_generation}: \
                 somebody changed it; look at it and apply again"
            );
            self.add(ProblemKind::Conflict, key, reason);
        }
    }
}

/// The plan of `changes`, with what every write brings along: the records
/// that make a config topic one, and tombstones of what was deleted long ago.
fn finish(catalog: &Catalog, changes: Vec<PlannedChange>, given: &mut Given<'_>) -> Plan {
    let mut changed: Vec<&PlannedChange> = changes
        .iter()
        .filter(|change| change.action != Action::Unchanged)
        .collect();
    if changed.is_empty() {
        let writes = Vec::new();
        return Plan { changes, writes };
    }
    let mut writes = Vec::new();
    if catalog.stamp().epoch == 0 {
        let epoch = json!({"epoch": format!("{:032x}", (given.new_uid)())});
        let format = json!({"version": SCHEMA_VERSION});
        writes.push((EPOCH_KEY.to_owned(), Some(epoch.to_string().into_bytes())));
        writes.push((FORMAT_KEY.to_owned(), Some(format.to_string().into_bytes())));
    }
    // Deletions last, and among them what refers before what is referred to.
    changed.sort_by(|a, b| {
        let gone = |change: &PlannedChange| change.action == Action::Delete;
        let by_kind = a.key.kind.cmp(&b.key.kind);
        let within = if gone(a) { by_kind.reverse() } else { by_kind };
        gone(a).cmp(&gone(b)).then(within)
    });
    writes.extend(changed.iter().map(|change| {
        let value = change.document.to_json().to_string().into_bytes();
        (change.key.to_string(), Some(value))
    }));
    let written: BTreeSet<&ResourceKey> = changed.iter().map(|change| &change.key).collect();
    let old = catalog
        .documents()
        .into_iter()
        .filter(|(key, document)| is_old(document, given.now) && !written.contains(key));
    writes.extend(old.map(|(key, _)| (key.to_string(), None)));
    Plan { changes, writes }
}

/// Whether nobody can ask for a deleted resource any more.
fn is_old(document: &Document, now: UnixMillis) -> bool {
    document.deleted && now.since(document.manifest.meta().updated_at) > DELETED_KEPT
}

#[cfg(test)]
mod tests;
