//! What leaves a running dispatcher: where to, and through whom.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use hooklane_test_support::{
    Answer, Canary, ConnectAnswer, ConnectProxy, DnsAnswer, DnsQuestion, DnsServer, Script,
    free_addr, wait_for, wait_until,
};
use serde_json::{Value, json};

use crate::harness::{DEADLINE, Event, Pipeline, Service, subscription};

const FAILURES: &str = "hooklane_attempt_failures_total";

impl Pipeline {
    fn with_names(self, server: &DnsServer) -> Self {
        let addr = server.addr().to_string();
        self.set("HOOKLANE__EGRESS__DNS_SERVERS", &addr)
    }

    /// An endpoint at a name, and its subscription to events of its own type.
    fn named(&self, name: &str, port: u16) -> [Value; 2] {
        let spec = json!({
            "url": format!("http://{name}.example:{port}/{name}"),
            "retry": {"schedule": ["1s"], "jitter": 0.0},
        });
        [
            self.endpoint(&format!("/{name}"), spec),
            subscription(name, name, json!({"eventTypes": [name]})),
        ]
    }

    /// One event for each of these endpoints.
    fn send_to(&self, nth: usize, names: &[&str]) {
        let event = |name: &&str| Event::new(format!("{name}-{nth}"), "acme", name);
        self.events
            .store(&names.iter().map(event).collect::<Vec<_>>());
    }

    /// The attempts at an endpoint so far.
    fn attempts_at(&self, name: &str) -> Vec<Value> {
        let records = self.records(&self.names.attempts());
        let read = |value: &[u8]| serde_json::from_slice::<Vec<Value>>(value).unwrap();
        let all = records.iter().flat_map(|r| read(r.value.as_ref().unwrap()));
        all.filter(|attempt| attempt["endpoint"] == name).collect()
    }
}

/// Goal: a name is judged by all of its answers, whenever a connection is
/// made: what has become private is not called, and nor is what is so in part.
/// To its tenant that looks like a receiver that is not there.
/// Method: a name server that rebinds and mixes; only 127.0.0.1 is allowed, and
/// a canary listens beside the receiver, on 127.0.0.2.
#[test]
fn names_that_rebind_or_mix_reach_nobody() {
    let server = DnsServer::start(move |question: &DnsQuestion| {
        let (good, bad) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2]));
        let answers = match question.name.as_str() {
            "mixed.example." => vec![good, bad],
            "rebind.example." if question.nth > 1 => vec![bad],
            _ => vec![good],
        };
        DnsAnswer::Addresses(answers, 0)
    })
    .unwrap();
    let p = Pipeline::new("names").with_names(&server);
    let p = p.set("HOOKLANE__EGRESS__ALLOW_CIDRS", "127.0.0.1/32");
    let port = p.receiver.addr().port();
    let canary = Canary::at(([127, 0, 0, 2], port).into()).unwrap();
    // Each request needs a connection, and so an answer that is not yet old.
    let close = Answer::status(200).header("connection", "close");
    p.receiver.script("/rebind", Script::always(close));
    let nobody = free_addr().unwrap().port();
    let mut manifests = vec![p.source()];
    manifests.extend(p.named("good", port));
    manifests.extend(p.named("mixed", port));
    manifests.extend(p.named("rebind", port));
    manifests.extend(p.named("refused", nobody));
    p.apply(&manifests);
    let services = p.start_all();
    let [_, dispatcher, _] = &services;
    let forbidden = || dispatcher.metric(FAILURES, &[("reason", "forbidden_address")]);
    p.send_to(0, &["good", "mixed", "refused"]);
    p.receiver.wait_count("/good", 1, DEADLINE).unwrap();
    let host = p.receiver.requests()[0].header("host").map(str::to_owned);
    assert_eq!(host, Some(format!("good.example:{port}")));
    wait_until("two attempts at mixed and refused each", DEADLINE, || {
        ["mixed", "refused"].map(|name| p.attempts_at(name).len()) == [2, 2]
    })
    .unwrap();
    assert_eq!(forbidden(), 2.0);
    let told = |name: &str| {
        let fields = [
            "attempt",
            "outcome",
            "failure",
            "side",
            "durationMs",
            "status",
        ];
        let of = |attempt: &Value| fields.map(|field| attempt[field].clone());
        p.attempts_at(name).iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(
        told("mixed"),
        told("refused"),
        "to tenants they are the same"
    );
    assert_eq!(told("mixed")[0][2], "unreachable");

    let mut sent = 0;
    wait_until("a call that the new answer forbids", DEADLINE, || {
        let (before, delivered) = (forbidden(), p.receiver.count("/rebind"));
        sent += 1;
        p.send_to(sent, &["rebind"]);
        wait_until("the next attempt", DEADLINE, || {
            p.receiver.count("/rebind") > delivered || forbidden() > before
        })
        .unwrap();
        forbidden() > before
    })
    .unwrap();
    assert!(p.receiver.count("/rebind") >= 1, "at first it was good");
    assert_eq!(p.receiver.count("/mixed"), 0);
    canary.heard_nothing().unwrap();
    println!("{sent} events for a name that rebinds");
    for service in services {
        service.stop();
    }
}

/// Goal: a proxy that refuses or dies is no fault of any endpoint: no attempt
/// is spent, no breaker opens, nobody is told more than that it is ours, and
/// deliveries flow when it is back. What it says of the receiver counts.
/// Method: a proxy that refuses two of four receivers with 403 and 407, says
/// 502 of the third, and then dies; it comes back and refuses nobody.
#[test]
fn a_proxy_that_fails_costs_no_attempt() {
    let server = one_address_each();
    let addr = free_addr().unwrap();
    let p = Pipeline::new("proxy")
        .with_names(&server)
        .with_long_queues()
        .set("HOOKLANE__EGRESS__PROXY", &format!("http://{addr}"))
        .set("HOOKLANE__EGRESS__PROXY_AUTHORIZATION", "Basic Y2FuYXJ5");
    let receiver = p.receiver.addr();
    let through = Arc::new(AtomicUsize::new(0));
    let start = |refuses: bool| {
        let through = Arc::clone(&through);
        ConnectProxy::start(addr, move |asked| match asked.target.split_once(':') {
            Some(("127.0.0.2", _)) if refuses => ConnectAnswer::Status(403),
            Some(("127.0.0.3", _)) if refuses => ConnectAnswer::Status(407),
            Some(("127.0.0.4", _)) => ConnectAnswer::Status(502),
            _ => {
                through.fetch_add(1, SeqCst);
                ConnectAnswer::Through(receiver)
            }
        })
        .unwrap()
    };
    let first = start(true);
    let mut manifests = vec![p.source()];
    for name in ["ok", "denied", "unknown", "lost", "private"] {
        manifests.extend(p.named(name, receiver.port()));
    }
    p.apply(&manifests);
    let services = p.start_all();
    let [_, dispatcher, _] = &services;
    p.send_to(1, &["ok", "denied", "unknown", "lost", "private"]);
    p.receiver.wait_count("/ok", 1, DEADLINE).unwrap();
    for name in ["denied", "unknown"] {
        is_held_by_us(&p, name);
    }
    let failures = |reason| dispatcher.metric(FAILURES, &[("reason", reason)]);
    assert_eq!(failures("proxy"), 2.0);
    let mut asked = first.asked();
    drop(first);
    p.send_to(2, &["ok"]);
    is_held_by_us(&p, "ok");
    let second = start(false);
    for (path, count) in [("/ok", 2), ("/denied", 1), ("/unknown", 1)] {
        p.receiver.wait_count(path, count, DEADLINE).unwrap();
    }
    wait_until("two dead letters", DEADLINE, || {
        p.count(&p.names.dead()) == 2
    })
    .unwrap();
    assert_eq!(failures("forbidden_address"), 2.0);
    for (note, _) in p.dead() {
        assert_eq!(
            note.last_failure.as_deref(),
            Some("unreachable"),
            "{note:?}"
        );
        assert_eq!(note.attempts, 2, "{note:?}");
    }
    for name in ["ok", "denied", "unknown"] {
        nothing_was_spent(&p, name);
    }
    asked.extend(second.asked());
    for question in &asked {
        assert!(question.target.starts_with("127.0.0."), "{question:?}");
        assert_eq!(question.authorization.as_deref(), Some("Basic Y2FuYXJ5"));
    }
    assert_eq!(
        p.receiver.connections(),
        through.load(SeqCst),
        "no other way"
    );
    operators_are_told(services);
}

/// A name server that knows each receiver's own address, and a private one.
fn one_address_each() -> DnsServer {
    let zone = |question: &DnsQuestion| {
        let ip = match question.name.as_str() {
            "ok.example." => [127, 0, 0, 1],
            "denied.example." => [127, 0, 0, 2],
            "unknown.example." => [127, 0, 0, 3],
            "lost.example." => [127, 0, 0, 4],
            _ => [10, 0, 0, 1],
        };
        DnsAnswer::Addresses(vec![IpAddr::from(ip)], 60)
    };
    DnsServer::start(zone).unwrap()
}

/// It waits at no fault of its own, which nothing counts against it.
fn is_held_by_us(p: &Pipeline, name: &str) {
    let held = wait_for(&format!("a snapshot of {name}"), DEADLINE, || {
        let status = &p.get("endpoint", "acme", name)["status"];
        let snapshot = status["snapshot"].clone();
        snapshot["heldUntil"].is_string().then_some(snapshot)
    })
    .unwrap();
    assert_eq!(held["breaker"], "closed", "{held:#}");
    assert_eq!(held["lastFailure"]["failure"], "internal", "{held:#}");
    assert_eq!(held["lastFailure"]["side"], "us", "{held:#}");
}

fn nothing_was_spent(p: &Pipeline, name: &str) {
    let attempts = p.attempts_at(name);
    let failed = attempts.iter().filter(|a| a["failure"] == "internal");
    assert!(failed.clone().count() >= 1, "{attempts:#?}");
    for attempt in &attempts {
        assert_eq!(attempt["attempt"], 1, "{attempt:#}");
        let ours = attempt["failure"] == "internal";
        assert_eq!(attempt["side"] == "us", ours, "{attempt:#}");
        assert_eq!(attempt["status"] == 200, !ours, "{attempt:#}");
    }
}

fn operators_are_told(services: [Service; 3]) {
    for service in services {
        let kind = service.kind;
        let log = service.stop_and_log();
        assert!(!log.contains("Y2FuYXJ5"), "{log}");
        let told = log.contains("no request can be made") && log.contains("\"proxy\"");
        assert_eq!(told, kind == crate::harness::Kind::Dispatcher, "{log}");
    }
}
