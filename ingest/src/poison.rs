//! The notes on records that cannot be read, or that are gone.

use hooklane_kafka::record::TopicPartition;
use hooklane_model::record::PoisonNote;
use hooklane_model::time::UnixMillis;

/// `kind` of a record that cannot be read.
const POISON: &str = "poison";
/// `kind` of records that retention took.
const LOST: &str = "lost";
/// Longest reason in a header; a reason may quote what it could not read.
const REASON_BYTES_MAX: usize = 1024;

/// The header of a record that cannot be read, as JSON.
#[must_use]
pub fn unreadable(at: &TopicPartition, offset: i64, reason: &str, now: UnixMillis) -> Vec<u8> {
    note(POISON, at, (offset, None), reason, now)
}

/// The header of a note on offsets `from..until` that nobody can read any
/// more, as JSON.
#[must_use]
pub fn lost(
    at: &TopicPartition,
    (from, until): (i64, i64),
    reason: &str,
    now: UnixMillis,
) -> Vec<u8> {
    note(LOST, at, (from, Some(until)), reason, now)
}

fn note(
    kind: &str,
    at: &TopicPartition,
    (offset, until): (i64, Option<i64>),
    reason: &str,
    now: UnixMillis,
) -> Vec<u8> {
    let mut end = reason.len().min(REASON_BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let note = PoisonNote {
        kind: kind.to_owned(),
        reason: reason[..end].to_owned(),
        topic: at.topic.to_string(),
        partition: at.partition,
        offset,
        until,
        at: now.to_rfc3339(),
    };
    serde_json::to_vec(&note).expect("texts and numbers always serialise")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_tell_kind_place_and_reason() {
        let at = TopicPartition::new("shop", 2);
        let long = "ö".repeat(REASON_BYTES_MAX);
        let read = |json: Vec<u8>| serde_json::from_slice::<PoisonNote>(&json).unwrap();
        let note = read(unreadable(&at, 7, &long, UnixMillis(0)));
        assert_eq!(
            (note.kind.as_str(), note.offset, note.until),
            ("poison", 7, None)
        );
        assert_eq!(note.reason.len(), REASON_BYTES_MAX);
        let note = read(lost(&at, (3, 9), "retention", UnixMillis(0)));
        assert_eq!(
            (note.kind.as_str(), note.offset, note.until),
            ("lost", 3, Some(9))
        );
        assert_eq!((note.topic.as_str(), note.partition), ("shop", 2));
    }
}
