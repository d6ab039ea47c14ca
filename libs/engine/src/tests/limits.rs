//! The limit, at the first byte, over edits, slow connects and owners.

use std::sync::Arc;

use hooklane_model::catalog::{Change, EndpointStatus, Health};
use hooklane_model::envelope::Target;
use hooklane_model::id::EndpointUid;
use hooklane_model::time::UnixMillis;
use serde_json::{Value, json};

use super::bench::*;

fn limited(limit: Value) -> Value {
    let mut spec = spec();
    spec["rateLimit"] = limit;
    spec["maxConcurrency"] = json!(100);
    spec
}

/// Starts what is ready at each of some times, and returns how many started.
fn starts(bench: &mut Bench, times: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut started = Vec::new();
    for millis in times {
        for work in sends(&bench.step(millis, Event::Time)) {
            started.push(millis);
            started.extend(
                sends(&bench.finish(millis, work, status(200)))
                    .iter()
                    .map(|_| millis),
            );
        }
    }
    started
}

/// Reads deliveries that have waited on a rung: these need only room. Returns
/// how many requests were started, which are answered at once.
fn fill(bench: &mut Bench, millis: u64, ids: std::ops::Range<u128>) -> usize {
    let returned = |id| Target {
        spills: 1,
        ..target(id, 1)
    };
    let mut started = 0;
    for id in ids {
        for work in sends(&bench.read(millis, vec![returned(id)])) {
            started += 1 + sends(&bench.finish(millis, work, status(200))).len();
        }
    }
    started
}

/// Goal: however long requests connect, their first bytes keep the limit.
/// Method: passes that are asked for all at once, long after the decision.
#[test]
fn slow_connects_do_not_bunch_first_bytes() {
    let mut bench = Bench::new(limited(json!({"perSecond": 10, "burst": 3})));
    let mut passes = Vec::new();
    let mut out = Vec::new();
    for id in 0..50 {
        let record = bench.record(T0, vec![target(id, 1)]);
        bench.core.step(at(10_000), record, &mut out);
    }
    for millis in (10_000..15_000).step_by(100) {
        bench.core.step(at(millis), Event::Time, &mut out);
    }
    passes.extend(out.iter().filter_map(|action| match action {
        Action::Send(order) => Some(order.pass.clone()),
        _ => None,
    }));
    let started = passes.iter().filter(|pass| pass.start(at(15_000).mono));
    assert_eq!(started.count(), 3, "of {}", passes.len());
}

#[test]
fn a_request_that_only_connects_when_its_lane_is_given_up_never_starts() {
    let mut bench = Bench::new(spec());
    let mut out = Vec::new();
    let record = bench.record(T0, vec![target(1, 1)]);
    bench.core.step(at(0), record, &mut out);
    let [Action::Send(order)] = &out[..] else {
        panic!("{out:?}")
    };
    bench.step(
        1,
        Event::LaneRevoked {
            lane: LANE,
            deadline: at(3_000).mono,
        },
    );
    assert!(!order.pass.start(at(2).mono));
    let actions = bench.finish(2, order.work, AttemptEnd::NotStarted);
    assert_eq!(delays(&actions)[0].parked, Some(ParkReason::HandOver));
}

/// Goal: no edit gives a fresh burst, whether or not the endpoint is in
/// memory. Method: none to limit, limit to none and back, one limit to another.
#[test]
fn an_edit_gives_no_fresh_burst() {
    let ten = limited(json!({"perSecond": 10, "burst": 10}));
    let large = limited(json!({"perSecond": 10, "burst": 1000}));
    let edits: [(&str, &[&Value]); 3] = [
        ("none to limit", &[&spec(), &ten]),
        ("limit to none and back", &[&ten, &spec(), &ten]),
        ("one limit to another", &[&ten, &large]),
    ];
    for (what, specs) in edits {
        for idle in [true, false] {
            let mut bench = Bench::new(specs[0].clone());
            let begin = 100_000;
            if !idle {
                fill(&mut bench, begin, 0..1);
            }
            for (generation, spec) in (2..).zip(&specs[1..]) {
                let change = Change::Endpoint(endpoint(1, generation, (*spec).clone()));
                bench.configure(begin + 10 * generation, vec![change]);
            }
            let at_once = fill(&mut bench, begin + 50, 1_000..1_200);
            let most = if what == "one limit to another" && !idle {
                10
            } else {
                0
            };
            assert!(at_once <= most, "{what}, idle {idle}: {at_once} at once");
            let later = starts(&mut bench, (begin + 60..begin + 1_050).step_by(10));
            assert!((8..=10).contains(&later.len()), "{what}: {}", later.len());
        }
    }
}

#[test]
fn rates_from_one_an_hour_to_fifty_thousand_a_second_are_kept() {
    for (limit, seconds, expected) in [
        (json!({"perHour": 1, "burst": 1}), 7_300, 2),
        (json!({"perMinute": 7, "burst": 1}), 600, 70),
        (json!({"perSecond": 3, "burst": 2}), 100, 300),
        (json!({"perSecond": 50_000, "burst": 1}), 0, 0),
    ] {
        let mut bench = Bench::new(limited(limit.clone()));
        let mut count = 0;
        for second in 0..=seconds * 10 {
            let millis = second * 100;
            count += fill(
                &mut bench,
                millis,
                u128::from(millis)..u128::from(millis) + 1,
            );
            for work in sends(&bench.step(millis, Event::Time)) {
                count += 1;
                count += sends(&bench.finish(millis, work, status(200))).len();
            }
            if count >= 2 && seconds == 0 {
                break;
            }
        }
        assert!(
            count <= expected + 1 && count + 2 >= expected,
            "{limit}: {count}"
        );
    }
    // The fastest one, by the nanosecond: a start a period, and one that is
    // asked for a nanosecond early waits for the next step.
    for (step, expected) in [(20_000, 10), (19_999, 5)] {
        let mut bench = Bench::new(limited(json!({"perSecond": 50_000, "burst": 1})));
        fill(&mut bench, 0, 0..20);
        let started = (1..=10).map(|i| sends(&bench.step_at(at(0).mono.0 + i * step)).len());
        assert_eq!(started.sum::<usize>(), expected, "every {step} ns");
    }
}

fn health_of(actions: &[Action]) -> Vec<Health> {
    let health = |action: &Action| match action {
        Action::Health(order) => Some(order.health),
        _ => None,
    };
    actions.iter().filter_map(health).collect()
}

fn credited(bench: &mut Bench, millis: u64, health: Health) -> Vec<Action> {
    let found = EndpointStatus {
        health: Some(health),
        ..EndpointStatus::default()
    };
    bench.configure(
        millis,
        vec![Change::Status(EndpointUid(1), Arc::new(found))],
    )
}

/// Goal: one request an hour is sent every hour although owners change every
/// ten minutes, and never more. Method: owners one after the other that hand
/// over what they write.
#[test]
fn a_slow_limit_goes_on_across_owners() {
    let hourly = limited(json!({"perHour": 1, "burst": 1}));
    let mut written: Option<Health> = None;
    let mut started = Vec::new();
    for owner in 0..48_u64 {
        let begin = owner * 600_000;
        let mut bench = Bench::new_at(begin, hourly.clone());
        if let Some(health) = written {
            credited(&mut bench, begin, health);
        }
        let actions = bench.read(begin + 1_000, vec![target(owner.into(), 1)]);
        let voided = health_of(&actions);
        assert!(voided.iter().all(|health| health.next_free.is_none()));
        assert_eq!(voided.len(), usize::from(written.is_some()), "taken once");
        for millis in (begin + 1_000..begin + 590_000).step_by(1_000) {
            let returned = Target {
                spills: 1,
                ..target(1_000 + u128::from(millis), 1)
            };
            let actions = bench.read(millis, vec![returned]);
            started.extend(sends(&actions).iter().map(|_| millis));
            started.extend(
                sends(&bench.step(millis, Event::Time))
                    .iter()
                    .map(|_| millis),
            );
        }
        let revoked = Event::LaneRevoked {
            lane: LANE,
            deadline: at(begin + 593_000).mono,
        };
        let actions = bench.step(begin + 590_000, revoked);
        let [health] = health_of(&actions)[..] else {
            panic!("{owner}: {:?}", health_of(&actions))
        };
        written = Some(health);
    }
    let gaps: Vec<u64> = started.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| *gap >= 3_600_000), "{gaps:?}");
    assert!(started.len() >= 6, "in eight hours: {started:?}");
}

/// A word that comes late counts only while nothing was started.
#[test]
fn a_late_word_of_a_former_owner_is_void_once_something_started() {
    let hourly = limited(json!({"perHour": 1, "burst": 1}));
    let word = Health {
        observed_generation: 1,
        next_free: Some(UnixMillis(T0.0 + 60_000)),
        ..Health::default()
    };
    let mut bench = Bench::new(hourly.clone());
    fill(&mut bench, 55_000, 0..1);
    let actions = credited(&mut bench, 55_000, word);
    assert_eq!(health_of(&actions).len(), 1, "it is taken");
    // The clocks of two owners may be a second apart.
    assert!(sends(&bench.step(60_999, Event::Time)).is_empty());
    assert_eq!(sends(&bench.step(61_000, Event::Time)).len(), 1);
    let returned = Target {
        spills: 1,
        ..target(7, 1)
    };
    bench.read(61_500, vec![returned]);
    let actions = credited(&mut bench, 62_000, word);
    assert_eq!(health_of(&actions).len(), 1, "it is void");
    assert!(sends(&actions).is_empty());
    assert!(sends(&bench.step(65_000, Event::Time)).is_empty());
    // About another spec it says nothing.
    let mut bench = Bench::new(hourly);
    let other = Health {
        observed_generation: 2,
        ..word
    };
    credited(&mut bench, 0, other);
    assert_eq!(fill(&mut bench, 70_000, 0..1), 0);
    assert!(sends(&bench.step(70_000 + 9_000, Event::Time)).is_empty());
}
