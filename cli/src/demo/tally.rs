//! What the attempts and dead topics say, per delivery and per endpoint.
//! Pure: it is fed with records.

use std::collections::HashMap;

use hooklane_kafka::record::Record;
use hooklane_kafka::scan::scan;
use hooklane_model::id::DeliveryId;
use hooklane_model::record::{DeadNote, NOTE_HEADER};
use hooklane_model::time::UnixMillis;
use hooklane_model::topic::TopicNames;
use serde_json::Value;

use super::endpoints::{ROLES, Role};
use super::error::DemoError;
use crate::cluster::{Cluster, PATIENCE};

/// How one delivery ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct End {
    pub(super) delivered: u32,
    pub(super) dead: bool,
    pub(super) expired: bool,
}

/// What is known of one endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Attempts {
    pub(super) attempts: u64,
    pub(super) delivered: u64,
    pub(super) dead: u64,
    pub(super) expired: u64,
    /// Failures since the last success.
    pub(super) failures_in_a_row: u64,
    /// When the last attempt failed.
    pub(super) failed_at: Option<UnixMillis>,
    /// Asked to be left alone until then.
    pub(super) held_until: Option<UnixMillis>,
}

impl Attempts {
    /// Deliveries that ended without a receiver.
    pub(super) fn given_up(&self) -> u64 {
        self.dead + self.expired
    }
}

/// What the topics say.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    pub(super) deliveries: HashMap<DeliveryId, End>,
    pub(super) endpoints: Vec<Attempts>,
    ended: u64,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            deliveries: HashMap::new(),
            endpoints: vec![Attempts::default(); ROLES.len()],
            ended: 0,
        }
    }
}

impl Tally {
    /// Reads both topics from beginning to end.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(super) fn of_topics(cluster: &Cluster) -> Result<Self, DemoError> {
        let mut tally = Self::default();
        let names = &cluster.names;
        let topics = [names.attempts(), names.dead()];
        scan(&cluster.settings, &topics, PATIENCE, &mut |record| {
            tally.add(names, &record);
        })?;
        Ok(tally)
    }

    /// Enters a record. One that cannot be read is left to the books, which
    /// count such.
    pub(super) fn add(&mut self, names: &TopicNames, record: &Record) {
        let entered = if *record.topic == *names.dead() {
            self.add_dead(record)
        } else {
            self.add_attempts(record.value.as_deref())
        };
        if entered.is_none() {
            tracing::debug!(
                topic = &*record.topic,
                offset = record.offset,
                "not readable"
            );
        }
    }

    /// Deliveries that have ended.
    pub(super) fn ended(&self) -> u64 {
        self.ended
    }

    fn end(&mut self, id: DeliveryId, enter: impl FnOnce(&mut End)) {
        let end = self.deliveries.entry(id).or_default();
        let before = *end;
        enter(end);
        self.ended += u64::from(before == End::default() && *end != before);
    }

    fn add_attempts(&mut self, value: Option<&[u8]>) -> Option<()> {
        let attempts: Vec<Value> = serde_json::from_slice(value?).ok()?;
        for attempt in &attempts {
            let id: DeliveryId = attempt["delivery"].as_str()?.parse().ok()?;
            let (tenant, name) = (attempt["tenant"].as_str()?, attempt["endpoint"].as_str()?);
            let outcome = attempt["outcome"].as_str()?;
            let at = |field: &str| attempt[field].as_str().and_then(UnixMillis::from_rfc3339);
            let delivered = outcome == "delivered";
            if delivered {
                self.end(id, |end| end.delivered += 1);
            }
            let Some(index) = Role::find(tenant, name) else {
                continue;
            };
            let endpoint = &mut self.endpoints[index];
            endpoint.attempts += 1;
            if delivered {
                endpoint.delivered += u64::from(self.deliveries[&id].delivered == 1);
                endpoint.failures_in_a_row = 0;
            } else if outcome == "held" {
                endpoint.held_until = at("nextDue").or(endpoint.held_until);
            } else {
                endpoint.failures_in_a_row += 1;
                endpoint.failed_at = at("startedAt");
            }
        }
        Some(())
    }

    fn add_dead(&mut self, record: &Record) -> Option<()> {
        let note: DeadNote = serde_json::from_slice(record.header(NOTE_HEADER)?).ok()?;
        let id: DeliveryId = note.delivery.parse().ok()?;
        let expired = note.kind == "expired";
        self.end(id, |end| {
            end.dead |= !expired;
            end.expired |= expired;
        });
        let endpoint = Role::find(&note.tenant?, &note.endpoint?)?;
        self.endpoints[endpoint].dead += u64::from(!expired);
        self.endpoints[endpoint].expired += u64::from(expired);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use hooklane_kafka::record::{RecordTimestamp, TimestampKind};
    use serde_json::json;

    use super::*;

    fn record(topic: String, value: &Value, headers: Vec<(String, Bytes)>) -> Record {
        Record {
            topic: topic.into(),
            partition: 0,
            offset: 0,
            timestamp: RecordTimestamp {
                kind: TimestampKind::None,
                millis: 0,
            },
            key: None,
            value: Some(value.to_string().into()),
            headers,
        }
    }

    fn attempt(id: u128, outcome: &str) -> Value {
        json!({
            "delivery": DeliveryId(id).to_string(), "tenant": "globex", "endpoint": "partner",
            "outcome": outcome, "startedAt": "2026-01-01T00:00:00.000Z",
            "nextDue": "2026-01-01T00:00:02.000Z",
        })
    }

    #[test]
    fn attempts_and_dead_letters_are_counted_by_endpoint() {
        let names = TopicNames::default();
        let mut tally = Tally::default();
        let all = json!([
            attempt(1, "retry"),
            attempt(1, "delivered"),
            attempt(1, "delivered"),
            attempt(2, "held"),
            attempt(2, "dead"),
        ]);
        tally.add(&names, &record(names.attempts(), &all, Vec::new()));
        let note = json!({
            "kind": "dead", "reason": "exhausted", "delivery": DeliveryId(2).to_string(),
            "tenant": "globex", "endpoint": "partner", "endpointUid": "", "subscriptionUid": "",
            "eventId": "", "eventSource": "", "eventType": "", "position": "", "attempts": 2,
            "firstSeen": "", "endedAt": "",
        });
        let headers = vec![(NOTE_HEADER.to_owned(), note.to_string().into())];
        tally.add(&names, &record(names.dead(), &json!(1), headers));
        let partner = &tally.endpoints[3];
        assert_eq!(
            (partner.attempts, partner.delivered, partner.dead),
            (5, 1, 1)
        );
        assert_eq!(partner.failures_in_a_row, 1);
        assert_eq!(
            partner.held_until,
            UnixMillis::from_rfc3339("2026-01-01T00:00:02Z")
        );
        assert_eq!(tally.ended(), 2);
        assert_eq!(tally.deliveries[&DeliveryId(1)].delivered, 2);
    }
}
