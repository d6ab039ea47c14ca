//! Receivers that have not agreed: what they answered or did not, and that
//! nothing is delivered to them.

use hooklane_model::catalog::{Consent, Unverified};
use hooklane_test_support::{Answer, Fault, Receiver, Request, Script, wait_for};
use serde_json::{Value, json};

use crate::harness::{DEADLINE, Harness, Made};

const ORIGIN: &str = "hooks.acme.example";

fn asking(method: &str, keys: &[(&'static str, &str)]) -> Made {
    let keys = keys.iter().map(|(key, value)| (*key, (*value).to_owned()));
    Made {
        spec: json!({
            "verification": method, "timeout": "5s", "signing": {"scheme": "none"},
        }),
        keys: keys.collect(),
        ..Made::default()
    }
}

/// Why a path's endpoint is unverified, once that is written down.
fn why(h: &Harness, path: &str) -> Value {
    let key = Unverified::key(h.uid(path));
    wait_for("a record of the failure", DEADLINE, || h.status(&key)).unwrap()
}

fn is_delivery(request: &&Request) -> bool {
    request.method == "POST"
}

/// Goal: an answer that is no consent lets nothing through, and a redirect
/// leads nowhere, whatever it says beside it; the next dispatcher knows who has
/// agreed and who was asked in vain. Method: receivers that answer a handshake
/// in ways of their own, one event for each; then the dispatcher is restarted.
#[test]
fn what_is_no_consent_lets_nothing_through() {
    let cases: &[(&str, Answer, &str)] = &[
        ("/silent", Answer::status(200), "no_consent"),
        ("/other", consent("other.example"), "wrong_origin"),
        (
            "/never",
            consent(ORIGIN).header("webhook-allowed-rate", "0"),
            "invalid_rate",
        ),
        (
            "/elsewhere",
            Answer {
                status: 307,
                ..consent(ORIGIN).header("location", "/agrees")
            },
            "status",
        ),
    ];
    let all: Vec<&str> = cases.iter().map(|(path, ..)| *path).collect();
    let all = [&["/agrees"][..], &all].concat();
    // The scripts are there before the dispatcher: nobody answers 404 first.
    let scripts = |receiver: &Receiver| {
        for (path, answer, _) in cases {
            receiver.script(path, Script::always(answer.clone()));
        }
        receiver.script("/agrees", Script::always(consent("*")));
    };
    let mut h = Harness::made_with(
        asking("handshake", &[("dispatcher.origin", ORIGIN)]),
        &all,
        scripts,
    );
    for (path, answer, reason) in cases {
        let why = why(&h, path);
        assert_eq!(why["reason"], *reason, "{path}: {why}");
        assert_eq!(why["status"], answer.status, "{path}: {why}");
    }
    let first = why(&h, "/silent");
    h.wait_metric("hooklane_endpoints_unverified", cases.len() as f64);
    let agreed = Consent::key(h.uid("/agrees"));
    let agreed = wait_for("a consent", DEADLINE, || h.status(&agreed)).unwrap();
    assert_eq!(agreed["method"], "handshake", "{agreed}");

    h.produce(b"{}", &all, 1);
    h.wait_committed();
    h.restart();
    h.produce(b"{}", &all, 1);
    h.wait_committed();
    // The next owner goes on where the first one was.
    let key = Unverified::key(h.uid("/silent"));
    let again = wait_for("another question", DEADLINE, || {
        h.status(&key).filter(|why| why["tries"] != first["tries"])
    });
    let again = again.unwrap();
    assert_eq!((&first["tries"], &again["tries"]), (&json!(1), &json!(2)));
    assert_eq!(again["since"], first["since"], "{again}");
    h.receiver.read(|requests| {
        let delivered: Vec<&str> = requests
            .iter()
            .filter(is_delivery)
            .map(Request::route)
            .collect();
        assert_eq!(delivered, ["/agrees", "/agrees"]);
        let asked = |path: &str| {
            let of_path = requests.iter().filter(|r| r.route() == path);
            of_path.filter(|r| !is_delivery(r)).count()
        };
        assert_eq!(asked("/agrees"), 1, "a consent outlives who got it");
        assert_eq!(asked("/silent"), 2, "and so does its back-off");
    });
    h.stop();
}

/// 200 and the consent to this origin.
fn consent(origin: &str) -> Answer {
    Answer::status(200).header("webhook-allowed-origin", origin)
}

/// Goal: where nothing may be sent there is no question either, and what a
/// tenant reads of a forbidden address is what it reads of a silent one.
/// Method: a network that is denied, and a deployment without a name; the
/// receiver counts connections.
#[test]
fn who_may_not_be_asked_hears_nothing() {
    let denied = [("egress.deny_cidrs", "127.0.0.0/8")];
    for (made, reason) in [
        (asking("ping", &denied), "unreachable"),
        (asking("handshake", &[]), "no_origin"),
    ] {
        let h = Harness::made(made, &["/hook"]);
        let why = why(&h, "/hook");
        assert_eq!(why["reason"], reason, "{why}");
        assert_eq!(why.get("status"), None, "{why}");
        h.produce(b"{}", &["/hook"], 1);
        h.wait_committed();
        assert_eq!(h.receiver.connections(), 0, "{reason}");
        assert!(h.attempts().is_empty(), "{reason}: an attempt was spent");
        h.stop();
    }
}

/// Goal: a receiver that never answers keeps no dispatcher from ending, and its
/// silence is nobody's word. Method: a restart while the question is open, for
/// far longer than the test takes; the next dispatcher asks again, and nothing
/// was written down.
#[test]
fn a_question_that_is_open_ends_with_its_dispatcher() {
    let mut made = asking("ping", &[]);
    made.spec["timeout"] = json!("60s");
    let hangs = Script::always(Answer::fault(Fault::Hang));
    let script = |receiver: &Receiver| receiver.script("/hangs", hangs.clone());
    let mut h = Harness::made_with(made, &["/hangs"], script);
    h.receiver.wait_count("/hangs", 1, DEADLINE).unwrap();
    h.restart();
    h.receiver.wait_count("/hangs", 2, DEADLINE).unwrap();
    assert_eq!(h.status(&Unverified::key(h.uid("/hangs"))), None);
    h.stop();
}
