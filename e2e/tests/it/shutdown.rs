//! The orderly end, under load.

use std::time::Duration;

use hooklane_test_support::{Answer, Fault, Script, wait_until};
use serde_json::{Value, json};

use crate::harness::{DEADLINE, Event, Kind, LANES, Pipeline, Service, Wants, subscription};

/// Goal: SIGTERM under load ends each service with exit code 0, phase after
/// phase and step after step, and nothing is lost or repeated.
/// Method: stop each of the three while events flow, read phases and steps in
/// its log, start it again; in the end everything came once.
#[test]
fn sigterm_drains_in_order() {
    let p = Pipeline::new("sigterm");
    // Answers take a moment, so that there is something to drain.
    p.receiver.script(
        "/hook",
        Script::always(Answer::status(200).after(Duration::from_millis(50))),
    );
    p.apply(&[
        p.source(),
        p.endpoint("/hook", json!({"maxConcurrency": 32})),
        subscription("all", "/hook", json!({})),
    ]);
    let wanted = [Wants::new(("acme", "all"), "/hook", |_| true)];
    let mut services = p.start_all();
    let load = p
        .events
        .load(200, |n| Event::new(format!("e{n}"), "acme", "order"));
    for (service, steps) in services.iter_mut().zip([
        [
            "wait for acknowledgements",
            "commit",
            "leave the group",
            "flush",
            "stop configuration",
        ]
        .as_slice(),
        &[
            "drain lanes",
            "leave the group",
            "flush records",
            "stop configuration",
            "stop workers",
        ],
        &["finish what is sent", "leave the group"],
    ]) {
        p.receiver
            .wait_count("/hook", p.receiver.count("/hook") + 200, DEADLINE)
            .unwrap();
        let code = service.process.sigterm_and_wait(DEADLINE).unwrap();
        assert_eq!(code, 0, "{:?}: {}", service.kind, service.process.log());
        in_order(service, steps);
        *service = p.spawn(service.kind);
        service.wait_ready();
    }
    let events = load.stop();
    let expected = p.expect(&wanted, &events);
    expected.wait(&p.receiver, DEADLINE);
    p.settled(DEADLINE);
    expected.check_once(&p.receiver);
}

/// The log tells of the phases one after the other, and of these steps.
fn in_order(service: &Service, steps: &[&str]) {
    let lines = service.log_lines();
    let words = |field: &str, of: &str| -> Vec<String> {
        let said = lines.iter().filter(|line| line["message"] == of);
        said.filter_map(|line| line[field].as_str().map(str::to_owned))
            .collect()
    };
    assert_eq!(
        words("to", "phase"),
        ["ready", "draining", "handing_over", "closed"]
    );
    let done = words("step", "step done");
    let known: Vec<&str> = done
        .iter()
        .map(String::as_str)
        .filter(|s| steps.contains(s))
        .collect();
    assert_eq!(known, steps, "{:?}: {done:?}", service.kind);
    let at = |wanted: &dyn Fn(&Value) -> bool| lines.iter().position(wanted).unwrap();
    let requested = at(&|line| line["message"] == "shutdown requested");
    let draining = at(&|line| line["to"] == "draining");
    let handing_over = at(&|line| line["to"] == "handing_over");
    let first = at(&|line| line["step"] == steps[0]);
    let leave = at(&|line| line["step"] == "leave the group");
    assert!(
        requested < draining && draining < first && first < handing_over && handing_over < leave
    );
    for line in &lines {
        let level = line["level"].as_str().unwrap();
        assert!(
            !["WARN", "ERROR"].contains(&level),
            "{:?} in calm: {line}",
            service.kind
        );
    }
}

/// Goal: a second SIGTERM ends a service at once, whatever is open, and what
/// was open is not lost.
/// Method: a receiver that never answers keeps the drain open for its 3 s; after
/// the second signal the process says that it is not drained, and the next one
/// delivers.
#[test]
fn a_second_sigterm_ends_at_once() {
    // The group has to notice that the first one is gone.
    let p = Pipeline::new("twice").with_short_sessions();
    p.receiver
        .script("/hook", Script::always(Answer::fault(Fault::Hang)));
    p.apply(&[
        p.source(),
        p.endpoint("/hook", json!({"timeout": "60s"})),
        subscription("all", "/hook", json!({})),
    ]);
    let [_ingest, mut dispatcher, _scheduler] = p.start_all();
    p.events.store(&[Event::new("e", "acme", "order")]);
    p.receiver.wait_count("/hook", 1, DEADLINE).unwrap();
    dispatcher.process.sigterm().unwrap();
    wait_until("draining", DEADLINE, || {
        dispatcher.process.log().contains("\"draining\"")
    })
    .unwrap();
    dispatcher.process.sigterm().unwrap();
    let code = dispatcher.process.wait_exit(DEADLINE).unwrap();
    assert_eq!(code, 1, "not drained, and it says so");
    assert!(!dispatcher.process.log().contains("lanes let go"));
    assert!(
        dispatcher.process.log().contains("drain lanes"),
        "what was open is named"
    );

    p.receiver
        .script("/hook", Script::always(Answer::status(200)));
    let _next = p.start([Kind::Dispatcher]);
    let books = p.settled(DEADLINE);
    assert_eq!(
        (&books["matched"], &books["delivered"]),
        (&json!(1), &json!(1)),
        "{books:#}"
    );
}

/// How long lanes that are let go wait for answers.
const ANSWERS: f64 = 3.0;
/// What comes on top at the most: the records of what is handed over, and the
/// commit, 2 s each.
const RECORDS_AND_COMMIT: f64 = 4.0;
/// How late the thread that does it may be.
const LATE: f64 = 2.0;
/// Endpoints that hang, and deliveries for each: all lanes have requests open.
const HANGING: usize = 36;
const EACH: usize = 10;

/// Goal: receivers that hang do not keep a dispatcher from giving its lanes up,
/// neither in a rebalance nor when it is told to go, and nothing is lost by it.
/// Method: every endpoint hangs, and has more waiting than it is asked at a time.
/// A second dispatcher takes half of the lanes, and then the first is told to
/// go; how long that took is what it says itself, in a metric and in its log. The
/// answers are waited for, so it is not less than that, and not until the
/// requests time out. Then the endpoints live.
#[test]
fn hanging_receivers_do_not_hold_up_a_hand_over() {
    let p = Pipeline::new("handover").with_long_queues();
    let mut manifests = vec![p.source()];
    let mut wanted = Vec::new();
    for n in 0..HANGING {
        let (path, name) = (format!("/hook{n}"), format!("s{n}"));
        let retry = json!({"schedule": vec!["1s"; 20], "jitter": 0.0});
        let spec = json!({
            "timeout": "20s", "maxConcurrency": 2, "breaker": "none", "retry": retry,
        });
        manifests.push(p.endpoint(&path, spec));
        manifests.push(subscription(&name, &path, json!({})));
        p.receiver
            .script(&path, Script::always(Answer::fault(Fault::Hang)));
        wanted.push(Wants::new(("acme", &name), &path, |_| true));
    }
    p.apply(&manifests);
    let [_ingest, mut first, _scheduler] = p.start_all();
    let event = |n| Event::new(format!("e{n}"), "acme", "order");
    let events: Vec<Event> = (0..EACH).map(event).collect();
    p.events.store(&events);
    wait_until("all to hang", DEADLINE, || {
        (0..HANGING).all(|n| p.receiver.count(&format!("/hook{n}")) > 0)
    })
    .unwrap();

    let [second] = p.start([Kind::Dispatcher]);
    first.owns(LANES / 2);
    second.owns(LANES / 2);
    first.wait_metric("hooklane_hand_over_seconds_count", &[], 1.0);
    let took = first.metric("hooklane_hand_over_seconds_sum", &[]);
    println!("{took:.2} s in a rebalance");
    waited_as_it_should(took, &first);

    let code = first.process.sigterm_and_wait(DEADLINE).unwrap();
    assert_eq!(code, 0, "{}", first.process.log());
    let lines = first.log_lines();
    let mut let_go = lines
        .iter()
        .filter(|line| line["message"] == "lanes let go");
    let took = let_go.next_back().unwrap()["took_seconds"]
        .as_f64()
        .unwrap();
    println!("{took:.2} s at the end");
    waited_as_it_should(took, &first);
    second.owns(LANES);

    for n in 0..HANGING {
        p.receiver
            .script(&format!("/hook{n}"), Script::always(Answer::status(200)));
    }
    let expected = p.expect(&wanted, &events);
    let tally = expected.wait(&p.receiver, DEADLINE);
    expected.check(&tally);
    let books = p.settled(DEADLINE);
    assert_eq!(books["delivered"], HANGING * EACH, "{books:#}");
}

/// Whether a hand-over with requests open that are not answered took its time,
/// and no more.
fn waited_as_it_should(took: f64, dispatcher: &Service) {
    let most = ANSWERS + RECORDS_AND_COMMIT + LATE;
    assert!(
        (ANSWERS..=most).contains(&took),
        "{took} s\n{}",
        dispatcher.process.log()
    );
    for line in dispatcher.log_lines() {
        assert_ne!(line["level"], "ERROR", "{line}");
    }
}
