//! Access tokens, from the command to the receiver.

use hooklane_test_support::{Answer, Request, Script, base64};
use serde_json::{Value, json};

use super::Vault;
use crate::harness::{DEADLINE, Pipeline, subscription};

/// The spec of an endpoint whose tokens come from a path of the receiver.
pub(super) fn spec(p: &Pipeline, token_path: &str, secret: &str) -> Value {
    json!({
        "retry": {"schedule": ["1s", "1s"], "jitter": 0.0},
        "signing": {"scheme": "none"},
        "auth": {"oauth2": {
            "tokenUrl": p.receiver.url(token_path),
            "clientId": "hooks",
            "clientSecret": {"value": secret},
            "scopes": ["hooks:write"],
        }},
    })
}

/// The answer of a token server that gives this token.
pub(super) fn grant(token: &str) -> Answer {
    let body = json!({"access_token": token, "token_type": "bearer", "expires_in": 600});
    Answer::status(200).body(body.to_string())
}

/// One that gives a token, one that refuses and one whose answer is of no use,
/// both with more text than anybody needs.
pub(super) fn token_servers(p: &Pipeline, token: &str, said: &str) {
    let refusal = json!({"error": said, "error_description": said, "error_uri": said});
    let useless = json!({"access_token": said, "token_type": said, "expires_in": said});
    for (path, answer) in [
        ("/token", grant(token)),
        ("/no-token", Answer::status(401).body(refusal.to_string())),
        ("/bad-token", Answer::status(200).body(useless.to_string())),
    ] {
        p.receiver.script(path, Script::always(answer));
    }
}

/// Goal: a token server that is down loses nothing, and when it is back, or a
/// token is revoked, deliveries go on without an attempt spent.
/// Method: the command seals the client's secret; a token server that fails
/// first; then a receiver that lets in another token only.
#[test]
fn deliveries_outlive_their_token_server_and_their_token() {
    let vault = Vault::new("oauth");
    let p = &vault.p;
    let secret = "s3cret/of the+client";
    let answers = vec![Answer::status(503), grant("t1"), grant("t2")];
    p.receiver.script("/token", Script::sequence(answers));
    vault.apply(&[
        p.source(),
        p.endpoint("/hook", spec(p, "/token", secret)),
        subscription("all", "hook", json!({})),
    ]);
    let services = p.start_all();
    for n in 0..5 {
        vault.send(&format!("first-{n}"));
    }
    p.receiver.wait_count("/hook", 5, DEADLINE).unwrap();
    let with = |token: &str, seen: &Request| {
        let shown = seen.header("authorization").unwrap_or_default();
        shown == format!("Bearer {token}")
    };
    assert!(p.receiver.read(|all| {
        let mut hooks = all.iter().filter(|r| r.route() == "/hook");
        hooks.all(|request| with("t1", request))
    }));
    let revoked = Script::by(move |seen| {
        let good = with("t2", seen.request);
        Answer::status(if good { 200 } else { 401 })
    });
    p.receiver.script("/hook", revoked);
    for n in 0..5 {
        vault.send(&format!("second-{n}"));
    }
    let books = p.settled(DEADLINE);
    assert_eq!(
        (&books["delivered"], &books["dead"]),
        (&json!(10), &json!(0))
    );
    // Whoever asks is who the manifest says, form-encoded before base64.
    let requests = p.receiver.requests();
    let asked: Vec<&Request> = requests.iter().filter(|r| r.route() == "/token").collect();
    assert_eq!(asked.len(), 3);
    let basic = base64(b"hooks:s3cret%2Fof+the%2Bclient");
    for request in asked {
        let shown = request.header("authorization").unwrap();
        assert_eq!(shown, format!("Basic {basic}"));
        let body = String::from_utf8(request.body.clone()).unwrap();
        assert_eq!(body, "grant_type=client_credentials&scope=hooks%3Awrite");
    }
    let attempts = p.records(&p.names.attempts());
    let attempts = attempts.iter().filter_map(|record| record.value.as_ref());
    for attempt in attempts.flat_map(|value| serde_json::from_slice::<Vec<Value>>(value).unwrap()) {
        assert_eq!(attempt["attempt"], 1, "{attempt}");
    }
    for service in services {
        service.stop();
    }
}
