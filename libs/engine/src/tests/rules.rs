//! Single rules, each on a core set up by hand.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use hooklane_model::catalog::Change;
use hooklane_model::envelope::{ConfigStamp, Target};
use hooklane_model::id::EndpointUid;
use hooklane_model::time::UnixMillis;
use serde_json::json;

use super::bench::*;

#[test]
fn an_offset_is_settled_when_all_its_targets_records_are_durable() {
    let mut bench = Bench::new(spec());
    let sent = sends(&bench.read(0, vec![target(1, 1), target(2, 1)]));
    assert_eq!(sent.len(), 2);
    for work in &sent {
        bench.finish(1, *work, status(200));
    }
    assert_eq!(bench.watermark(), 0, "delivered, but no entry is durable");
    bench.step(
        2,
        Event::Stored {
            work: sent[0],
            what: Stored::Attempt,
            result: Ok(()),
        },
    );
    assert_eq!(bench.watermark(), 0, "one target of two");
    bench.step(
        2,
        Event::Stored {
            work: sent[1],
            what: Stored::Attempt,
            result: Ok(()),
        },
    );
    assert_eq!(bench.watermark(), 1);
}

#[test]
fn a_short_retry_waits_in_memory_and_a_long_one_on_its_rung() {
    let mut bench = Bench::new(spec());
    let sent = sends(&bench.read(0, vec![target(1, 1)]));
    let actions = bench.finish(1, sent[0], status(500));
    assert!(delays(&actions).is_empty(), "5 s fit the bound");
    assert!(
        sends(&bench.step(5_000, Event::Time)).is_empty(),
        "not before 5,001"
    );
    let sent = sends(&bench.step(5_002, Event::Time));
    assert_eq!(sent.len(), 1);
    let actions = bench.finish(5_003, sent[0], status(500));
    let [order] = delays(&actions)[..] else {
        panic!("{actions:?}")
    };
    assert_eq!((order.target.attempt, order.rung.name()), (3, "15s"));
    assert_eq!(order.target.due, UnixMillis(T0.0 + 35_003));
    assert!(order.parked.is_none());
}

#[test]
fn a_429_spends_no_attempt_and_holds_the_whole_endpoint() {
    let mut bench = Bench::new(spec());
    let sent = sends(&bench.read(0, vec![target(1, 1)]));
    let wait = Some(Duration::from_secs(30));
    let end = AttemptEnd::Response {
        status: 429,
        retry_after: wait,
        directive: None,
    };
    let actions = bench.finish(0, sent[0], end);
    let [order] = delays(&actions)[..] else {
        panic!("{actions:?}")
    };
    assert_eq!(order.target.attempt, 1);
    assert_eq!(order.target.due, UnixMillis(T0.0 + 30_000));
    // A new delivery does not go out while the endpoint is held.
    let actions = bench.read(1_000, vec![target(2, 1)]);
    assert!(sends(&actions).is_empty());
    let [order] = delays(&actions)[..] else {
        panic!("{actions:?}")
    };
    assert_eq!(order.parked, Some(ParkReason::Hold));
    assert!(
        order.target.due >= UnixMillis(T0.0 + 30_000),
        "{:?}",
        order.target.due
    );
    assert_eq!(sends(&bench.read(30_001, vec![target(3, 1)])).len(), 1);
}

#[test]
fn what_we_lack_holds_the_endpoint_and_kills_nothing() {
    let mut one_attempt = spec();
    one_attempt["retry"]["schedule"] = json!([]);
    let mut bench = Bench::new(one_attempt);
    let end = AttemptEnd::Blocked {
        reason: "secret",
        side: Side::Us,
    };
    let sent = sends(&bench.read(0, vec![target(1, 1)]));
    let actions = bench.finish(0, sent[0], end);
    let [order] = delays(&actions)[..] else {
        panic!("{actions:?}")
    };
    // Its one attempt is still to be made, and nothing else is tried meanwhile.
    assert_eq!(order.target.attempt, 1);
    assert_eq!(order.parked, Some(ParkReason::Hold));
    assert!(sends(&bench.read(14_999, vec![target(2, 1)])).is_empty());
    assert_eq!(sends(&bench.step(15_000, Event::Time)).len(), 1);
}

#[test]
fn a_backlog_is_parked_at_the_drain_rate() {
    let mut limited = spec();
    limited["rateLimit"] = json!({"perSecond": 1, "burst": 1});
    let mut bench = Bench::new(limited);
    let mut due = Vec::new();
    for id in 0..100 {
        let actions = bench.read(2_000, vec![target(id, 1)]);
        due.extend(
            delays(&actions)
                .iter()
                .map(|order| order.target.due.0 - T0.0),
        );
    }
    assert!((85..=95).contains(&due.len()), "{} parked", due.len());
    let gaps: Vec<u64> = due.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| *gap == 1_000), "{gaps:?}");
}

#[test]
fn what_returns_from_a_rung_needs_only_room() {
    let mut limited = spec();
    limited["rateLimit"] = json!({"perSecond": 1, "burst": 1});
    let mut bench = Bench::new(limited);
    for id in 0..100 {
        bench.read(2_000, vec![target(id, 1)]);
    }
    // All that was in memory has gone out; the reservations reach far ahead.
    for second in 3..20 {
        for work in sends(&bench.step(second * 1_000, Event::Time)) {
            bench.finish(second * 1_000, work, status(200));
        }
    }
    let returned = Target {
        spills: 1,
        ..target(200, 1)
    };
    let actions = bench.read(20_000, vec![returned]);
    assert!(delays(&actions).is_empty(), "{actions:?}");
}

#[test]
fn gone_disables_the_endpoint_and_ends_what_waits() {
    let mut bench = Bench::new(spec());
    let sent = sends(&bench.read(0, vec![target(1, 1)]));
    let actions = bench.finish(1, sent[0], status(410));
    assert!(
        actions
            .iter()
            .any(|a| matches!(a, Action::Disable(o) if o.reason == "gone"))
    );
    assert_eq!(buried(&actions), [DeadReason::Gone]);
    assert_eq!(
        buried(&bench.read(2, vec![target(2, 1)])),
        [DeadReason::EndpointDisabled]
    );
    // A new spec clears it: the finding was about the old one.
    bench.configure(3, vec![Change::Endpoint(endpoint(1, 2, spec()))]);
    assert_eq!(sends(&bench.read(4, vec![target(3, 1)])).len(), 1);
}

#[test]
fn a_late_verdict_on_an_earlier_spec_is_void() {
    let directive = AttemptEnd::Response {
        status: 200,
        retry_after: None,
        directive: Some(Directive::Disable),
    };
    for (end, delayed) in [(status(410), 1), (directive, 0)] {
        let mut bench = Bench::new(spec());
        let sent = sends(&bench.read(0, vec![target(1, 1)]));
        bench.configure(1, vec![Change::Endpoint(endpoint(1, 2, spec()))]);
        let actions = bench.finish(2, sent[0], end);
        let disables = |a: &Action| matches!(a, Action::Disable(_));
        assert!(!actions.iter().any(disables), "{actions:?}");
        assert!(buried(&actions).is_empty(), "{actions:?}");
        // Refused under the old spec, it is tried under the new one.
        assert_eq!(
            delays(&actions).len() + sends(&bench.step(9_000, Event::Time)).len(),
            delayed
        );
        assert_eq!(sends(&bench.read(9_001, vec![target(3, 1)])).len(), 1);
    }
}

#[test]
fn refusals_get_three_attempts_and_failures_the_schedule() {
    for (code, expected, attempts) in [
        (400, DeadReason::Rejected, 3),
        (500, DeadReason::Exhausted, 11),
    ] {
        let mut bench = Bench::new(spec());
        let last = Target {
            attempt: attempts,
            ..target(1, 1)
        };
        let sent = sends(&bench.read(0, vec![last]));
        assert_eq!(
            buried(&bench.finish(1, sent[0], status(code))),
            [expected],
            "{code}"
        );
        let earlier = Target {
            attempt: attempts - 1,
            ..target(2, 1)
        };
        let sent = sends(&bench.read(2, vec![earlier]));
        assert!(
            buried(&bench.finish(3, sent[0], status(code))).is_empty(),
            "{code}"
        );
    }
}

#[test]
fn a_paused_endpoint_parks_and_a_deleted_one_buries() {
    let mut paused = spec();
    paused["paused"] = json!(true);
    let mut bench = Bench::new(paused);
    let actions = bench.read(0, vec![target(1, 1)]);
    let [order] = delays(&actions)[..] else {
        panic!("{actions:?}")
    };
    assert_eq!(order.parked, Some(ParkReason::Paused));
    bench.configure(1, vec![Change::EndpointGone(EndpointUid(1))]);
    assert_eq!(
        buried(&bench.read(2, vec![target(2, 1)])),
        [DeadReason::EndpointDeleted]
    );
}

#[test]
fn an_endpoint_that_is_not_known_yet_is_waited_for() {
    let mut bench = Bench::new(spec());
    let ahead = |offset| {
        let mut record = envelope(offset, T0, vec![target(7, 9)]);
        record.config = ConfigStamp {
            epoch: 1,
            offset: 50,
        };
        Rc::new(OpenEnvelope {
            envelope: record,
            payload: Bytes::new(),
        })
    };
    let read = |offset| Event::Record {
        lane: LANE,
        epoch: Epoch(1),
        offset,
        record: ahead(offset),
    };
    assert!(bench.step(0, read(0)).is_empty(), "waits in memory");
    let actions = bench.configure(500, vec![Change::Endpoint(endpoint(9, 1, spec()))]);
    assert_eq!(sends(&actions).len(), 1);
    bench.offset = 1;
    // One that never comes is parked after a second, and dead once the
    // configuration is past the point where it was known.
    let mut bench = Bench::new(spec());
    assert!(bench.step(0, read(0)).is_empty());
    let actions = bench.step(1_001, Event::Time);
    assert_eq!(
        delays(&actions)[0].parked,
        Some(ParkReason::UnknownEndpoint)
    );
    bench.offset = 1;
    assert_eq!(
        buried(&bench.read(2_000, vec![target(8, 9)])),
        [DeadReason::EndpointUnknown]
    );
}

#[test]
fn what_is_too_old_expires() {
    let mut short = spec();
    short["retry"]["maxAge"] = json!("60s");
    let mut bench = Bench::new(short);
    assert_eq!(
        buried(&bench.read(60_001, vec![target(1, 1)])),
        [DeadReason::Expired]
    );
    // Also when the next attempt would be too late.
    let third = Target {
        attempt: 3,
        ..target(2, 1)
    };
    let sent = sends(&bench.read(0, vec![third]));
    assert_eq!(
        buried(&bench.finish(1, sent[0], status(500))),
        [DeadReason::Expired]
    );
}

#[test]
fn without_a_lease_nothing_starts() {
    let mut bench = Bench::new(spec());
    bench.core.set_lease(at(1_000).mono);
    assert_eq!(sends(&bench.read(999, vec![target(1, 1)])).len(), 1);
    assert!(sends(&bench.read(1_000, vec![target(2, 1)])).is_empty());
    bench.core.set_lease(at(5_000).mono);
    assert_eq!(sends(&bench.step(1_500, Event::Time)).len(), 1);
}

#[test]
fn a_record_too_large_to_wait_is_buried_with_its_bytes_and_then_without() {
    let mut bench = Bench::new(spec());
    let third = Target {
        attempt: 3,
        ..target(1, 1)
    };
    let sent = sends(&bench.read(0, vec![third]));
    bench.finish(1, sent[0], status(500));
    let work = sent[0];
    let too_large = |what| Event::Stored {
        work,
        what,
        result: Err(StoreError::TooLarge),
    };
    let actions = bench.step(2, too_large(Stored::Delay));
    assert!(
        matches!(&actions[..], [Action::Bury(o)] if !o.without_bytes),
        "{actions:?}"
    );
    let actions = bench.step(3, too_large(Stored::Dead));
    assert!(
        matches!(&actions[..], [Action::Bury(o)] if o.without_bytes),
        "{actions:?}"
    );
    bench.step(
        4,
        Event::Stored {
            work,
            what: Stored::Dead,
            result: Ok(()),
        },
    );
    assert_eq!(bench.watermark(), 1);
}

/// Goal: reading stops while this process is what deliveries wait for, and
/// only then. Method: a fast endpoint's queue stops it; the same queue of an
/// endpoint at its own limit does not, and neither does a slow one's.
#[test]
fn reading_stops_for_a_busy_process_but_not_for_a_limited_or_slow_endpoint() {
    let mut bench = Bench::new(spec());
    let fill = |bench: &mut Bench, count: u128| {
        for id in 0..count {
            bench.read(0, vec![target(id, 1)]);
        }
    };
    fill(&mut bench, 4_000);
    assert!(bench.core.has_room());
    fill(&mut bench, 8_000);
    assert!(!bench.core.has_room());
    bench.step(1_001, Event::Time);
    assert!(
        bench.core.has_room(),
        "its head has waited a second: it is slow"
    );

    let mut limited = spec();
    limited["rateLimit"] = json!({"perSecond": 1000, "burst": 1});
    let mut bench = Bench::new(limited);
    fill(&mut bench, 5_000);
    bench.step(5, Event::Time);
    assert!(bench.core.has_room(), "it waits for its own limit");
}
