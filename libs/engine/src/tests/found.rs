//! What the simulator found; the seed stands with each.

use hooklane_model::catalog::{Change, Disabled, EndpointStatus, Health};
use hooklane_model::id::EndpointUid;
use serde_json::json;

use super::bench::*;

/// Seed 20: a 2xx with `webhook-delivery: disable` left the queue as it was,
/// and what stood in it was sent to an endpoint that wanted no more.
#[test]
fn nothing_queued_is_sent_after_a_2xx_that_wants_no_more() {
    let mut spec = spec();
    spec["maxConcurrency"] = json!(1);
    let mut bench = Bench::new(spec);
    let sent = sends(&bench.read(0, vec![target(1, 1), target(2, 1)]));
    let end = AttemptEnd::Response {
        status: 200,
        retry_after: None,
        directive: Some(Directive::Disable),
    };
    let actions = bench.finish(1, sent[0], end);
    assert!(sends(&actions).is_empty());
    assert_eq!(buried(&actions), [DeadReason::EndpointDisabled]);
}

/// Seed 133: two changes that arrived together were applied one by one, and
/// the queue was buried, or parked, on the state in between.
#[test]
fn a_queue_goes_by_what_all_changes_of_a_batch_come_to() {
    let mut narrow = spec();
    narrow["maxConcurrency"] = json!(1);
    let mut paused = narrow.clone();
    paused["paused"] = json!(true);
    let disabled = EndpointStatus {
        observed_generation: 1,
        disabled: Some(Disabled {
            reason: "gone".to_owned(),
            at: "2026-01-01T00:00:00.000Z".to_owned(),
        }),
        ..EndpointStatus::default()
    };
    for between in [
        Change::Status(EndpointUid(1), disabled.into()),
        Change::Endpoint(endpoint(1, 2, paused)),
    ] {
        let mut bench = Bench::new(narrow.clone());
        let sent = sends(&bench.read(0, vec![target(1, 1), target(2, 1)]));
        assert_eq!(sent.len(), 1);
        let resumed = Change::Endpoint(endpoint(1, 3, narrow.clone()));
        let actions = bench.configure(1, vec![between, resumed]);
        assert!(actions.is_empty(), "{actions:?}");
        assert_eq!(sends(&bench.finish(2, sent[0], status(200))).len(), 1);
    }
}

/// Seed 50: the endpoint's health, written before its receiver answered 410
/// and read after, said nothing of that, and the endpoint was called again
/// until the verdict came back, too.
#[test]
fn a_verdict_stands_until_it_is_read_back() {
    let mut bench = Bench::new(spec());
    let sent = sends(&bench.read(0, vec![target(1, 1)]));
    bench.finish(1, sent[0], status(410));
    let health = EndpointStatus {
        health: Some(Health {
            observed_generation: 1,
            ..Health::default()
        }),
        ..EndpointStatus::default()
    };
    let told =
        |status: &EndpointStatus| vec![Change::Status(EndpointUid(1), status.clone().into())];
    bench.configure(2, told(&health));
    bench.configure(3, vec![Change::Endpoint(endpoint(1, 1, spec()))]);
    let actions = bench.read(4, vec![target(2, 1)]);
    assert_eq!(buried(&actions), [DeadReason::EndpointDisabled]);
    // A new generation is another question.
    bench.configure(5, vec![Change::Endpoint(endpoint(1, 2, spec()))]);
    bench.configure(6, told(&health));
    assert_eq!(sends(&bench.read(7, vec![target(3, 1)])).len(), 1);
}
