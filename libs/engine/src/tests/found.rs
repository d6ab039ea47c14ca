//! What the simulator found; the seed stands with each.

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
