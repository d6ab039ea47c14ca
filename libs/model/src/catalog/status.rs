//! What the pipeline found out about an endpoint.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A record of the status topic, keyed by endpoint uid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointStatus {
    /// Generation of the spec that the finding is about.
    pub observed_generation: u64,
    /// Set when the receiver asked not to be called any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<Disabled>,
}

/// Why and when an endpoint was disabled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disabled {
    /// Stable word: `gone` (410) or `directive` (`webhook-delivery: disable`).
    pub reason: String,
    /// RFC 3339.
    pub at: String,
}

impl EndpointStatus {
    /// Reads a record value; unknown fields are passed over.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_json(value: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(value).map_err(|e| format!("not an endpoint status: {e}"))
    }

    /// The record value.
    #[must_use]
    pub fn to_json(&self) -> Value {
        serde_json::to_value(self).expect("strings and numbers always serialise")
    }

    /// Why the endpoint is disabled under a spec of `generation`. A finding
    /// about an older spec is void: whoever changed the URL meant it.
    #[must_use]
    pub fn disabled_for(&self, generation: u64) -> Option<&Disabled> {
        self.disabled
            .as_ref()
            .filter(|_| self.observed_generation == generation)
    }
}
