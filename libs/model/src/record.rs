//! The JSON records that other systems read: attempts, and the notes on dead
//! and poison records. docs/schemas/ holds a JSON Schema of each.

use serde::{Deserialize, Serialize};

/// Name of the one header that tells a dead or poison record's story.
pub const NOTE_HEADER: &str = "hooklane";

/// One attempt in the attempts topic. A record value is an array of these.
///
/// Fields borrow, because one is written per attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AttemptRecord<'a> {
    /// Delivery id, as sent in `webhook-id`.
    pub delivery: &'a str,
    /// Tenant of the endpoint.
    pub tenant: &'a str,
    /// Name of the endpoint.
    pub endpoint: &'a str,
    /// Uid of the endpoint.
    pub endpoint_uid: &'a str,
    /// Uid of the subscription.
    pub subscription_uid: &'a str,
    /// CloudEvents id, or topic/partition/offset.
    pub event_id: &'a str,
    /// CloudEvents source, or the topic.
    pub event_source: &'a str,
    /// CloudEvents type; may be empty.
    pub event_type: &'a str,
    /// Number of the attempt, from 1.
    pub attempt: u16,
    /// When it started, RFC 3339.
    pub started_at: &'a str,
    /// From start to the end of the response, or to the failure; 0 where that
    /// would tell which of the failures shown as one it was.
    pub duration_ms: u64,
    /// What it came to: a stable word, see docs/formats.md.
    pub outcome: &'a str,
    /// The HTTP status, when there was a response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why there was no usable response: a stable word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<&'a str>,
    /// Whose side the failure is on: `receiver`, `network` or `us`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side: Option<&'a str>,
    /// Not before when the next attempt is made, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_due: Option<&'a str>,
}

/// The story of a terminal record, in its [`NOTE_HEADER`]; the value holds
/// the event's original bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadNote {
    /// `dead` or `expired`.
    pub kind: String,
    /// Why: a stable word, see docs/formats.md.
    pub reason: String,
    /// Delivery id, as sent in `webhook-id`.
    pub delivery: String,
    /// Tenant of the endpoint, when the endpoint is still known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Name of the endpoint, when it is still known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Uid of the endpoint.
    pub endpoint_uid: String,
    /// Uid of the subscription.
    pub subscription_uid: String,
    /// CloudEvents id, or topic/partition/offset.
    pub event_id: String,
    /// CloudEvents source, or the topic.
    pub event_source: String,
    /// CloudEvents type; may be empty.
    pub event_type: String,
    /// Media type of the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Where the event lies: `topic/partition/offset`.
    pub position: String,
    /// Attempts made.
    pub attempts: u16,
    /// When ingest read the event, RFC 3339.
    pub first_seen: String,
    /// When it ended, RFC 3339.
    pub ended_at: String,
    /// Status of the last attempt, when it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_status: Option<u16>,
    /// Failure of the last attempt, when it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<String>,
    /// Whose side that failure is on: `receiver`, `network` or `us`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_side: Option<String>,
}

/// The note on a record of the poison topic, in its [`NOTE_HEADER`]; the
/// value holds the record's original bytes, if there are any.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PoisonNote {
    /// `poison`: unreadable, or `lost`: retention took it before it was read.
    pub kind: String,
    /// What was wrong.
    pub reason: String,
    /// Topic of the record.
    pub topic: String,
    /// Partition of the record.
    pub partition: i32,
    /// Offset of the record; of the first one lost.
    pub offset: i64,
    /// Offset after the last one lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
    /// When it was noted, RFC 3339.
    pub at: String,
}
