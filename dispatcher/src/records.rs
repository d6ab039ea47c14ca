//! The records a dispatcher writes, as bytes.

use hooklane_model::catalog::{Consent, Disabled, EndpointStatus, Snapshot, Unverified};
use hooklane_model::label::LabelValue;
use hooklane_model::record::{AttemptRecord, DeadNote, PoisonNote};
use hooklane_model::time::UnixMillis;
use hooklane_sender::FailureReason;

use hooklane_engine::{
    AttemptEnd, AttemptEntry, BuryOrder, DelayOrder, DisableOrder, HealthOrder, OpenEnvelope, Side,
};

/// Appends an entry of the attempts log: one JSON object.
pub(crate) fn attempt(entry: &AttemptEntry, into: &mut Vec<u8>) {
    let event = &entry.envelope.envelope.event;
    let meta = &entry.endpoint.meta;
    let Ended {
        status,
        failure,
        side,
        hides_time,
    } = ended(&entry.result.end);
    let elapsed = entry.result.elapsed.as_millis();
    let next_due = entry.next_due.map(UnixMillis::text);
    let record = AttemptRecord {
        delivery: &entry.target.delivery.text(),
        tenant: &meta.tenant,
        endpoint: &meta.name,
        endpoint_uid: &entry.endpoint.uid().text(),
        subscription_uid: &entry.target.subscription.text(),
        event_id: &event.id,
        event_source: &event.source,
        event_type: &event.event_type,
        attempt: entry.target.attempt,
        started_at: &entry.result.started_at.text(),
        duration_ms: if hides_time {
            0
        } else {
            u64::try_from(elapsed).unwrap_or(u64::MAX)
        },
        outcome: entry.outcome.as_str(),
        status,
        failure,
        side,
        next_due: next_due.as_deref(),
    };
    serde_json::to_writer(into, &record).expect("strings and numbers always serialise");
}

/// An attempt's end as tenants may read it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) status: Option<u16>,
    pub(crate) failure: Option<&'static str>,
    pub(crate) side: Option<&'static str>,
    hides_time: bool,
}

/// What may be told of an attempt's end.
pub(crate) fn ended(end: &AttemptEnd) -> Ended {
    match end {
        AttemptEnd::Response { status, .. } => Ended {
            status: Some(*status),
            ..Ended::default()
        },
        AttemptEnd::NotStarted => Ended {
            failure: Some("not_started"),
            side: Some(Side::Us.as_str()),
            ..Ended::default()
        },
        AttemptEnd::Blocked { reason, side } | AttemptEnd::Failed { reason, side } => {
            match FailureReason::named(reason) {
                Some(known) => {
                    let shown = known.shown();
                    Ended {
                        status: None,
                        failure: Some(shown.reason),
                        side: Some(shown.side.as_str()),
                        hides_time: shown.hides_time,
                    }
                }
                None => Ended {
                    failure: Some(reason),
                    side: Some(side.as_str()),
                    ..Ended::default()
                },
            }
        }
    }
}

/// The value of a delay record: the event for this one target.
pub(crate) fn delay(order: &DelayOrder) -> Vec<u8> {
    order
        .envelope
        .envelope
        .unicast(order.target)
        .encode(&order.envelope.payload)
}

/// The note of a terminal record.
pub(crate) fn dead_note(order: &BuryOrder, now: UnixMillis) -> Vec<u8> {
    let OpenEnvelope { envelope, payload } = &*order.envelope;
    let event = &envelope.event;
    let position = &envelope.position;
    let last = order.last.as_ref().map(|result| ended(&result.end));
    let last = last.unwrap_or_default();
    let reason = if order.without_bytes {
        format!(
            "{} ({} bytes left out)",
            order.reason.as_str(),
            payload.len()
        )
    } else {
        order.reason.as_str().to_owned()
    };
    let note = DeadNote {
        kind: order.reason.kind().to_owned(),
        reason,
        delivery: order.target.delivery.to_string(),
        tenant: order.endpoint.as_ref().map(|e| e.meta.tenant.clone()),
        endpoint: order.endpoint.as_ref().map(|e| e.meta.name.clone()),
        endpoint_uid: order.target.endpoint.to_string(),
        subscription_uid: order.target.subscription.to_string(),
        event_id: event.id.clone(),
        event_source: event.source.clone(),
        event_type: event.event_type.clone(),
        content_type: event.content_type.clone(),
        position: format!(
            "{}/{}/{}",
            position.topic, position.partition, position.offset
        ),
        attempts: order.target.attempt,
        first_seen: envelope.first_seen.to_rfc3339(),
        ended_at: now.to_rfc3339(),
        last_status: last.status,
        last_failure: last.failure.map(str::to_owned),
        last_side: last.side.map(str::to_owned),
    };
    serde_json::to_vec(&note).expect("strings and numbers always serialise")
}

/// The value of a status record that disables an endpoint.
pub(crate) fn disabled(order: &DisableOrder, now: UnixMillis) -> Vec<u8> {
    let status = EndpointStatus {
        observed_generation: order.endpoint.meta.generation,
        disabled: Some(Disabled {
            reason: order.reason.to_owned(),
            at: now.to_rfc3339(),
        }),
        health: None,
    };
    serde_json::to_vec(&status.to_json()).expect("a JSON value always serialises")
}

/// The value of an endpoint's health record.
pub(crate) fn health(order: &HealthOrder) -> Vec<u8> {
    serde_json::to_vec(&order.health.to_json()).expect("a JSON value always serialises")
}

/// The value of a receiver's consent.
pub(crate) fn consent(consent: &Consent) -> Vec<u8> {
    serde_json::to_vec(&consent.to_json()).expect("a JSON value always serialises")
}

/// The value of the record that says why there is none.
pub(crate) fn unverified(unverified: &Unverified) -> Vec<u8> {
    serde_json::to_vec(&unverified.to_json()).expect("a JSON value always serialises")
}

/// The value of an endpoint's snapshot.
pub(crate) fn snapshot(snapshot: &Snapshot) -> Vec<u8> {
    serde_json::to_vec(&snapshot.to_json()).expect("a JSON value always serialises")
}

/// The note of a poison record that stood at an offset of a lane.
pub(crate) fn poison_note(
    topic: &str,
    (partition, offset): (i32, i64),
    reason: String,
    now: UnixMillis,
) -> Vec<u8> {
    note(PoisonNote {
        kind: "poison".to_owned(),
        reason,
        topic: topic.to_owned(),
        partition,
        offset,
        until: None,
        at: now.to_rfc3339(),
    })
}

/// The note that retention took records of a lane before they were read.
pub(crate) fn lost_note(
    topic: &str,
    partition: i32,
    (from, until): (i64, i64),
    now: UnixMillis,
) -> Vec<u8> {
    note(PoisonNote {
        kind: "lost".to_owned(),
        reason: "retention took these records before they were read".to_owned(),
        topic: topic.to_owned(),
        partition,
        offset: from,
        until: Some(until),
        at: now.to_rfc3339(),
    })
}

fn note(note: PoisonNote) -> Vec<u8> {
    serde_json::to_vec(&note).expect("strings and numbers always serialise")
}

#[cfg(test)]
mod tests;
