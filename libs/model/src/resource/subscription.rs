//! A subscription: what goes to which endpoint.

use serde_json::Value;

use super::Metadata;
use crate::fields::{Fields, Findings};
use crate::filter::{EventTypePattern, Filter};
use crate::id::{EndpointUid, SourceUid, SubscriptionUid};

/// Which events of a source go to which endpoint of the same tenant.
#[derive(Clone, Debug, PartialEq)]
pub struct Subscription {
    /// Name, tenant, uid, generation.
    pub meta: Metadata,
    /// What a person declared.
    pub spec: SubscriptionSpec,
    /// What the names in the spec meant when it was written; `None` in a
    /// manifest that was not stored yet. Bound at write, so that no reader
    /// has to resolve names and a re-used name inherits nothing.
    pub bound: Option<Binding>,
}

/// The resources that a subscription's names stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The source.
    pub source: SourceUid,
    /// The endpoint.
    pub endpoint: EndpointUid,
}

impl Subscription {
    /// The uid as its type.
    #[must_use]
    pub fn uid(&self) -> SubscriptionUid {
        SubscriptionUid(self.meta.uid)
    }
}

/// The spec of a subscription.
#[derive(Clone, Debug, PartialEq)]
pub struct SubscriptionSpec {
    /// Name of the source.
    pub source: String,
    /// Event types, exact or as patterns; never empty.
    pub event_types: Vec<EventTypePattern>,
    /// Condition on the event; `None` takes all.
    pub filter: Option<Filter>,
    /// Name of the endpoint, of the subscription's tenant.
    pub endpoint: String,
}

impl SubscriptionSpec {
    pub(super) fn read(mut fields: Fields, findings: &mut Findings) -> Self {
        let source = fields.required_text("source", findings);
        let endpoint = fields.required_text("endpoint", findings);
        let event_types = read_event_types(&mut fields, findings);
        let filter_path = fields.path_of("filter");
        let filter = fields
            .take("filter")
            .and_then(|value| read_filter(&value, &filter_path, findings));
        fields.finish(findings);
        Self {
            source,
            event_types,
            filter,
            endpoint,
        }
    }
}

fn read_event_types(fields: &mut Fields, findings: &mut Findings) -> Vec<EventTypePattern> {
    let path = fields.path_of("eventTypes");
    let texts = fields
        .texts("eventTypes", findings)
        .unwrap_or_else(|| vec!["*".to_owned()]);
    if texts.is_empty() {
        findings.problem(
            &*path,
            "must not be empty; leave it out or write [\"*\"] for all types",
        );
    }
    let mut patterns = Vec::with_capacity(texts.len());
    for (i, text) in texts.iter().enumerate() {
        match EventTypePattern::parse(text) {
            Ok(pattern) => patterns.push(pattern),
            Err(error) => findings.problem(format!("{path}[{i}]"), error.to_string()),
        }
    }
    patterns
}

fn read_filter(value: &Value, path: &str, findings: &mut Findings) -> Option<Filter> {
    match Filter::parse(value) {
        Ok(filter) => Some(filter),
        Err(errors) => {
            for error in errors {
                findings.problem(format!("{path}{}", error.path), error.reason);
            }
            None
        }
    }
}
