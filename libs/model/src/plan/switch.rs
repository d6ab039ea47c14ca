//! Stopping and starting the deliveries of one endpoint.
//!
//! A pause is part of the spec: deliveries are matched and wait. That an
//! endpoint is disabled is a finding of the pipeline about one generation of
//! the spec; resuming makes the next generation, and the finding is void, as
//! is one about the old generation that comes late.

use serde_json::json;

use super::{Action, Given, Plan, PlanError, PlannedChange, ProblemKind, Problems, finish};
use crate::catalog::{Catalog, EndpointStatus};
use crate::resource::{Document, Manifest, ResourceKey};

/// What is to happen to an endpoint's deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// They are to wait.
    Pause,
    /// They are to go on, whatever stopped them.
    Resume,
}

/// Plans to pause or resume the endpoint `key`. `status` is what the status
/// topic says of it.
///
/// # Errors
/// When there is no such endpoint, or when one is to be paused that nothing
/// is matched for.
pub fn switch(
    catalog: &Catalog,
    key: &ResourceKey,
    switch: Switch,
    status: Option<&EndpointStatus>,
    given: &mut Given<'_>,
) -> Result<Plan, PlanError> {
    let mut problems = Problems::default();
    let stored = catalog.document(key).filter(|document| !document.deleted);
    let Some(before) = stored else {
        problems.add(ProblemKind::NotFound, key, "does not exist");
        return problems.or(Plan::default());
    };
    let disabled = status.and_then(|s| s.disabled_for(before.manifest.meta().generation));
    if switch == Switch::Pause && disabled.is_some() {
        let reason = "is disabled: nothing is matched for it, so there is nothing to pause; \
                      `hooklane resume` enables it";
        problems.add(ProblemKind::Conflict, key, reason);
        return problems.or(Plan::default());
    }
    let mut document = Document::clone(before);
    let flipped = set_paused(&mut document, switch == Switch::Pause);
    let action = if flipped || disabled.is_some() {
        let meta = document.manifest.meta_mut();
        meta.generation += 1;
        meta.updated_at = given.now;
        Action::Update
    } else {
        Action::Unchanged
    };
    let change = PlannedChange {
        key: key.clone(),
        action,
        before: Some(before.clone()),
        document,
    };
    Ok(finish(catalog, vec![change], given))
}

/// Whether that changed something.
fn set_paused(document: &mut Document, paused: bool) -> bool {
    let Manifest::Endpoint(endpoint) = &mut document.manifest else {
        return false;
    };
    if endpoint.spec.paused == paused {
        return false;
    }
    endpoint.spec.paused = paused;
    match document.spec.as_object_mut() {
        Some(spec) if paused => {
            spec.insert("paused".to_owned(), json!(true));
        }
        // As in a file that does not speak of it.
        Some(spec) => {
            spec.remove("paused");
        }
        None => {}
    }
    true
}
