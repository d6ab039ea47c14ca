//! Giving a lane up.

use hooklane_model::time::UnixMillis;
use serde_json::json;

use super::bench::*;

#[test]
fn a_revoked_lane_is_released_when_its_requests_are_settled() {
    let mut bench = Bench::new(spec());
    let sent = sends(&bench.read(0, vec![target(1, 1)]));
    let deadline = at(3_000).mono;
    assert!(
        bench
            .step(
                1,
                Event::LaneRevoked {
                    lane: LANE,
                    deadline
                }
            )
            .is_empty()
    );
    bench.finish(2, sent[0], status(200));
    let stored = Event::Stored {
        work: sent[0],
        what: Stored::Attempt,
        result: Ok(()),
    };
    let actions = bench.step(3, stored);
    assert!(
        matches!(
            actions[..],
            [Action::Released {
                watermark: 1,
                abandoned: 0,
                ..
            }]
        ),
        "{actions:?}"
    );
}

#[test]
fn a_revoked_lane_hands_over_what_waits_and_at_the_deadline_what_is_on_the_wire() {
    let mut one_at_a_time = spec();
    one_at_a_time["maxConcurrency"] = json!(1);
    let mut bench = Bench::new(one_at_a_time);
    let sent = sends(&bench.read(0, vec![target(1, 1), target(2, 1)]));
    assert_eq!(sent.len(), 1);
    let actions = bench.step(
        1,
        Event::LaneRevoked {
            lane: LANE,
            deadline: at(3_000).mono,
        },
    );
    let [waiting] = delays(&actions)[..] else {
        panic!("{actions:?}")
    };
    assert_eq!((waiting.target.delivery.0, waiting.target.attempt), (2, 1));
    let stored = |work| Event::Stored {
        work,
        what: Stored::Delay,
        result: Ok(()),
    };
    bench.step(2, stored(waiting.work));
    let actions = bench.step(3_000, Event::Time);
    let [on_the_wire] = delays(&actions)[..] else {
        panic!("{actions:?}")
    };
    assert_eq!(on_the_wire.target.due, UnixMillis(T0.0 + 3_000 + 15_000));
    assert!(
        bench.finish(3_001, sent[0], status(200)).is_empty(),
        "its answer is inert"
    );
    let actions = bench.step(3_002, stored(on_the_wire.work));
    assert!(
        matches!(
            actions[..],
            [Action::Released {
                watermark: 1,
                abandoned: 1,
                ..
            }]
        ),
        "{actions:?}"
    );
    assert_eq!(bench.core.gauges().in_flight, 0);
}

#[test]
fn a_revoked_lane_is_let_go_although_its_records_are_not_durable() {
    let mut bench = Bench::new(spec());
    bench.read(0, vec![target(1, 1)]);
    bench.step(
        1,
        Event::LaneRevoked {
            lane: LANE,
            deadline: at(3_000).mono,
        },
    );
    bench.step(3_000, Event::Time);
    let actions = bench.step(4_000, Event::Time);
    assert!(
        matches!(
            actions[..],
            [Action::Released {
                watermark: 0,
                abandoned: 2,
                ..
            }]
        ),
        "{actions:?}"
    );
}
