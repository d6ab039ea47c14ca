//! Another signing secret beside the old ones, for as long as receivers need.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Given, Plan, PlanError, ProblemKind, Problems, Sealing, SecretPlace, apply_sealing};
use crate::catalog::Catalog;
use crate::id::EndpointUid;
use crate::resource::{Document, Manifest, ResourceKey, SigningScheme, SigningSecret};
use crate::secret::{Secret, SecretRef};
use crate::time::UnixMillis;

/// Old secrets that still sign beside the new one. More would make signature
/// headers that receivers refuse.
const OLD_MAX: usize = 9;

/// What a rotation asks for.
#[derive(Debug)]
pub struct Rotation {
    /// The new secret; `None` makes one.
    pub value: Option<Secret>,
    /// How long until it signs: time for receivers to learn it.
    pub after: Duration,
    /// How long the old ones go on signing from then on.
    pub overlap: Duration,
}

/// Plans to sign with a new secret from now on, or a while later, and with those
/// there are until the overlap ends. One that ends sooner already still does; one that has
/// ended goes.
///
/// # Errors
/// When there is no such endpoint, it does not sign, or has the value already.
pub fn rotate(
    catalog: &Catalog,
    key: &ResourceKey,
    rotation: &Rotation,
    given: &mut Given<'_>,
    sealing: &mut dyn Sealing,
) -> Result<Plan, PlanError> {
    let (kind, reason) = match rotated(catalog, key, rotation, (given.now, &mut *sealing)) {
        Ok(document) => return apply_sealing(catalog, vec![document], given, sealing),
        Err(refusal) => refusal,
    };
    let mut problems = Problems::default();
    problems.add(kind, key, reason);
    problems.or(Plan::default())
}

/// The endpoint with its secrets after the rotation, the new one in clear.
fn rotated(
    catalog: &Catalog,
    key: &ResourceKey,
    rotation: &Rotation,
    (now, sealing): (UnixMillis, &mut dyn Sealing),
) -> Result<Document, (ProblemKind, String)> {
    let invalid = |reason: String| (ProblemKind::Invalid, reason);
    let live = catalog.document(key).filter(|d| !d.deleted);
    let Some((document, Manifest::Endpoint(endpoint))) = live.map(|d| (d, &d.manifest)) else {
        return Err((ProblemKind::NotFound, "does not exist".to_owned()));
    };
    let signing = &endpoint.spec.signing;
    if signing.scheme == SigningScheme::None {
        let reason = "spec.signing.scheme: does not sign, so there is no secret to rotate";
        return Err(invalid(reason.to_owned()));
    }
    let place = SecretPlace {
        key,
        endpoint: EndpointUid(endpoint.meta.uid),
    };
    let value = match &rotation.value {
        Some(value) => value.clone(),
        None => sealing.make(&place).map_err(invalid)?,
    };
    let has = |one: &SigningSecret| matches!(&one.secret, SecretRef::Sealed(text) if sealing.holds(&place, text, &value));
    if signing.secrets.iter().any(has) {
        let reason = "has this secret already; a rotation is to another one";
        return Err(invalid(reason.to_owned()));
    }
    let text = value
        .expose_text()
        .ok_or_else(|| invalid("the secret is not text".to_owned()))?;
    let mut new = json!({"createdAt": now.to_rfc3339(), "value": text});
    let start = now.after(rotation.after);
    if start > now {
        new["notBefore"] = json!(start.to_rfc3339());
    }
    let end = start.after(rotation.overlap);
    let old = old_secrets(&signing.secrets, &document.spec, (now, end));
    let mut changed = (**document).clone();
    let mut spec = document.spec.clone();
    spec["signing"]["secrets"] = std::iter::once(new).chain(old).collect();
    changed.replace_endpoint_spec(spec).map_err(|found| {
        let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
        invalid(lines.join("; "))
    })?;
    Ok(changed)
}

/// The secrets that go on signing, and until when.
fn old_secrets(
    secrets: &[SigningSecret],
    spec: &Value,
    (now, end): (UnixMillis, UnixMillis),
) -> Vec<Value> {
    let as_written = |at| spec["signing"]["secrets"][at].clone();
    let kept = secrets.iter().enumerate().filter_map(|(at, secret)| {
        let ends = secret.expires_at.map_or(end, |already| already.min(end));
        let mut written = as_written(at);
        written["expiresAt"] = json!(ends.to_rfc3339());
        let signs = ends > now && secret.not_before.is_none_or(|start| start < ends);
        signs.then_some(written)
    });
    kept.take(OLD_MAX).collect()
}
