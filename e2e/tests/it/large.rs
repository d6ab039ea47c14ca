//! The largest events there are.

use hooklane_model::ladder::Rung;
use hooklane_test_support::{Answer, Script};
use serde_json::json;

use crate::harness::{DEADLINE, Event, Pipeline, Wants, subscription};

/// With its headers as large as a topic takes that nobody configured.
const BYTES: usize = 1_048_000;

/// Goal: an event of 1 MB passes every hop: source, lane, receiver, and for
/// one that fails source, lane, delay, lane, dead, with all its bytes.
/// Method: random bytes, which no compression makes small; the failing
/// endpoint's wait is longer than a dispatcher keeps anything in memory.
#[test]
fn a_megabyte_passes_every_hop() {
    let p = Pipeline::new("large");
    p.receiver
        .script("/fails", Script::always(Answer::status(500)));
    p.apply(&[
        p.source(),
        p.endpoint("/takes", json!({})),
        p.endpoint(
            "/fails",
            json!({"retry": {"schedule": ["11s"], "jitter": 0.0}}),
        ),
        subscription("takes", "/takes", json!({})),
        subscription("fails", "/fails", json!({})),
    ]);
    let _services = p.start_all();
    let events: Vec<Event> = (0..3)
        .map(|n| {
            let mut rng = fastrand::Rng::with_seed(n);
            let bytes: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(BYTES).collect();
            Event::new(format!("e{n}"), "acme", "large").payload(bytes)
        })
        .collect();
    let takes = [Wants::new(("acme", "takes"), "/takes", |_| true)];
    let fails = [Wants::new(("acme", "fails"), "/fails", |_| true)];
    let expected = p.expect(&takes, &events);
    let refused = p.expect(&fails, &events);
    p.events.store(&events);
    let tally = expected.wait(&p.receiver, DEADLINE);
    expected.check(&tally);
    p.receiver.wait_count("/fails", 6, DEADLINE).unwrap();
    let books = p.settled(DEADLINE);
    assert_eq!(
        (&books["delivered"], &books["dead"]),
        (&json!(3), &json!(3)),
        "{books:#}"
    );
    expected.check_once(&p.receiver);
    p.receiver.read(|all| {
        for request in all.iter().filter(|request| request.route() == "/fails") {
            assert!(refused.ids().any(|id| id == request.webhook_id()));
            assert!(
                events.iter().any(|event| event.payload == request.body),
                "other bytes"
            );
        }
    });
    assert_eq!(p.count(&p.names.delay(Rung::Tail)), 3, "each waited once");
    let dead = p.dead();
    assert_eq!(dead.len(), 3);
    for event in &events {
        let (note, bytes) = dead
            .iter()
            .find(|(note, _)| note.event_id == event.id)
            .unwrap();
        assert_eq!((&*note.reason, note.attempts), ("exhausted", 2), "{note:?}");
        assert!(*bytes == event.payload, "{note:?}: {} bytes", bytes.len());
    }
}
