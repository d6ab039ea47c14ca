//! What is remembered of endpoints, and until when.

use hooklane_model::catalog::Change;
use hooklane_model::envelope::Target;
use hooklane_model::id::EndpointUid;
use hooklane_model::time::UnixMillis;

use super::bench::*;

/// Long after the last word of anything that could still bind.
const LATER: u64 = 2_000_000;

/// Has a delivery fail for the third time, and returns what goes to its rung.
fn failed(bench: &mut Bench, now: Now, id: u128) -> Target {
    let third = Target {
        attempt: 3,
        ..target(id, 1)
    };
    let record = bench.record(T0, vec![third]);
    let sent = sends(&bench.step_now(now, record));
    let finished = Event::Finished {
        work: sent[0],
        result: AttemptResult {
            started_at: T0,
            elapsed: std::time::Duration::from_millis(1),
            end: status(500),
        },
    };
    let actions = bench.step_now(now, finished);
    let order = delays(&actions)[0];
    let stored = Event::Stored {
        work: order.work,
        what: Stored::Delay,
        result: Ok(()),
    };
    bench.step_now(now, stored);
    order.target
}

/// Goal: an endpoint is not kept for a repeat that is dropped. Method: of two
/// deliveries on a rung one comes back twice, and the other never.
#[test]
fn an_endpoint_is_forgotten_although_its_last_release_was_a_repeat() {
    let mut bench = Bench::new(spec());
    let back = failed(&mut bench, at(0), 1);
    failed(&mut bench, at(0), 2);
    let sent = sends(&bench.read(400_000, vec![back]));
    let actions = bench.finish(400_001, sent[0], status(200));
    assert_eq!(actions.len(), 1, "delivered: {actions:?}");
    let what = Stored::Attempt;
    let (work, result) = (sent[0], Ok(()));
    bench.step(400_002, Event::Stored { work, what, result });
    // The scheduler did not get to commit, and releases it once more.
    assert!(sends(&bench.read(430_000, vec![back])).is_empty());
    bench.step(LATER, Event::Time);
    assert_eq!(bench.core.gauges().endpoints_active, 0);
}

/// Goal: what was ready when nothing could start is forgotten as well.
/// Method: an endpoint is deleted while there is no lease.
#[test]
fn an_endpoint_is_forgotten_that_was_deleted_while_nothing_could_start() {
    let mut bench = Bench::new(spec());
    bench.core.set_lease(Mono(0));
    bench.read(0, vec![target(1, 1)]);
    let actions = bench.configure(1, vec![Change::EndpointGone(EndpointUid(1))]);
    let [Action::Bury(order)] = &actions[..] else {
        panic!("{actions:?}")
    };
    let (work, what, result) = (order.work, Stored::Dead, Ok(()));
    bench.step(2, Event::Stored { work, what, result });
    bench.step(60_000, Event::Time);
    bench.core.set_lease(Mono(u64::MAX));
    bench.step(LATER, Event::Time);
    assert_eq!(bench.core.gauges().endpoints_active, 0);
}

/// Goal: a wall clock that steps back does not keep what has come back among
/// what waits. Method: an hour back, after the lane was claimed.
#[test]
fn what_comes_back_is_counted_out_although_the_wall_clock_stepped_back() {
    let mut bench = Bench::new(spec());
    let early = |millis| Now {
        wall: UnixMillis(T0.0 - 3_600_000 + millis),
        ..at(millis)
    };
    let back = failed(&mut bench, early(10), 1);
    let counted = |bench: &Bench| bench.view(20).retrying;
    assert_eq!(counted(&bench), 1);
    let record = bench.record(T0, vec![back]);
    bench.step_now(early(400_000), record);
    assert_eq!(counted(&bench), 0);
}
