//! Receivers that are asked whether they want to be called.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hooklane_test_support::{Answer, Request, Script, wait_until};
use serde_json::{Value, json};

use crate::harness::{DEADLINE, Event, Kind, Pipeline, Wants, is_question, subscription};
use crate::limit::most_beyond;

const ORIGIN: &str = "hooks.acme.example";
/// Requests a minute that the receiver of the handshake allows.
const ALLOWED: u32 = 120;
/// A second's worth of them, and the one that starts it.
const BURST: u32 = 3;
/// What the sender's thread may be late, beside what the receiver's is.
const SENDER_LATE: f64 = 0.1;
/// Events before the consent, and after the dispatcher was killed: each a
/// multiple of the burst.
const BEFORE: usize = 24;
const AFTER: usize = 12;
const PATHS: [&str; 3] = ["/handshake", "/challenge", "/ping"];

/// Goal: nothing is delivered before the receiver agrees, then all of it, no
/// faster than it allows; a consent outlives the dispatcher that got it.
/// Method: a receiver that answers a handshake with 200 and no consent until
/// events are parked, and then consents to a rate; windows of that rate by its
/// clock; two more that give a token back, or just answer; the dispatcher is
/// killed and another started, and questions are counted.
#[test]
fn nothing_is_delivered_before_the_receiver_agrees() {
    let p = Pipeline::new("verify")
        .with_short_sessions()
        .set("HOOKLANE__DISPATCHER__ORIGIN", ORIGIN);
    let consents = receivers(&p);
    let endpoints = PATHS.map(|path| p.endpoint(path, json!({"verification": &path[1..]})));
    let subscriptions = PATHS.map(|path| subscription(&path[1..], path, json!({})));
    p.apply(&[&[p.source()][..], &endpoints, &subscriptions].concat());
    let wanted = PATHS.map(|path| Wants::new(("acme", &path[1..]), path, |_| true));
    let [ingest, dispatcher, scheduler] = p.start_all();

    let status = |path: &str| p.get("endpoint", "acme", &path[1..])["status"].clone();
    let is = |path: &str, state: &str| status(path)["state"] == state;
    wait_until("answers to all questions", DEADLINE, || {
        let refused = status("/handshake")["unverified"].is_object();
        refused && is("/challenge", "active") && is("/ping", "active")
    })
    .unwrap();
    let before: Vec<Event> = events("before", BEFORE);
    p.events.store(&before);
    let unverified = [("reason", "unverified")];
    #[allow(clippy::cast_precision_loss, reason = "a few")]
    dispatcher.wait_metric("hooklane_parked_total", &unverified, BEFORE as f64);
    for path in ["/challenge", "/ping"] {
        p.receiver
            .wait_until("deliveries", DEADLINE, |all| {
                deliveries(all, path).count() >= BEFORE
            })
            .unwrap();
    }
    p.receiver_is_even();
    p.receiver.read(|all| {
        assert_eq!(deliveries(all, "/handshake").count(), 0, "not agreed to");
    });
    is_shown_as_unverified(&p, &status("/handshake"));

    consents.store(true, Ordering::SeqCst);
    p.command(&["verify", "handshake", "--tenant", "acme"]);
    let expected = p.expect(&wanted, &before);
    expected.wait(&p.receiver, DEADLINE);
    p.settled(DEADLINE);
    let agreed = status("/handshake");
    assert_eq!(agreed["state"], "active", "{agreed:#}");
    let allowed = &agreed["verification"]["allowedPerMinute"];
    assert_eq!(allowed, ALLOWED, "{agreed:#}");
    expected.check_once(&p.receiver);

    let asked = || PATHS.map(|path| p.receiver.read(|all| questions(all, path).count()));
    let asked_before = asked();
    drop(dispatcher);
    let [dispatcher] = p.start([Kind::Dispatcher]);
    let after = events("after", AFTER);
    p.events.store(&after);
    let expected = p.expect(&wanted, before.iter().chain(&after));
    expected.wait(&p.receiver, DEADLINE);
    p.settled(DEADLINE);
    expected.check_once(&p.receiver);
    assert_eq!(asked(), asked_before, "asked again by the next dispatcher");
    assert_eq!(asked_before[1..], [1, 1], "once is enough");
    p.receiver.read(|all| {
        for request in all.iter().filter(|r| r.route() == "/handshake") {
            let origin = request.header("webhook-request-origin");
            assert_eq!(origin, Some(ORIGIN), "{request:?}");
        }
    });
    came_as_allowed(&p);

    // A person has it renewed; nothing else is asked for it.
    p.command(&["verify", "handshake", "--tenant", "acme"]);
    wait_until("a consent that is newer", DEADLINE, || {
        let renewed = status("/handshake")["verification"]["verifiedAt"].clone();
        renewed.is_string() && renewed != agreed["verification"]["verifiedAt"]
    })
    .unwrap();
    let asked_once_more = [asked_before[0] + 1, asked_before[1], asked_before[2]];
    assert_eq!(asked(), asked_once_more);
    for service in [ingest, dispatcher, scheduler] {
        service.stop();
    }
}

/// Has the receiver answer by path. Returns what makes it consent to the
/// handshake.
fn receivers(p: &Pipeline) -> Arc<AtomicBool> {
    let consents = Arc::new(AtomicBool::new(false));
    let agrees = consents.clone();
    let handshake = Script::by(move |seen| {
        let answer = Answer::status(200);
        if seen.request.method != "OPTIONS" || !agrees.load(Ordering::SeqCst) {
            return answer;
        }
        answer
            .header("webhook-allowed-origin", ORIGIN)
            .header("webhook-allowed-rate", &ALLOWED.to_string())
    });
    p.receiver.script("/handshake", handshake);
    let challenge = Script::always(Answer::status(200).reply(token));
    p.receiver.script("/challenge", challenge);
    consents
}

/// What is to be given back of a challenge; nothing of a delivery.
fn token(body: &[u8]) -> Vec<u8> {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let token = body["challenge"].as_str().unwrap_or_default();
    token.as_bytes().to_vec()
}

fn events(name: &str, count: usize) -> Vec<Event> {
    let event = |n| Event::new(format!("{name}{n}"), "acme", "order");
    (0..count).map(event).collect()
}

fn deliveries<'a>(all: &'a [Request], path: &str) -> impl Iterator<Item = &'a Request> {
    all.iter()
        .filter(move |request| request.route() == path && !is_question(request))
}

fn questions<'a>(all: &'a [Request], path: &str) -> impl Iterator<Item = &'a Request> {
    all.iter()
        .filter(move |request| request.route() == path && is_question(request))
}

/// Who looks at the endpoint of the handshake sees what it waits for.
fn is_shown_as_unverified(p: &Pipeline, status: &Value) {
    assert_eq!(status["state"], "unverified", "{status:#}");
    let why = &status["unverified"];
    assert_eq!(
        (&why["reason"], &why["status"]),
        (&json!("no_consent"), &json!(200)),
        "{status:#}"
    );
    let shown = p.command(&["describe", "endpoint", "handshake", "--tenant", "acme"]);
    for line in [
        "\nState:       unverified: ",
        "\nConsent:     handshake: no_consent (status 200); asked in vain since ",
    ] {
        assert!(shown.contains(line), "{line:?} is not in {shown}");
    }
    let listed = p.command(&["get", "endpoints", "--tenant", "acme"]);
    let line = listed.lines().find(|line| line.contains("handshake"));
    assert!(line.is_some_and(|l| l.contains("unverified")), "{listed}");
}

/// No window of the whole run held more deliveries than the receiver allows.
fn came_as_allowed(p: &Pipeline) {
    let times = p.receiver.read(|all| {
        let begin = all[0].at;
        let times = deliveries(all, "/handshake");
        times
            .map(|request| request.at.saturating_duration_since(begin).as_secs_f64())
            .collect()
    });
    let per_second = f64::from(ALLOWED) / 60.0;
    let beyond = most_beyond(times, |at| per_second * at, f64::from(BURST));
    let late = p.receiver.longest_stall().as_secs_f64() + SENDER_LATE;
    println!("{beyond:.2} beyond what the receiver allows");
    assert!(
        beyond <= per_second * late,
        "{beyond} requests too many in a window"
    );
}
