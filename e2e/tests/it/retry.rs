//! Failures: those that pass, and those that don't.

use std::cell::Cell;
use std::time::Duration;

use hooklane_model::ladder::Rung;
use hooklane_test_support::{Answer, Gate, Request, Script, Seen, wait_until};
use serde_json::{Value, json};

use crate::harness::{DEADLINE, Event, Pipeline, Service, Wants, subscription};

/// Due times are whole milliseconds, cut off.
const CUT_OFF: Duration = Duration::from_millis(1);

/// Goal: what fails at first is delivered once, by way of the delay topics,
/// and no attempt comes before its due time.
/// Method: receivers that refuse each delivery once or twice; with a queue
/// wait of 1 s every retry goes through a rung; gaps by the receiver's clock.
#[test]
fn flaky_endpoints_recover_through_the_ladder() {
    let p = Pipeline::new("ladder").set("HOOKLANE__DISPATCHER__QUEUE_WAIT", "1s");
    p.receiver
        .script("/tail", Script::fail_first(2, Answer::status(500)));
    p.receiver
        .script("/rung", Script::fail_first(1, Answer::status(503)));
    let schedule = ladder_only;
    let wanted = declare(
        &p,
        vec![
            p.endpoint("/tail", schedule(&["1s", "3s"])),
            p.endpoint("/rung", schedule(&["16s"])),
        ],
    );
    let _services = p.start_all();
    let mut events = some("/tail", 30);
    events.extend(some("/rung", 10));
    let expected = p.expect(&wanted, &events);
    p.events.store(&events);
    expected.wait(&p.receiver, DEADLINE);
    p.settled(DEADLINE);
    expected.check_once(&p.receiver);

    let seconds = Duration::from_secs;
    check_gaps(&p, "/tail", &[seconds(1), seconds(3)]);
    check_gaps(&p, "/rung", &[seconds(16)]);
    assert!(
        p.count(&p.names.delay(Rung::Tail)) >= 60,
        "two waits of 30 deliveries"
    );
    assert!(
        p.count(&p.names.delay(Rung::S15)) >= 10,
        "one wait of 10 deliveries"
    );
}

/// A schedule without a breaker, which would park what fails this often and
/// spend no attempt on it.
fn ladder_only(waits: &[&str]) -> Value {
    json!({"breaker": "none", "retry": {"schedule": waits, "jitter": 0.0}})
}

/// Each delivery on this path was tried once more than there are waits, each
/// time at least so much later.
fn check_gaps(p: &Pipeline, path: &str, waits: &[Duration]) {
    let all: Vec<Request> = p
        .receiver
        .requests()
        .into_iter()
        .filter(|r| r.route() == path)
        .collect();
    let mut ids: Vec<&str> = all.iter().map(Request::webhook_id).collect();
    ids.sort_unstable();
    ids.dedup();
    for id in ids {
        let attempts: Vec<&Request> = all.iter().filter(|r| r.webhook_id() == id).collect();
        assert_eq!(attempts.len(), waits.len() + 1, "{id} on {path}");
        for (pair, wait) in attempts.windows(2).zip(waits) {
            let gap = pair[1].at - pair[0].at;
            assert!(
                gap + CUT_OFF >= *wait,
                "{id}: {gap:?} after a failure, due after {wait:?}"
            );
        }
    }
}

/// Goal: a 429 holds the whole endpoint, for as long as `Retry-After` says in
/// any of its forms, spends no attempt, and nothing is lost behind it.
/// Method: an endpoint for each form; its first request is answered 429, one
/// at a time is open; the schedule has a single attempt, so a spent one would
/// be a dead letter. What says nothing usable, or centuries, holds for a minute
/// at least, and what waits there has to be in the books when the rest is done;
/// the one delivery that centuries leave no time for has expired.
#[test]
fn every_form_of_retry_after_holds_the_whole_endpoint() {
    let p = Pipeline::new("hold");
    let seconds = Duration::from_secs;
    let ends = [
        ("/seconds", seconds(4)),
        // Whole seconds, cut off.
        ("/date", DATE - seconds(1)),
        ("/nought", Duration::ZERO),
    ];
    let stays = [
        ("/negative", Some("-5")),
        ("/garbage", Some("soon")),
        ("/huge", Some("99999999999999999999")),
        ("/nothing", None),
    ];
    let refuse = |path: &str, value: Option<&str>| {
        let answer = Answer::status(429);
        let answer = value.map_or(answer.clone(), |value| answer.header("retry-after", value));
        p.receiver
            .script(path, Script::sequence(vec![answer, Answer::status(200)]));
    };
    refuse("/seconds", Some("4"));
    refuse("/nought", Some("0"));
    p.receiver.script("/date", Script::by(in_a_while));
    for (path, value) in stays {
        refuse(path, value);
    }
    let spec = json!({"maxConcurrency": 1, "retry": {"schedule": [], "jitter": 0.0}});
    let paths = || {
        ends.map(|(path, _)| path)
            .into_iter()
            .chain(stays.map(|(path, _)| path))
    };
    let endpoints = paths().map(|path| p.endpoint(path, spec.clone()));
    let wanted = declare(&p, endpoints.collect());
    let [_ingest, dispatcher, _scheduler] = p.start_all();
    let events: Vec<Event> = paths().flat_map(|path| some(path, HELD)).collect();
    p.events.store(&events);

    let comes = |event: &&Event| ends.iter().any(|(path, _)| *path == event.event_type);
    let expected = p.expect(&wanted, events.iter().filter(comes));
    let tally = expected.wait(&p.receiver, DEADLINE);
    assert_eq!(tally.repeats(), 0);
    for (path, wait) in ends {
        let gap = gap_after_the_first(&p, path);
        let gap = gap.unwrap_or_else(|| panic!("{path}: one request only"));
        assert!(
            gap + CUT_OFF >= wait,
            "{path}: {gap:?} after a 429 that asked for {wait:?}"
        );
        let count = p.receiver.count(path);
        assert_eq!(count, HELD + 1, "{path}: one refusal, then everything");
    }
    for (path, _) in stays {
        let gap = gap_after_the_first(&p, path);
        assert!(
            gap.is_none_or(|gap| gap + CUT_OFF >= HOLD),
            "{path}: {gap:?} after a 429"
        );
    }
    assert_eq!(p.receiver.count("/huge"), 1);
    dispatcher.wait_metric("hooklane_endpoints_held", &[], 1.0);
    // What would have to wait beyond its maxAge has its terminal record now.
    let dead = p.dead();
    assert_eq!(dead.len(), 1, "{dead:?}");
    let note = &dead[0].0;
    assert_eq!((&*note.reason, &*note.event_type), ("expired", "/huge"));
    let books = p.books();
    let of = |name: &str| books[name].as_u64().unwrap();
    assert_eq!(
        (of("pending") + of("delivered"), of("expired"), of("dead")),
        (events.len() as u64 - 1, 1, 0),
        "{books:#}"
    );
    assert_eq!(books["closes"], true, "{books:#}");
}

/// How long after the first request on a path the second one came.
fn gap_after_the_first(p: &Pipeline, path: &str) -> Option<Duration> {
    p.receiver.read(|all| {
        let mut mine = all.iter().filter(|r| r.route() == path);
        let first = mine.next()?;
        Some(mine.next()?.at - first.at)
    })
}

/// How long a 429 that says nothing usable holds.
const HOLD: Duration = Duration::from_secs(60);
/// Deliveries of each endpoint that is held.
const HELD: usize = 6;
/// How far away the date is that an endpoint asks for.
const DATE: Duration = Duration::from_secs(5);

/// 429 until a date, then 200.
fn in_a_while(seen: &Seen<'_>) -> Answer {
    if seen.nth_of_path > 1 {
        return Answer::status(200);
    }
    #[allow(
        clippy::disallowed_methods,
        reason = "a receiver says what its own clock will show"
    )]
    let date = std::time::SystemTime::now() + DATE;
    Answer::status(429).header("retry-after", &httpdate::fmt_http_date(date))
}

/// Goal: what can't be delivered ends in the dead topic with the event's own
/// bytes and its story, and nowhere else.
/// Method: one endpoint that always fails and one that always refuses, bytes
/// that are no text; the dead topic is read back and compared.
#[test]
fn permanent_failures_are_dead_lettered_with_their_bytes() {
    let p = Pipeline::new("dead");
    p.receiver
        .script("/fails", Script::always(Answer::status(500)));
    p.receiver
        .script("/refuses", Script::always(Answer::status(400)));
    let schedule = ladder_only;
    let wanted = declare(
        &p,
        vec![
            p.endpoint("/fails", schedule(&["1s"])),
            p.endpoint("/refuses", schedule(&["1s"; 5])),
        ],
    );
    let _services = p.start_all();
    let mut events = some("/fails", 10);
    events.extend(some("/refuses", 10));
    for (n, event) in events.iter_mut().enumerate() {
        event.payload = (0..=u8::MAX).chain([u8::try_from(n).unwrap()]).collect();
    }
    let expected = p.expect(&wanted, &events);
    p.events.store(&events);
    wait_until("20 dead letters", DEADLINE, || {
        p.count(&p.names.dead()) >= 20
    })
    .unwrap();
    let books = p.settled(DEADLINE);
    assert_eq!(
        (&books["dead"], &books["delivered"]),
        (&json!(20), &json!(0)),
        "{books:#}"
    );
    let dead = p.dead();
    assert_eq!(dead.len(), 20, "each once");
    for event in &events {
        let (note, bytes) = dead
            .iter()
            .find(|(note, _)| note.event_id == event.id)
            .unwrap();
        let path = event.event_type.as_str();
        let (reason, attempts, status) = if path == "/fails" {
            ("exhausted", 2, 500)
        } else {
            ("rejected", 3, 400)
        };
        assert_eq!(bytes, &event.payload, "{note:?}");
        assert_eq!((note.kind.as_str(), note.reason.as_str()), ("dead", reason));
        assert_eq!(
            (note.attempts, note.last_status),
            (attempts, Some(status)),
            "{note:?}"
        );
        assert_eq!(note.endpoint.as_deref(), Some(path.trim_start_matches('/')));
        assert_eq!(note.content_type.as_deref(), Some("application/json"));
        assert!(note.position.starts_with(&p.topic), "{note:?}");
        assert!(expected.ids().any(|id| id == note.delivery), "{note:?}");
        assert_eq!(p.receiver.count_id(&note.delivery), usize::from(attempts));
    }
}

/// Goal: a 410 disables the endpoint: nothing more is matched for it, the
/// status says why, and a new URL takes it all back.
/// Method: one refused event; then probes until ingest passes one over; the
/// receiver must never hear of the endpoint again until the URL is changed.
#[test]
fn gone_disables_until_the_url_changes() {
    let p = Pipeline::new("gone");
    p.receiver
        .script("/gone", Script::always(Answer::status(410)));
    declare(&p, vec![p.endpoint("/gone", json!({}))]);
    let [ingest, _dispatcher, _scheduler] = p.start_all();
    p.events.store(&some("/gone", 1));
    wait_until("the status says disabled", DEADLINE, || {
        p.get("endpoint", "acme", "gone")["status"]["state"] == "disabled"
    })
    .unwrap();
    let endpoint = p.get("endpoint", "acme", "gone");
    assert_eq!(
        endpoint["status"]["disabled"]["reason"], "gone",
        "{endpoint:#}"
    );
    let probes = Cell::new(0);
    let send = |path: &str| {
        probes.set(probes.get() + 1);
        let probe = Event::new(format!("probe{}", probes.get()), "acme", path);
        p.events.store(&[probe]);
    };
    wait_until("ingest passes events over", DEADLINE, || {
        send("/gone");
        ingest.metric("hooklane_disabled_deliveries_total", &[]) > 0.0
    })
    .unwrap();
    // Probes from before may lie in other partitions of the source.
    ingest_is_even(&ingest, probes.get() + 1);
    let written = p.count(&p.names.deliveries());
    let disabled = ingest.metric("hooklane_disabled_deliveries_total", &[]);
    send("/gone");
    ingest.wait_metric("hooklane_disabled_deliveries_total", &[], disabled + 1.0);
    ingest_is_even(&ingest, probes.get() + 1);
    assert_eq!(
        p.count(&p.names.deliveries()),
        written,
        "nothing is written for it"
    );
    assert_eq!(p.receiver.count("/gone"), 1, "called after it said 410");
    let books = p.settled(DEADLINE);
    assert_eq!(books["matched"], books["dead"], "{books:#}");
    let gone = p
        .dead()
        .into_iter()
        .filter(|(note, _)| note.reason == "gone")
        .count();
    assert_eq!(gone, 1);

    p.apply(&[p.endpoint("/gone", json!({"url": p.receiver.url("/moved")}))]);
    wait_until("the new URL is called", DEADLINE, || {
        send("/gone");
        p.receiver.count("/moved") > 0
    })
    .unwrap();
    assert_eq!(
        p.receiver.count("/gone"),
        1,
        "the old URL is called no more"
    );
}

/// Goal: `hooklane resume` enables what a 410 disabled, and a 410 to a request
/// of before the resume changes nothing when it comes late.
/// Method: of two open requests one is refused at once, the other when the
/// endpoint has been resumed and has taken another event.
#[test]
fn resume_enables_and_a_late_refusal_is_void() {
    let p = Pipeline::new("resume");
    let gate = Gate::default();
    let late = Answer::status(410).behind(&gate);
    p.receiver.script(
        "/back",
        Script::by(move |seen| match seen.nth_of_path {
            1 => Answer::status(410),
            2 => late.clone(),
            _ => Answer::status(200),
        }),
    );
    let patient = json!({"timeout": "1m", "maxConcurrency": 2});
    declare(&p, vec![p.endpoint("/back", patient)]);
    let _services = p.start_all();
    let state = || p.get("endpoint", "acme", "back")["status"]["state"].clone();
    p.events.store(&some("/back", 2));
    p.receiver.wait_count("/back", 2, DEADLINE).unwrap();
    wait_until("the status says disabled", DEADLINE, || {
        state() == "disabled"
    })
    .unwrap();
    let erp = ["endpoint", "back", "--tenant", "acme"];
    let shown = p.command(&[&["describe"][..], &erp].concat());
    assert!(shown.contains("the receiver answered 410 Gone"), "{shown}");

    let said = p.command(&[&["resume"][..], &erp].concat());
    assert_eq!(said, "Endpoint acme/back resumed\n");
    let probes = Cell::new(0);
    let called = |times: usize| {
        wait_until("it is called again", DEADLINE, || {
            probes.set(probes.get() + 1);
            let probe = Event::new(format!("probe{}", probes.get()), "acme", "/back");
            p.events.store(&[probe]);
            p.receiver.count("/back") > times
        })
        .unwrap();
    };
    called(2);
    gate.open();
    let books = p.settled(DEADLINE);
    assert_eq!(state(), "active", "after a late refusal: {books:#}");
    // Refused by what the endpoint was before, it is tried again.
    let dead = p.dead();
    let gone = dead.iter().filter(|(note, _)| note.reason == "gone");
    assert_eq!(gone.count(), 1, "{dead:?}");
    called(p.receiver.count("/back"));
}

/// Waits until ingest has read so many events and has none open.
fn ingest_is_even(ingest: &Service, events: u32) {
    ingest.wait_metric("hooklane_events_total", &[], f64::from(events));
    wait_until("no open offsets", DEADLINE, || {
        ingest.metric("hooklane_ingest_open_offsets", &[]) == 0.0
    })
    .unwrap();
}

/// Events whose type is the path of their endpoint.
fn some(path: &str, n: usize) -> Vec<Event> {
    (0..n)
        .map(|n| Event::new(format!("{path}{n}"), "acme", path))
        .collect()
}

/// Applies the endpoints, each with a subscription to the event type that is
/// its path.
fn declare(p: &Pipeline, endpoints: Vec<serde_json::Value>) -> Vec<Wants> {
    let mut manifests = vec![p.source()];
    let mut wanted = Vec::new();
    for endpoint in endpoints {
        let name = endpoint["metadata"]["name"].as_str().unwrap().to_owned();
        let path = format!("/{name}");
        manifests.push(endpoint);
        manifests.push(subscription(&name, &name, json!({"eventTypes": [path]})));
        let wants = path.clone();
        wanted.push(Wants::new(("acme", &name), &path, move |event| {
            event.event_type == wants
        }));
    }
    p.apply(&manifests);
    wanted
}
