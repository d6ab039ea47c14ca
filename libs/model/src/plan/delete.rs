//! Ending resources.

use std::collections::BTreeSet;

use super::{Action, Given, Plan, PlanError, PlannedChange, ProblemKind, Problems, finish, spoken};
use crate::catalog::Catalog;
use crate::resource::{Document, Kind, Manifest, ResourceKey};

/// A resource to delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Victim {
    /// Which.
    pub key: ResourceKey,
    /// Delete it only if it has this uid; 0 for any.
    pub uid: u128,
    /// Delete it only at this generation; 0 for any.
    pub generation: u64,
}

impl Victim {
    /// The resource of this name, whatever its uid and generation.
    #[must_use]
    pub fn named(key: ResourceKey) -> Self {
        Self {
            key,
            uid: 0,
            generation: 0,
        }
    }

    /// The resource of a manifest, which may name uid and generation.
    #[must_use]
    pub fn of(document: &Document) -> Self {
        let meta = document.manifest.meta();
        Self {
            key: document.manifest.key(),
            uid: meta.uid,
            generation: meta.generation,
        }
    }
}

/// Plans to delete `victims`; naming one twice is naming it once. A resource
/// that others refer to goes only together with all of them.
///
/// A catalog with documents is required, here as in [`super::apply`].
///
/// # Errors
/// Every problem of every victim.
pub fn delete(
    catalog: &Catalog,
    victims: &[Victim],
    given: &mut Given<'_>,
) -> Result<Plan, PlanError> {
    let mut problems = Problems::default();
    let mut changes = Vec::new();
    let going: BTreeSet<&ResourceKey> = victims.iter().map(|v| &v.key).collect();
    let mut seen = BTreeSet::new();
    for victim in victims {
        let stored = catalog.find(&victim.key);
        if stored.is_none() {
            problems.add(ProblemKind::NotFound, &victim.key, "does not exist");
            continue;
        }
        problems.check_match(&victim.key, (victim.uid, victim.generation), stored);
        let live = catalog.document(&victim.key).filter(|d| !d.deleted);
        let Some(before) = live.filter(|_| seen.insert(&victim.key)) else {
            continue;
        };
        let mut document = Document::clone(before);
        document.deleted = true;
        document.drop_secrets();
        document.manifest.meta_mut().updated_at = given.now;
        changes.push(PlannedChange {
            key: victim.key.clone(),
            action: Action::Delete,
            before: Some(before.clone()),
            document,
        });
    }
    for (key, document) in catalog.documents() {
        if document.deleted || going.contains(key) {
            continue;
        }
        for referred in references(&document.manifest) {
            if seen.contains(&referred) {
                let reason = format!(
                    "{} refers to it; delete that first, or both together",
                    spoken(key)
                );
                problems.add(ProblemKind::Conflict, &referred, reason);
            }
        }
    }
    problems.or(()).map(|()| finish(catalog, changes, given))
}

/// What a resource refers to by name.
fn references(manifest: &Manifest) -> Vec<ResourceKey> {
    let Manifest::Subscription(subscription) = manifest else {
        return Vec::new();
    };
    vec![
        super::put::source_key(&subscription.spec.source),
        ResourceKey {
            kind: Kind::Endpoint,
            tenant: subscription.meta.tenant.clone(),
            name: subscription.spec.endpoint.clone(),
        },
    ]
}
