//! The secrets in a document: hidden, replaced, taken out.

use serde_json::{Value, json};

use super::{Document, Manifest};
use crate::fields::{Fields, Findings, Problem};
use crate::resource::EndpointSpec;
use crate::secret::{SecretRef, sealed_handle};

/// Stands where a value must not be shown that has no handle.
const HIDDEN: &str = "***";

impl Document {
    /// Where secrets stand in the spec, by JSON pointer.
    #[must_use]
    pub fn secrets(&self) -> Vec<(String, &SecretRef)> {
        match &self.manifest {
            Manifest::Endpoint(endpoint) => endpoint.spec.secrets(),
            Manifest::Source(_) | Manifest::Subscription(_) => Vec::new(),
        }
    }

    /// The spec with handles in place of sealed secrets.
    #[must_use]
    pub fn shown_spec(&self) -> Value {
        let mut spec = self.spec.clone();
        for (pointer, secret) in self.secrets() {
            let Some(place) = spec.pointer_mut(&pointer) else {
                continue;
            };
            match secret {
                SecretRef::Sealed(sealed) => {
                    place["sealed"] = json!(sealed_handle(sealed).unwrap_or(HIDDEN));
                }
                SecretRef::Inline(_) => place["value"] = json!(HIDDEN),
                SecretRef::Env(_) | SecretRef::File(_) => {}
            }
        }
        spec
    }

    /// Puts another spec in place of an endpoint's; other kinds stay as they
    /// are.
    ///
    /// # Errors
    /// All problems of the spec, unknown fields among them; nothing changed then.
    pub fn replace_endpoint_spec(&mut self, spec: Value) -> Result<(), Vec<Problem>> {
        let Manifest::Endpoint(endpoint) = &mut self.manifest else {
            return Ok(());
        };
        let mut findings = Findings::default();
        let fields = Fields::of(spec.clone(), "spec", &mut findings);
        let read = EndpointSpec::read(fields, &mut findings);
        findings.problems.append(&mut findings.unknown);
        match read {
            Some(read) if findings.problems.is_empty() => {
                endpoint.spec = read;
                self.spec = spec;
                Ok(())
            }
            _ => Err(findings.problems),
        }
    }

    /// Takes everything out of the spec that holds a secret, as a whole: what
    /// is deleted signs nothing any more, and its record outlives it.
    pub fn drop_secrets(&mut self) {
        let mut spec = self.spec.clone();
        for (pointer, _) in self.secrets() {
            let field = pointer.trim_start_matches('/').split('/').next();
            if let (Some(fields), Some(field)) = (spec.as_object_mut(), field) {
                fields.remove(field);
            }
        }
        // What was stored by a newer release may have fields that this one
        // would refuse; then the old manifest goes with the new spec.
        if self.replace_endpoint_spec(spec.clone()).is_err() {
            self.spec = spec;
        }
    }
}

/// What is stored holds no secret in clear; a record that does was written by
/// other means, and is not made use of.
pub(super) fn refuse_clear(document: Option<&Document>, findings: &mut Findings) {
    for (pointer, secret) in document.map(Document::secrets).unwrap_or_default() {
        if secret.inline().is_some() {
            findings.problem(
                format!("{}.value", spec_path(&pointer)),
                "is a secret in clear where only sealed ones are stored; apply the endpoint again",
            );
        }
    }
}

/// A JSON pointer into the spec as people read paths: `spec.signing.secrets[0]`.
#[must_use]
pub fn spec_path(pointer: &str) -> String {
    let mut path = "spec".to_owned();
    for part in pointer.split('/').skip(1) {
        if part.bytes().all(|b| b.is_ascii_digit()) {
            path.push_str(&format!("[{part}]"));
        } else {
            path.push('.');
            path.push_str(part);
        }
    }
    path
}
