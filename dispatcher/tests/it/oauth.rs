//! Deliveries that show an access token: which requests are made, what they
//! cost, and what is written down of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hooklane_test_support::{Answer, Fault, Request, Script};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{DEADLINE, Harness, Made, Time};

/// Which of the tokens `t1`, `t2`, ... receivers let in.
#[derive(Clone)]
struct Valid(Arc<AtomicUsize>);

impl Valid {
    fn first() -> Self {
        Self(Arc::new(AtomicUsize::new(1)))
    }

    /// Nothing but the nth is let in from now on.
    fn set(&self, nth: usize) {
        self.0.store(nth, Ordering::SeqCst);
    }

    /// 401 unless the request shows the token that is let in.
    fn receiver(&self) -> Script {
        let valid = self.clone();
        Script::by(move |seen| {
            let token = format!("Bearer t{}", valid.0.load(Ordering::SeqCst));
            let shown = seen.request.header("authorization");
            Answer::status(if shown == Some(&token) { 200 } else { 401 })
        })
    }
}

/// A token server: its nth answer is token `t<n>`.
fn token_server() -> Script {
    Script::by(|seen| {
        let token = format!("t{}", seen.nth_of_path);
        let body = json!({"access_token": token, "token_type": "bearer", "expires_in": 3600});
        Answer::status(200).body(body.to_string())
    })
}

/// A dispatcher whose endpoints get their tokens there.
struct World {
    h: Harness,
    /// Mounted for tenant `t`: the client's secret.
    _secrets: TempDir,
}

fn start(paths: &[&str], token_url: &str, more: Value) -> World {
    let secrets = tempfile::tempdir().unwrap();
    std::fs::create_dir(secrets.path().join("t")).unwrap();
    std::fs::write(secrets.path().join("t/client"), "hunter2\n").unwrap();
    let mut spec = json!({
        "retry": {"schedule": ["1s", "1s"], "jitter": 0.0},
        "timeout": "5s",
        "signing": {"scheme": "none"},
        "auth": {"oauth2": {
            "tokenUrl": token_url,
            "clientId": "hooks",
            "clientSecret": {"valueFrom": {"file": "client"}},
        }},
    });
    if let (Value::Object(spec), Value::Object(more)) = (&mut spec, more) {
        spec.extend(more);
    }
    let made = Made {
        time: Time::default(),
        spec,
        keys: vec![("secrets.directory", secrets.path().display().to_string())],
    };
    let h = Harness::made(made, paths);
    h.receiver.script("/token", token_server());
    World {
        h,
        _secrets: secrets,
    }
}

/// The path of the receiver that gives tokens.
const TOKEN: &str = "RECEIVER/token";

fn with_status(requests: &[Request], path: &str, status: u16) -> usize {
    let of = |r: &&Request| r.route() == path && r.status == Some(status);
    requests.iter().filter(of).count()
}

/// Goal: a token is asked for once by all who wait, and a 401 to it when it
/// was good is answered with another one, within the attempt.
#[test]
fn a_401_to_a_token_that_was_good_is_answered_with_another_one() {
    let world = start(&["/a"], TOKEN, json!({}));
    let h = &world.h;
    let valid = Valid::first();
    h.receiver.script("/a", valid.receiver());
    for n in 0..20 {
        h.produce(format!("{n}").as_bytes(), &["/a"], 1);
    }
    h.wait_metric("hooklane_delivered_total", 20.0);
    assert_eq!(h.receiver.count("/token"), 1);
    assert_eq!(with_status(&h.receiver.requests(), "/a", 200), 20);
    valid.set(2);
    for n in 0..20 {
        h.produce(format!("{n}").as_bytes(), &["/a"], 1);
    }
    h.wait_metric("hooklane_delivered_total", 40.0);
    h.wait_committed();
    let requests = h.receiver.requests();
    assert_eq!(h.receiver.count("/token"), 2);
    assert_eq!(with_status(&requests, "/a", 200), 40);
    let refused = with_status(&requests, "/a", 401);
    assert!((1..=8).contains(&refused), "{refused} of 8 at a time");
    // Two requests, one attempt.
    let attempts = h.attempts();
    assert_eq!(attempts.len(), 40);
    for attempt in &attempts {
        assert_eq!(
            (&attempt["outcome"], &attempt["attempt"], &attempt["status"]),
            (&json!("delivered"), &json!(1), &json!(200))
        );
    }
    h.wait_metric("hooklane_tokens_replaced_total", 1.0);
    h.wait_metric("hooklane_token_requests_total", 2.0);
    // Both requests of an attempt have its id and the same bytes.
    let first = requests.iter().find(|r| r.status == Some(401)).unwrap();
    let again = |r: &&Request| r.webhook_id() == first.webhook_id() && r.status == Some(200);
    let again = requests.iter().find(again).unwrap();
    assert_eq!(first.body, again.body);
    world.h.stop();
}

/// Goal: a receiver that refuses every token is a receiver that refuses.
#[test]
fn a_401_to_a_new_token_is_the_receivers_word() {
    let world = start(&["/a"], TOKEN, json!({}));
    let h = &world.h;
    let valid = Valid::first();
    valid.set(0);
    h.receiver.script("/a", valid.receiver());
    h.produce(b"1", &["/a"], 1);
    h.wait_records(&h.names.dead(), 1);
    assert_eq!(h.receiver.count("/token"), 1);
    assert_eq!(h.receiver.count("/a"), 3, "as any other 4xx");
    world.h.stop();
}

/// Goal: the second request of an attempt is a start like any other, and the
/// limit is exact.
/// Method: a limit that has no second token within the timeout.
#[test]
fn the_second_request_is_not_made_without_its_turn_at_the_limit() {
    let limit = json!({"rateLimit": {"perSecond": 1, "burst": 1}, "timeout": "500ms"});
    let world = start(&["/a"], TOKEN, limit);
    let h = &world.h;
    let valid = Valid::first();
    h.receiver.script("/a", valid.receiver());
    h.produce(b"1", &["/a"], 1);
    h.wait_metric("hooklane_delivered_total", 1.0);
    valid.set(2);
    h.produce(b"2", &["/a"], 1);
    h.wait_metric("hooklane_delivered_total", 2.0);
    h.wait_committed();
    let attempts = h.attempts();
    let of = |n: usize| {
        let attempt = &attempts[n];
        let fields = ["outcome", "attempt", "failure", "side"];
        fields.map(|field| attempt[field].clone())
    };
    assert_eq!(attempts.len(), 3, "{attempts:?}");
    let put_off = [
        json!("retry"),
        json!(1),
        json!("token_rejected"),
        json!("receiver"),
    ];
    assert_eq!(of(1), put_off);
    assert_eq!(
        of(2),
        [json!("delivered"), json!(2), Value::Null, Value::Null]
    );
    assert_eq!(h.receiver.count("/a"), 3);
    world.h.stop();
}

/// Goal: a receiver that takes all the time for its 401 has refused a request,
/// and is not excused by the token server, which had no time to answer.
/// Method: its head comes at once, its body never whole.
#[test]
fn a_401_that_takes_all_the_time_spends_its_attempt() {
    let world = start(&["/a"], TOKEN, json!({"timeout": "500ms"}));
    let h = &world.h;
    h.receiver.script(
        "/a",
        Script::by(|seen| match seen.nth_of_path {
            2 => Answer {
                fault: Fault::DripBody(Duration::from_secs(3_600)),
                ..Answer::status(401).body("refused")
            },
            _ => Answer::status(200),
        }),
    );
    h.produce(b"1", &["/a"], 1);
    h.wait_metric("hooklane_delivered_total", 1.0);
    h.produce(b"2", &["/a"], 1);
    h.wait_records(&h.names.attempts(), 2);
    let attempt = h.attempts().remove(1);
    let fields = ["outcome", "attempt", "failure", "side"];
    let told = fields.map(|field| attempt[field].clone());
    let spent = [
        json!("retry"),
        json!(1),
        json!("token_rejected"),
        json!("receiver"),
    ];
    assert_eq!(told, spent);
    world.h.stop();
}

/// Goal: a token server that is down costs no attempt, is not asked by every
/// delivery, and lets no request go.
/// Method: more deliveries than are made at a time, to two endpoints; nobody
/// brings back here what was parked.
#[test]
fn a_token_server_that_is_down_lets_deliveries_wait() {
    let world = start(&["/a", "/b"], TOKEN, json!({"maxConcurrency": 4}));
    let h = &world.h;
    h.receiver
        .script("/token", Script::always(Answer::status(503)));
    for n in 0..10 {
        h.produce(format!("{n}").as_bytes(), &["/a", "/b"], 1);
    }
    h.wait_metric("hooklane_parked_total", 20.0);
    h.wait_committed();
    assert_eq!(h.receiver.count("/token"), 2, "each endpoint asks once");
    assert_eq!(h.receiver.count("/a") + h.receiver.count("/b"), 0);
    let attempts = h.attempts();
    assert!((2..=8).contains(&attempts.len()), "{attempts:?}");
    for attempt in &attempts {
        let fields = ["outcome", "failure", "side", "attempt"];
        let told = fields.map(|field| attempt[field].clone());
        let waits = [
            json!("held"),
            json!("token_unavailable"),
            json!("receiver"),
            json!(1),
        ];
        assert_eq!(told, waits);
    }
    assert_eq!(h.scan(&h.names.dead()).len(), 0);
    world.h.stop();
}

/// Goal: what tenants read tells nobody which addresses answer.
#[test]
fn an_unreachable_token_server_looks_like_a_forbidden_one() {
    let gone = hooklane_test_support::refused_url("/token").unwrap();
    // Public by its form, and refused: documentation's.
    let forbidden = "http://192.0.2.1:8080/token".to_owned();
    let mut told = Vec::new();
    for url in [gone, forbidden] {
        let world = start(&["/a"], &url, json!({}));
        let h = &world.h;
        h.produce(b"1", &["/a"], 1);
        h.wait_records(&h.names.attempts(), 1);
        let attempt = h.attempts().remove(0);
        let fields = ["outcome", "failure", "side", "durationMs", "status"];
        told.push(fields.map(|field| attempt[field].clone()));
        assert_eq!(h.receiver.connections(), 0);
        world.h.stop();
    }
    assert_eq!(told[0], told[1]);
    assert_eq!(told[0][1], "token_unreachable");
    assert_eq!(told[0][3], 0);
}

/// Goal: two endpoints never show each other's token.
#[test]
fn tokens_are_an_endpoints_own() {
    let world = start(&["/a", "/b"], TOKEN, json!({}));
    let h = &world.h;
    h.produce(b"1", &["/a", "/b"], 1);
    h.receiver.wait_count("/a", 1, DEADLINE).unwrap();
    h.receiver.wait_count("/b", 1, DEADLINE).unwrap();
    h.produce(b"2", &["/a", "/b"], 1);
    h.receiver.wait_count("/a", 2, DEADLINE).unwrap();
    h.receiver.wait_count("/b", 2, DEADLINE).unwrap();
    let requests = h.receiver.requests();
    let shown = |path: &str| {
        let of = requests.iter().filter(|r| r.route() == path);
        let mut shown: Vec<_> = of.filter_map(|r| r.header("authorization")).collect();
        shown.dedup();
        shown.join(" ")
    };
    let mut both = [shown("/a"), shown("/b")];
    both.sort();
    assert_eq!(both, ["Bearer t1", "Bearer t2"]);
    world.h.stop();
}
