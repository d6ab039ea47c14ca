//! What the pipeline found out about an endpoint.
//!
//! Two records in the status topic, under two keys, because they are written
//! for different reasons: the verdict (`disabled`) under the endpoint's uid,
//! once, and its health under `<uid>/health`, again and again. Whoever writes
//! health, a process that lost its lanes long ago included, cannot take a
//! verdict away. A third, [`super::Snapshot`], is for people only, and two more
//! say whether its receiver has agreed to be called: [`super::Consent`] and
//! [`super::Unverified`].

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::EndpointUid;
use crate::time::UnixMillis;

/// What the status topic says about an endpoint: its records together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointStatus {
    /// Generation of the spec that the verdict is about; 0 without one.
    #[serde(skip_serializing_if = "no_generation")]
    pub observed_generation: u64,
    /// Set when the endpoint is not to be called any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<Disabled>,
    /// How it has fared lately; a record of its own.
    #[serde(default, skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
}

/// Why and when an endpoint was disabled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Disabled {
    /// Stable word: `gone` (410), `directive` (`webhook-delivery: disable`) or
    /// `failing` (nothing but failure for `disableAfter`).
    pub reason: String,
    /// RFC 3339.
    pub at: String,
}

/// What the next owner of an endpoint must know. Written on a change of state
/// and when a lane is handed over, never per attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// Generation of the spec that this is about.
    pub observed_generation: u64,
    /// When the first of the failures came that no success has followed.
    #[serde(default, with = "rfc3339", skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<UnixMillis>,
    /// In how many different twelfths of `disableAfter` since then it failed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failed_in: u16,
    /// For an endpoint slower than a request per five seconds: when its limit
    /// allows the next one. Set by an owner that lets go, taken by the next.
    #[serde(default, with = "rfc3339", skip_serializing_if = "Option::is_none")]
    pub next_free: Option<UnixMillis>,
}

/// Which record of the status topic a key names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StatusKey<'a> {
    Verdict(EndpointUid),
    Health(EndpointUid),
    Snapshot(EndpointUid),
    Consent(EndpointUid),
    Unverified(EndpointUid),
    /// Of a newer release.
    Other(EndpointUid, &'a str),
}

impl<'a> StatusKey<'a> {
    pub(super) fn parse(key: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(key).ok()?;
        let (uid, part) = text
            .split_once('/')
            .map_or((text, None), |(uid, part)| (uid, Some(part)));
        let uid = uid.parse().ok()?;
        Some(match part {
            None => Self::Verdict(uid),
            Some("health") => Self::Health(uid),
            Some("snapshot") => Self::Snapshot(uid),
            Some("verification") => Self::Consent(uid),
            Some("unverified") => Self::Unverified(uid),
            Some(other) => Self::Other(uid, other),
        })
    }
}

impl EndpointStatus {
    /// Reads the value of a verdict; unknown fields are passed over.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_json(value: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(value).map_err(|e| format!("not an endpoint status: {e}"))
    }

    /// The verdict's record value, with the health beside it if there is one.
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

    /// How the endpoint has fared under a spec of `generation`.
    #[must_use]
    pub fn health_for(&self, generation: u64) -> Option<&Health> {
        self.health
            .as_ref()
            .filter(|health| health.observed_generation == generation)
    }
}

impl Health {
    /// Key of the record.
    #[must_use]
    pub fn key(endpoint: EndpointUid) -> String {
        format!("{endpoint}/health")
    }

    /// Reads a record value; unknown fields are passed over.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_json(value: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(value).map_err(|e| format!("not an endpoint's health: {e}"))
    }

    /// The record value.
    #[must_use]
    pub fn to_json(&self) -> Value {
        serde_json::to_value(self).expect("strings and numbers always serialise")
    }
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
fn is_zero(count: &u16) -> bool {
    *count == 0
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
fn no_generation(generation: &u64) -> bool {
    *generation == 0
}

/// Times as RFC 3339, like everywhere in records that people read.
pub(super) mod rfc3339 {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::time::UnixMillis;

    #[allow(clippy::ref_option, reason = "serde asks for a reference")]
    pub(crate) fn serialize<S: Serializer>(
        at: &Option<UnixMillis>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match at {
            Some(at) => serializer.serialize_str(&at.to_rfc3339()),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<UnixMillis>, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else {
            return Ok(None);
        };
        UnixMillis::from_rfc3339(&text)
            .map(Some)
            .ok_or_else(|| D::Error::custom(format!("`{text}` is not a time (RFC 3339)")))
    }
}
