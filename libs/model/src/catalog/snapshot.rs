//! What the owner of an endpoint saw of it at one moment: for people only.
//!
//! A record of its own in the status topic, `<uid>/snapshot`, so that however
//! late or wrong one is, it takes nothing away. Written while there is
//! something to say, at most every few seconds, and deleted when there is not.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::status::rfc3339;
use crate::id::EndpointUid;
use crate::time::UnixMillis;

/// An endpoint with something that people ask about: work that waits, or what
/// keeps it from starting.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// Generation of the spec that counted.
    pub observed_generation: u64,
    /// When this was so.
    #[serde(with = "rfc3339")]
    pub as_of: Option<UnixMillis>,
    /// Since when the writer has owned the endpoint's lane; what waits in
    /// Kafka is counted from then on.
    #[serde(default, with = "rfc3339", skip_serializing_if = "Option::is_none")]
    pub claimed_at: Option<UnixMillis>,
    /// The endpoint's lane.
    pub lane: u16,
    /// Deliveries that wait in memory.
    pub in_memory: u64,
    /// Requests open.
    pub in_flight: u64,
    /// Deliveries that wait in a delay topic without having spent an attempt.
    pub parked: u64,
    /// Deliveries that wait in a delay topic for their next attempt.
    pub retrying: u64,
    /// Bytes of all that waits or is on its way.
    pub bytes: u64,
    /// When the event of the oldest that waits was first seen.
    #[serde(default, with = "rfc3339", skip_serializing_if = "Option::is_none")]
    pub oldest: Option<UnixMillis>,
    /// How long all that waits takes at the endpoint's limits; absent while
    /// its speed is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain_seconds: Option<u64>,
    /// When the first of what waits passes maxAge before its turn; absent when
    /// everything makes it.
    #[serde(default, with = "rfc3339", skip_serializing_if = "Option::is_none")]
    pub will_expire_at: Option<UnixMillis>,
    /// Until when nothing is sent to it: the receiver asked for that, we can't,
    /// or there is no access token; `last_failure` says which.
    #[serde(default, with = "rfc3339", skip_serializing_if = "Option::is_none")]
    pub held_until: Option<UnixMillis>,
    /// `closed` (requests flow), `open` or `half_open`.
    pub breaker: String,
    /// When an open breaker lets the next probe go.
    #[serde(default, with = "rfc3339", skip_serializing_if = "Option::is_none")]
    pub next_probe: Option<UnixMillis>,
    /// Since when it has done nothing but fail.
    #[serde(default, with = "rfc3339", skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<UnixMillis>,
    /// The last attempt, if it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<LastFailure>,
}

/// An attempt that failed, in the words of the attempts log: what its
/// endpoint's owner may read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastFailure {
    /// When it started.
    #[serde(with = "rfc3339")]
    pub at: Option<UnixMillis>,
    /// What the receiver answered, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why there is no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Whose side that is on: `receiver`, `network` or `us`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side: Option<String>,
}

impl Snapshot {
    /// Key of the record.
    #[must_use]
    pub fn key(endpoint: EndpointUid) -> String {
        format!("{endpoint}/snapshot")
    }

    /// All that waits, in memory and in Kafka.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.in_memory + self.parked + self.retrying
    }

    /// Reads a record value; unknown fields are passed over.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_json(value: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(value).map_err(|e| format!("not an endpoint's snapshot: {e}"))
    }

    /// The record value.
    #[must_use]
    pub fn to_json(&self) -> Value {
        serde_json::to_value(self).expect("strings and numbers always serialise")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = include_str!("../../../../docs/schemas/snapshot.schema.json");

    fn full() -> Snapshot {
        let at = Some(UnixMillis(1_700_000_000_000));
        Snapshot {
            observed_generation: 3,
            as_of: at,
            claimed_at: at,
            lane: 7,
            in_memory: 1,
            in_flight: 2,
            parked: 3,
            retrying: 4,
            bytes: 5,
            oldest: at,
            drain_seconds: Some(6),
            will_expire_at: at,
            held_until: at,
            breaker: "open".to_owned(),
            next_probe: at,
            failing_since: at,
            last_failure: Some(LastFailure {
                at,
                status: Some(503),
                failure: Some("closed".to_owned()),
                side: Some("receiver".to_owned()),
            }),
        }
    }

    fn names(value: &Value) -> Vec<&str> {
        let fields = value.as_object().unwrap();
        let mut names: Vec<&str> = fields.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// Goal: the published schema says what is written, no more and no less.
    /// Method: its properties are those of a full snapshot, and what it
    /// requires is what the emptiest one has.
    #[test]
    fn the_schema_lists_what_is_written() {
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        assert_eq!(names(&full().to_json()), names(&schema["properties"]));
        let failure = &schema["properties"]["lastFailure"]["properties"];
        assert_eq!(names(&full().to_json()["lastFailure"]), names(failure));
        let least = Snapshot {
            as_of: full().as_of,
            ..Snapshot::default()
        };
        let required = schema["required"].as_array().unwrap();
        let mut required: Vec<&str> = required.iter().filter_map(Value::as_str).collect();
        required.sort_unstable();
        assert_eq!(names(&least.to_json()), required);
    }

    #[test]
    fn it_is_read_as_it_was_written_and_a_newer_one_as_far_as_is_known() {
        let mut value = full().to_json();
        value["later"] = Value::from(1);
        let read = Snapshot::from_json(value.to_string().as_bytes());
        assert_eq!(read.as_ref(), Ok(&full()));
        assert_eq!(full().waiting(), 8);
        assert!(Snapshot::from_json(b"[]").is_err());
    }
}
