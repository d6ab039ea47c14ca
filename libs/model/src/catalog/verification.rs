//! Whether an endpoint's receiver has agreed to be called.
//!
//! Two records of the status topic, under two keys. The consent stands under
//! `<uid>/verification`: deliveries flow by it, and only a consent, or a person
//! who wants it renewed, writes there. Why there is none yet stands under
//! `<uid>/unverified`: however late such a record is, whoever wrote it, it
//! takes no consent away.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::status::rfc3339;
use crate::id::EndpointUid;
use crate::resource::{Endpoint, Fingerprint};
use crate::time::UnixMillis;

/// A receiver's consent. It counts for as long as the endpoint would ask the
/// same question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Consent {
    /// What it was asked.
    #[serde(with = "as_text")]
    pub fingerprint: Fingerprint,
    /// `handshake`, `challenge` or `ping`.
    pub method: String,
    /// In whose name, where that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// When it agreed.
    #[serde(default, with = "rfc3339", skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<UnixMillis>,
    /// How many requests a minute it takes; absent is any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_per_minute: Option<NonZeroU32>,
}

/// Why a receiver has not agreed yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unverified {
    /// What it was asked.
    #[serde(with = "as_text")]
    pub fingerprint: Fingerprint,
    /// `handshake`, `challenge` or `ping`.
    pub method: String,
    /// In whose name, where that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// Stable word for why it failed last.
    pub reason: String,
    /// The status it answered with, where the answer was the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How often it was asked in vain.
    pub tries: u32,
    /// When it was first asked in vain.
    #[serde(default, with = "rfc3339", skip_serializing_if = "Option::is_none")]
    pub since: Option<UnixMillis>,
    /// When it was asked last.
    #[serde(default, with = "rfc3339", skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<UnixMillis>,
    /// Not before when it is asked again.
    #[serde(default, with = "rfc3339", skip_serializing_if = "Option::is_none")]
    pub next_try: Option<UnixMillis>,
}

impl Consent {
    /// Whether it is to what the endpoint asks now, as far as that can be told
    /// by who does not know in whose name it is asked.
    #[must_use]
    pub fn is_for(&self, endpoint: &Endpoint) -> bool {
        asks(endpoint, self.fingerprint, self.origin.as_deref())
    }

    /// Key of the record.
    #[must_use]
    pub fn key(endpoint: EndpointUid) -> String {
        format!("{endpoint}/verification")
    }

    /// Reads a record value; unknown fields are passed over.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_json(value: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(value).map_err(|e| format!("not a receiver's consent: {e}"))
    }

    /// The record value.
    #[must_use]
    pub fn to_json(&self) -> Value {
        serde_json::to_value(self).expect("strings and numbers always serialise")
    }
}

impl Unverified {
    /// Whether it is about what the endpoint asks now; see [`Consent::is_for`].
    #[must_use]
    pub fn is_about(&self, endpoint: &Endpoint) -> bool {
        asks(endpoint, self.fingerprint, self.origin.as_deref())
    }

    /// Key of the record.
    #[must_use]
    pub fn key(endpoint: EndpointUid) -> String {
        format!("{endpoint}/unverified")
    }

    /// Reads a record value; unknown fields are passed over.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_json(value: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(value).map_err(|e| format!("not a failed verification: {e}"))
    }

    /// The record value.
    #[must_use]
    pub fn to_json(&self) -> Value {
        serde_json::to_value(self).expect("strings and numbers always serialise")
    }
}

fn asks(endpoint: &Endpoint, asked: Fingerprint, origin: Option<&str>) -> bool {
    Fingerprint::of(endpoint, origin.unwrap_or_default()) == Some(asked)
}

mod as_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::resource::Fingerprint;

    pub(super) fn serialize<S: Serializer>(
        value: &Fingerprint,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Fingerprint, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SCHEMA: &str = include_str!("../../../../docs/schemas/verification.schema.json");

    fn full() -> (Consent, Unverified) {
        let fingerprint = "000102030405060708090a0b0c0d0e0f".parse().unwrap();
        let at = Some(UnixMillis(1_700_000_000_000));
        let consent = Consent {
            fingerprint,
            method: "handshake".to_owned(),
            origin: Some("hooks.example".to_owned()),
            verified_at: at,
            allowed_per_minute: NonZeroU32::new(120),
        };
        let unverified = Unverified {
            fingerprint,
            method: "handshake".to_owned(),
            origin: Some("hooks.example".to_owned()),
            reason: "no_consent".to_owned(),
            status: Some(200),
            tries: 3,
            since: at,
            failed_at: at,
            next_try: at,
        };
        (consent, unverified)
    }

    fn names(value: &Value) -> Vec<&str> {
        let mut names: Vec<&str> = value.as_object().unwrap().keys().map(|k| &**k).collect();
        names.sort_unstable();
        names
    }

    /// Goal: the published schema says what is written, no more and no less.
    /// Method: the properties of its two forms are those of full records.
    #[test]
    fn the_schema_lists_what_is_written() {
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        let (consent, unverified) = full();
        let properties = |form: &str| schema["$defs"][form]["properties"].clone();
        assert_eq!(names(&consent.to_json()), names(&properties("consent")));
        assert_eq!(
            names(&unverified.to_json()),
            names(&properties("unverified"))
        );
    }

    #[test]
    fn they_are_read_as_they_were_written_and_newer_ones_as_far_as_is_known() {
        let (consent, unverified) = full();
        let mut value = consent.to_json();
        value["later"] = json!(1);
        assert_eq!(
            Consent::from_json(value.to_string().as_bytes()),
            Ok(consent.clone())
        );
        let value = unverified.to_json();
        assert_eq!(
            Unverified::from_json(value.to_string().as_bytes()),
            Ok(unverified)
        );
        let mut value = consent.to_json();
        value["fingerprint"] = json!("xyz");
        assert!(Consent::from_json(value.to_string().as_bytes()).is_err());
        value = consent.to_json();
        value["allowedPerMinute"] = json!(0);
        assert!(Consent::from_json(value.to_string().as_bytes()).is_err());
    }
}
