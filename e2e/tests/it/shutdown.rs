//! The orderly end, under load.

use std::time::{Duration, Instant};

use hooklane_test_support::{Answer, Fault, Script, wait_until};
use serde_json::{Value, json};

use crate::harness::{DEADLINE, Event, Kind, Pipeline, Service, Wants, subscription};

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
/// Method: a receiver that never answers keeps the drain open for half of the
/// shutdown's minute; after the second signal the process is gone long before
/// that, and the next one delivers.
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
    let second = Instant::now();
    let code = dispatcher.process.wait_exit(DEADLINE).unwrap();
    let took = second.elapsed();
    assert_eq!(code, 1, "not drained, and it says so");
    assert!(
        took < Duration::from_secs(10),
        "{took:?}\n{}",
        dispatcher.process.log()
    );
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
