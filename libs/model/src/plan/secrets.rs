//! Secrets on their way into the configuration: sealed, kept or made.
//!
//! What a person gives in clear is sealed before anything is written; what is
//! stored already is recognised and kept as it is, so that applying the same
//! file again changes nothing although no two sealings are the same text.

use serde_json::{Value, json};
use url::Origin;

use crate::id::EndpointUid;
use crate::resource::{Auth, Document, Manifest, ResourceKey, SigningScheme, spec_path};
use crate::secret::{Secret, SecretRef, sealed_version};
use crate::time::UnixMillis;

/// Where a secret belongs.
#[derive(Clone, Copy, Debug)]
pub struct SecretPlace<'a> {
    /// The endpoint's name, for people.
    pub key: &'a ResourceKey,
    /// The endpoint.
    pub endpoint: EndpointUid,
}

/// What planning needs for secrets: the keys, which it never sees.
pub trait Sealing {
    /// Whether `sealed` holds `clear`; one that cannot be opened does not.
    fn holds(&self, place: &SecretPlace<'_>, sealed: &str, clear: &Secret) -> bool;

    /// Seals a value given in clear.
    ///
    /// # Errors
    /// Why it cannot, and what to do.
    fn seal(&mut self, place: &SecretPlace<'_>, clear: &Secret) -> Result<String, String>;

    /// Makes a signing secret for an endpoint that was given none.
    ///
    /// # Errors
    /// Why it cannot, and what to do.
    fn make(&mut self, place: &SecretPlace<'_>) -> Result<Secret, String>;
}

/// Plans without keys: stored secrets are kept, new ones refused.
pub(super) struct WithoutKeys;

/// What to do about a secret and no key.
const NO_KEYS: &str = "secrets are stored encrypted, and there is no key file here: set \
                       HOOKLANE__SECRETS__KEK_FILE (`hooklane secrets keygen` makes one), or give \
                       the secret as `valueFrom`";

impl Sealing for WithoutKeys {
    fn holds(&self, _place: &SecretPlace<'_>, _sealed: &str, _clear: &Secret) -> bool {
        false
    }

    fn seal(&mut self, _place: &SecretPlace<'_>, _clear: &Secret) -> Result<String, String> {
        Err(NO_KEYS.to_owned())
    }

    fn make(&mut self, _place: &SecretPlace<'_>) -> Result<Secret, String> {
        Err(NO_KEYS.to_owned())
    }
}

/// A secret of the stored endpoint.
struct Kept {
    /// Where it stands.
    pointer: String,
    sealed: String,
    /// Of signing secrets.
    created_at: Option<Value>,
}

/// Leaves no secret in clear in `document`, which becomes endpoint `uid`;
/// `before` is what is stored now. Returns every problem as (path, reason).
pub(super) fn settle(
    document: &mut Document,
    uid: u128,
    before: Option<&Document>,
    (sealing, now): (&mut dyn Sealing, UnixMillis),
) -> Vec<(String, String)> {
    let Manifest::Endpoint(endpoint) = &document.manifest else {
        return Vec::new();
    };
    let signing = &endpoint.spec.signing;
    let by_default = document.spec.get("signing").is_none();
    let none_given =
        by_default || signing.scheme == SigningScheme::Standard && signing.secrets.is_empty();
    let key = document.manifest.key();
    let place = SecretPlace {
        key: &key,
        endpoint: EndpointUid(uid),
    };
    let mut spec = document.spec.clone();
    let mut problems = Vec::new();
    if none_given {
        match signing_secrets(before, &place, (&mut *sealing, now)) {
            Ok(secrets) => {
                // Requests are signed unless the manifest says otherwise.
                if by_default {
                    spec["signing"] = json!({"scheme": "standard"});
                }
                spec["signing"]["secrets"] = secrets;
            }
            Err(reason) if by_default => {
                let reason =
                    format!("requests are signed unless it is `{{scheme: none}}`, and {reason}");
                problems.push(("spec.signing".to_owned(), reason));
            }
            Err(reason) => problems.push(("spec.signing.secrets".to_owned(), reason)),
        }
    }
    let kept = before.map(kept).unwrap_or_default();
    let before = before.map(servers);
    let now_at = servers(document);
    for (pointer, secret) in document.secrets() {
        // The token server sees what stands in `auth`, and nothing else.
        let by = if pointer.starts_with("/auth/") { 2 } else { 1 };
        let here = |all: &[Origin]| all.iter().take(by).cloned().collect::<Vec<_>>();
        let moved = (before.as_deref()).is_some_and(|before| here(before) != here(&now_at));
        let settled = match secret {
            SecretRef::Inline(clear) => settle_clear(clear, &kept, &place, sealing).map(Some),
            SecretRef::Sealed(text) => find_kept(text, &kept, (&pointer, moved)).map(Some),
            SecretRef::Env(_) | SecretRef::File(_) => Ok(None),
        };
        match settled {
            Ok(settled) => put(&mut spec, &pointer, settled, now),
            Err(reason) => problems.push((spec_path(&pointer), reason)),
        }
    }
    if problems.is_empty() && spec != document.spec {
        let refused = document.replace_endpoint_spec(spec).err();
        problems.extend(refused.into_iter().flatten().map(|p| (p.path, p.reason)));
    }
    problems
}

/// The signing secrets of an endpoint that was given none: those it has, else
/// one that is made.
fn signing_secrets(
    before: Option<&Document>,
    place: &SecretPlace<'_>,
    (sealing, now): (&mut dyn Sealing, UnixMillis),
) -> Result<Value, String> {
    if let Some(before) = before
        && let Manifest::Endpoint(endpoint) = &before.manifest
        && endpoint.spec.signing.scheme == SigningScheme::Standard
        && !endpoint.spec.signing.secrets.is_empty()
    {
        return Ok(before.spec["signing"]["secrets"].clone());
    }
    let made = sealing.make(place)?;
    let sealed = sealing.seal(place, &made)?;
    Ok(json!([{"createdAt": now.to_rfc3339(), "sealed": sealed}]))
}

fn kept(before: &Document) -> Vec<Kept> {
    let kept_at = |(pointer, secret): (String, &SecretRef)| {
        let SecretRef::Sealed(sealed) = secret else {
            return None;
        };
        let created_at = before.spec.pointer(&pointer)?.get("createdAt").cloned();
        Some(Kept {
            pointer,
            sealed: sealed.clone(),
            created_at,
        })
    };
    before.secrets().into_iter().filter_map(kept_at).collect()
}

fn settle_clear(
    clear: &Secret,
    kept: &[Kept],
    place: &SecretPlace<'_>,
    sealing: &mut dyn Sealing,
) -> Result<Kept, String> {
    let known = kept
        .iter()
        .find(|kept| sealing.holds(place, &kept.sealed, clear));
    if let Some(known) = known {
        return Ok(known.copy());
    }
    Ok(Kept {
        pointer: String::new(),
        sealed: sealing.seal(place, clear)?,
        created_at: None,
    })
}

/// Who gets to see what lets an endpoint's requests in: the receiver, and
/// after it the token server, whose tokens are as good as the secret there.
fn servers(document: &Document) -> Vec<Origin> {
    let Manifest::Endpoint(endpoint) = &document.manifest else {
        return Vec::new();
    };
    let token_url = match endpoint.spec.auth.as_deref() {
        Some(Auth::OAuth2(oauth2)) => Some(&oauth2.token_url),
        _ => None,
    };
    let urls = [&endpoint.spec.url].into_iter().chain(token_url);
    urls.map(url::Url::origin).collect()
}

/// The stored secret that a handle, or a whole sealed text, names. Who knows
/// a handle does not know the secret, and must not come to know it: none is
/// sent that was for signing, and none to another server.
fn find_kept(text: &str, kept: &[Kept], (pointer, moved): (&str, bool)) -> Result<Kept, String> {
    let version = sealed_version(text);
    let known = kept
        .iter()
        .find(|kept| version.is_some() && sealed_version(&kept.sealed) == version);
    let Some(known) = known else {
        let reason =
            "names no secret that is stored for this endpoint; give it as `value` or `valueFrom`";
        return Err(reason.to_owned());
    };
    if !is_sent(pointer) && !is_sent(&known.pointer) {
        return Ok(known.copy());
    }
    if known.pointer != pointer {
        return Err("names a secret that was given for something else; give it again".to_owned());
    }
    if moved {
        let reason = "would be sent to another server than it was given for; give it again";
        return Err(reason.to_owned());
    }
    Ok(known.copy())
}

/// Whether the receiver gets to see the secret that stands there.
fn is_sent(pointer: &str) -> bool {
    !pointer.starts_with("/signing/")
}

impl Kept {
    fn copy(&self) -> Self {
        Self {
            pointer: self.pointer.clone(),
            sealed: self.sealed.clone(),
            created_at: self.created_at.clone(),
        }
    }
}

/// Writes a settled secret to its place. Signing secrets say when they were
/// made.
fn put(spec: &mut Value, pointer: &str, settled: Option<Kept>, now: UnixMillis) {
    let signs = pointer.starts_with("/signing/");
    let fields = spec.pointer_mut(pointer).and_then(Value::as_object_mut);
    let (Some(fields), Some(settled)) = (fields, settled) else {
        return;
    };
    fields.remove("value");
    fields.insert("sealed".to_owned(), json!(settled.sealed));
    if signs && !fields.contains_key("createdAt") {
        let created_at = settled
            .created_at
            .unwrap_or_else(|| json!(now.to_rfc3339()));
        fields.insert("createdAt".to_owned(), created_at);
    }
}

#[cfg(test)]
mod tests;
