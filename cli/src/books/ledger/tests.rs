use hooklane_kafka::record::{RecordTimestamp, TimestampKind};
use hooklane_model::envelope::{Chunk, ConfigStamp, EventHead, SourcePosition, Target};
use hooklane_model::id::{EndpointUid, SubscriptionUid};
use hooklane_model::time::UnixMillis;

use super::*;

/// A delivery's records, in words.
#[derive(Clone, Copy, Debug)]
enum Line {
    /// In the deliveries topic, before or at the committed offset.
    Matched(u128, bool),
    /// The same, by a replay.
    Replayed(u128),
    /// In a delay topic, before or at the committed offset.
    Delayed(u128, bool),
    Attempt(u128, &'static str),
    Dead(u128),
    Expired(u128),
}
use Line::{Attempt, Dead, Delayed, Expired, Matched, Replayed};

const DONE: i64 = 5;
const WAITS: i64 = 10;

fn record(topic: String, offset: i64, value: Vec<u8>, note: Option<Value>) -> Record {
    let headers = note.map(|note| (NOTE_HEADER.to_owned(), Bytes::from(note.to_string())));
    Record {
        topic: topic.into(),
        partition: 0,
        offset,
        timestamp: RecordTimestamp {
            kind: TimestampKind::None,
            millis: 0,
        },
        key: None,
        value: Some(value.into()),
        headers: headers.into_iter().collect(),
    }
}

fn envelope(ids: &[u128], origin: Origin) -> Vec<u8> {
    let target = |id: &u128| Target {
        delivery: DeliveryId(*id),
        endpoint: EndpointUid(1),
        subscription: SubscriptionUid(1),
        attempt: 1,
        due: UnixMillis(0),
        delayed_at: UnixMillis(0),
        spills: 0,
    };
    let envelope = Envelope {
        origin,
        event: EventHead::default(),
        position: SourcePosition::default(),
        chunk: Chunk { index: 0, count: 1 },
        config: ConfigStamp::default(),
        first_seen: UnixMillis(0),
        targets: ids.iter().map(target).collect(),
    };
    envelope.encode(b"{}")
}

fn dead(id: u128, kind: &str) -> Value {
    json!({
        "kind": kind, "reason": "exhausted", "delivery": DeliveryId(id).to_string(),
        "endpointUid": "ep", "subscriptionUid": "sub", "eventId": "1", "eventSource": "s",
        "eventType": "t", "position": "t/0/0", "attempts": 1,
        "firstSeen": "2026-01-01T00:00:00Z", "endedAt": "2026-01-01T00:00:00Z",
    })
}

fn record_of(names: &TopicNames, line: Line) -> Record {
    let ingest = Origin::Ingest { run: 1 };
    let at = |waits| if waits { WAITS } else { DONE };
    match line {
        Matched(id, waits) => record(names.deliveries(), at(waits), envelope(&[id], ingest), None),
        Replayed(id) => {
            let origin = Origin::Replay { id: 1 };
            record(names.deliveries(), DONE, envelope(&[id], origin), None)
        }
        Delayed(id, waits) => {
            let value = envelope(&[id], ingest);
            record(names.delay(Rung::M1), at(waits), value, None)
        }
        Attempt(id, outcome) => {
            let value = json!([{"delivery": DeliveryId(id).to_string(), "outcome": outcome}]);
            record(names.attempts(), 0, value.to_string().into_bytes(), None)
        }
        Dead(id) => record(names.dead(), 0, b"bytes".to_vec(), Some(dead(id, "dead"))),
        Expired(id) => record(names.dead(), 0, Vec::new(), Some(dead(id, "expired"))),
    }
}

fn ledger(names: &TopicNames) -> Ledger {
    let at = |topic: String| (TopicPartition::new(topic, 0), WAITS);
    let committed = [at(names.deliveries()), at(names.delay(Rung::M1))];
    Ledger::new(names, committed.into())
}

fn account(lines: &[Line]) -> Account {
    let names = TopicNames::default();
    let mut ledger = ledger(&names);
    for line in lines {
        ledger.add(&record_of(&names, *line));
    }
    ledger.close()
}

/// matched, delivered, dead, expired, pending, lost, conflicts.
fn sums(account: &Account) -> [u64; 7] {
    [
        account.matched,
        account.delivered,
        account.dead,
        account.expired,
        account.pending,
        account.lost_count,
        account.conflict_count,
    ]
}

#[test]
fn each_delivery_is_counted_once_where_it_ended() {
    let cases: &[(&[Line], [u64; 7], bool)] = &[
        (&[], [0; 7], true),
        (&[Matched(1, true)], [1, 0, 0, 0, 1, 0, 0], true),
        (&[Matched(1, false)], [1, 0, 0, 0, 0, 1, 0], false),
        (
            &[Matched(1, false), Attempt(1, "delivered")],
            [1, 1, 0, 0, 0, 0, 0],
            true,
        ),
        (
            &[Matched(1, false), Attempt(1, "retry"), Dead(1)],
            [1, 0, 1, 0, 0, 0, 0],
            true,
        ),
        (
            &[Matched(1, false), Expired(1)],
            [1, 0, 0, 1, 0, 0, 0],
            true,
        ),
        // A failed attempt alone is no end.
        (
            &[Matched(1, false), Attempt(1, "retry")],
            [1, 0, 0, 0, 0, 1, 0],
            false,
        ),
        // It waits on a rung; then it was moved on and is nowhere.
        (
            &[Matched(1, false), Attempt(1, "retry"), Delayed(1, true)],
            [1, 0, 0, 0, 1, 0, 0],
            true,
        ),
        (
            &[Matched(1, false), Delayed(1, false)],
            [1, 0, 0, 0, 0, 1, 0],
            false,
        ),
        // Released: the same id stands in the deliveries topic twice.
        (
            &[Matched(1, false), Delayed(1, false), Matched(1, true)],
            [1, 0, 0, 0, 1, 0, 0],
            true,
        ),
        // Delivered, and its commit was not seen: ended, not pending.
        (
            &[Matched(1, true), Attempt(1, "delivered")],
            [1, 1, 0, 0, 0, 0, 0],
            true,
        ),
        (
            &[Matched(1, false), Attempt(1, "delivered"), Dead(1)],
            [1, 1, 1, 0, 0, 0, 1],
            false,
        ),
        (
            &[Matched(1, false), Dead(1), Expired(1)],
            [1, 0, 1, 1, 0, 0, 1],
            false,
        ),
        // The same end twice is one end.
        (
            &[Matched(1, false), Dead(1), Dead(1)],
            [1, 0, 1, 0, 0, 0, 0],
            true,
        ),
        // What ingest did not match is not in the sum.
        (
            &[Replayed(1), Attempt(1, "delivered"), Dead(2)],
            [0; 7],
            true,
        ),
        (
            &[Matched(1, false), Matched(2, true), Attempt(1, "delivered")],
            [2, 1, 0, 0, 1, 0, 0],
            true,
        ),
    ];
    for (lines, expected, closes) in cases {
        let mut lines = lines.to_vec();
        for _ in 0..2 {
            let account = account(&lines);
            assert_eq!(sums(&account), *expected, "{lines:?}");
            assert_eq!(account.closes(), *closes, "{lines:?}");
            // The order of the records does not matter.
            lines.reverse();
        }
    }
}

#[test]
fn repeats_attempts_and_the_unmatched_are_counted() {
    let account = account(&[
        Matched(1, false),
        Attempt(1, "retry"),
        Attempt(1, "delivered"),
        Attempt(1, "delivered"),
        Attempt(1, "delivered"),
        Replayed(2),
        Attempt(2, "delivered"),
        Dead(3),
    ]);
    assert_eq!((account.attempts, account.repeats), (5, 2));
    assert_eq!(account.unmatched, 2);
    assert!(account.closes());
}

#[test]
fn trouble_is_named_up_to_a_bound() {
    let lost: Vec<Line> = (0..30).map(|id| Matched(id, false)).collect();
    let lost = account(&lost);
    assert_eq!((lost.lost.len(), lost.lost_count), (20, 30));
    assert_eq!(lost.lost[3], DeliveryId(3).to_string());
    let twice: Vec<Line> = (0..30)
        .flat_map(|id| [Matched(id, false), Attempt(id, "delivered"), Dead(id)])
        .collect();
    let twice = account(&twice);
    assert_eq!((twice.conflicts.len(), twice.conflict_count), (20, 30));
    assert_eq!(
        twice.conflicts[0],
        "dlv_00000000000000000000000000000000 delivered+dead"
    );
}

#[test]
fn all_targets_of_an_envelope_count() {
    let names = TopicNames::default();
    let mut ledger = ledger(&names);
    let value = envelope(&[1, 2, 3], Origin::Ingest { run: 1 });
    ledger.add(&record(names.deliveries(), WAITS, value, None));
    ledger.add(&record_of(&names, Attempt(2, "delivered")));
    assert_eq!(sums(&ledger.close()), [3, 1, 0, 0, 2, 0, 0]);
}

#[test]
fn a_group_without_offsets_has_everything_before_it() {
    let names = TopicNames::default();
    let mut ledger = Ledger::new(&names, BTreeMap::new());
    ledger.add(&record_of(&names, Matched(1, false)));
    assert_eq!(ledger.close().pending, 1);
}

#[test]
fn what_cannot_be_read_is_counted() {
    let names = TopicNames::default();
    let mut ledger = ledger(&names);
    let garbage = || b"garbage".to_vec();
    ledger.add(&record(names.deliveries(), 0, garbage(), None));
    ledger.add(&record(names.delay(Rung::Tail), 0, garbage(), None));
    ledger.add(&record(names.attempts(), 0, garbage(), None));
    ledger.add(&record(names.dead(), 0, garbage(), None));
    ledger.add(&record(names.dead(), 0, garbage(), Some(dead(1, "odd"))));
    ledger.add(&record(names.poison(), 0, garbage(), None));
    assert_eq!(ledger.close().unreadable, 5);
}
