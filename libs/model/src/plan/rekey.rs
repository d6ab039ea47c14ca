//! Bringing sealed secrets under another key.

use serde_json::json;

use super::{Action, Given, Plan, PlannedChange, SecretPlace, finish};
use crate::catalog::Catalog;
use crate::id::EndpointUid;
use crate::resource::{ResourceKey, spec_path};
use crate::secret::SecretRef;

/// What a re-wrap of some endpoints comes to.
#[derive(Debug)]
pub struct Rekeyed {
    /// What to write: the endpoints with secrets that were moved.
    pub plan: Plan,
    /// How many secrets that are.
    pub moved: usize,
    /// How many secrets are where they should be already.
    pub right: usize,
    /// Endpoints left as they are, and why.
    pub problems: Vec<(ResourceKey, String)>,
    /// Whether there were more endpoints to move than were asked for.
    pub more: bool,
}

/// Returns a sealed secret's new text, `None` if it is right as it is, or why
/// it cannot be moved.
pub type MoveOne<'a> = dyn FnMut(&SecretPlace<'_>, &str) -> Result<Option<String>, String> + 'a;

/// Plans to pass every sealed secret through `move_one`; at most `most` endpoints change. What the endpoints are does not change, and so no generation does.
///
/// A catalog with documents is required.
pub fn rekey(
    catalog: &Catalog,
    given: &mut Given<'_>,
    most: usize,
    move_one: &mut MoveOne<'_>,
) -> Rekeyed {
    let (mut moved, mut right, mut more) = (0, 0, false);
    let (mut changes, mut problems) = (Vec::new(), Vec::new());
    for (key, before) in catalog.documents() {
        if before.deleted {
            continue;
        }
        let place = SecretPlace {
            key,
            endpoint: EndpointUid(before.manifest.meta().uid),
        };
        let mut spec = before.spec.clone();
        let mut moved_here = 0;
        for (pointer, secret) in before.secrets() {
            let SecretRef::Sealed(sealed) = secret else {
                continue;
            };
            match move_one(&place, sealed) {
                Ok(None) => right += 1,
                Ok(Some(text)) => {
                    if let Some(fields) = spec.pointer_mut(&pointer) {
                        fields["sealed"] = json!(text);
                        moved_here += 1;
                    }
                }
                Err(reason) => {
                    let path = spec_path(&pointer);
                    problems.push((key.clone(), format!("{path}: {reason}")));
                }
            }
        }
        if moved_here == 0 {
            continue;
        }
        if changes.len() == most {
            more = true;
            continue;
        }
        moved += moved_here;
        let mut document = (**before).clone();
        // Only the text of secrets differs, which is read as any other. A
        // field of a newer release would be refused, and is passed on.
        if document.replace_endpoint_spec(spec.clone()).is_err() {
            document.spec = spec;
        }
        changes.push(PlannedChange {
            key: key.clone(),
            action: Action::Update,
            before: Some(before.clone()),
            document,
        });
    }
    Rekeyed {
        plan: finish(catalog, changes, given),
        moved,
        right,
        problems,
        more,
    }
}
