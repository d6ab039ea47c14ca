//! Receivers that misbehave, as their owner and operators are told of it.

use std::collections::BTreeMap;
use std::time::Duration;

use hooklane_model::record::NOTE_HEADER;
use hooklane_test_support::{Answer, Fault, Scrape, Script};
use serde_json::{Value, json};

use crate::harness::{Harness, Made};

/// What a receiver does, and what it is called.
const CASES: &[(&str, Fault, &str)] = &[
    ("/closes", Fault::CloseAfterReading, "closed"),
    ("/resets", Fault::ResetAfterReading, "reset"),
    ("/garbage", Fault::Garbage, "protocol"),
    ("/hangs", Fault::Hang, "timeout_response_headers"),
    (
        "/drips",
        Fault::DripHead(Duration::from_millis(20)),
        "timeout_response_headers",
    ),
    ("/short", Fault::ContentLength(1_000), "closed"),
];

/// These have answered.
const ANSWERS: &[(&str, Fault)] = &[
    ("/endless", Fault::InfiniteBody),
    ("/slow", Fault::DripBody(Duration::from_millis(20))),
];

/// Goal: each has its reason in the attempts log, in its dead letter and in the
/// metrics, and whoever has answered 2xx has the delivery. Method: one delivery
/// to each, tried once.
#[test]
fn each_is_told_alike_in_attempts_dead_letters_and_metrics() {
    let made = Made {
        spec: json!({
            "retry": {"schedule": []}, "timeout": "500ms", "signing": {"scheme": "none"},
        }),
        ..Made::default()
    };
    let paths: Vec<&str> = CASES.iter().map(|(path, ..)| *path).collect();
    let answering = ANSWERS.iter().map(|(path, _)| *path);
    let all: Vec<&str> = paths.iter().copied().chain(answering).collect();
    let h = Harness::made(made, &all);
    for (path, fault, _) in CASES {
        let answer = Answer::fault(*fault);
        h.receiver.script(path, Script::always(answer));
    }
    for (path, fault) in ANSWERS {
        // More than drips within the timeout.
        let answer = Answer::fault(*fault).body("x".repeat(10_000));
        h.receiver.script(path, Script::always(answer));
    }
    h.produce(b"{}", &all, 1);
    let dead = h.wait_records(&h.names.dead(), CASES.len());
    h.wait_committed();
    let name = |path: &str| path.trim_start_matches('/').to_owned();
    let expected: BTreeMap<String, String> = CASES
        .iter()
        .map(|(path, _, reason)| (name(path), (*reason).to_owned()))
        .collect();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();

    let notes = dead.iter().map(|record| {
        let note = record.headers.iter().find(|(name, _)| name == NOTE_HEADER);
        let note: Value = serde_json::from_slice(&note.unwrap().1).unwrap();
        assert_eq!(note["lastSide"], "receiver", "{note}");
        (text(&note["endpoint"]), text(&note["lastFailure"]))
    });
    assert_eq!(notes.collect::<BTreeMap<_, _>>(), expected);

    let mut failed = BTreeMap::new();
    let mut delivered = Vec::new();
    for record in h.scan(&h.names.attempts()) {
        let attempts: Vec<Value> = serde_json::from_slice(&record.value.unwrap()).unwrap();
        for attempt in attempts {
            let endpoint = text(&attempt["endpoint"]);
            if attempt["outcome"] == "delivered" {
                assert_eq!(attempt["status"], 200, "{attempt}");
                delivered.push(endpoint);
            } else {
                assert_eq!(attempt["side"], "receiver", "{attempt}");
                failed.insert(endpoint, text(&attempt["failure"]));
            }
        }
    }
    assert_eq!(failed, expected);
    delivered.sort_unstable();
    assert_eq!(
        delivered,
        ANSWERS
            .iter()
            .map(|(path, _)| name(path))
            .collect::<Vec<_>>()
    );

    let metrics = h.context().metrics.render().unwrap();
    let metrics = Scrape::parse(&metrics).unwrap();
    for reason in expected.values() {
        let times = expected.values().filter(|other| *other == reason).count();
        let labels = [("reason", reason.as_str())];
        let counted = metrics.sum("hooklane_attempt_failures_total", &labels);
        assert!((counted - times as f64).abs() < 1e-9, "{reason}: {counted}");
    }
    h.stop();
}
