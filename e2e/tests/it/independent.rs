//! Programs that are not ours at both ends.

use std::time::{SystemTime, UNIX_EPOCH};

use hooklane_model::id::DeliveryId;
use hooklane_test_support::independent::{
    PythonReceiver, PythonRequest, ToolRecord, consume, produce,
};
use serde_json::{Value, json};

use crate::harness::{DEADLINE, Pipeline, subscription};

/// What a producer wrote, and what must come of it.
struct Case {
    record: ToolRecord,
    event_source: String,
    event_id: String,
    content_type: &'static str,
}

/// Goal: what Kafka's own producer writes arrives at a Python server as it
/// was written, with the headers of Standard Webhooks, and Kafka's own
/// consumer reads what became of it.
/// Method: a CloudEvent in binary mode, one in structured mode, and plain
/// JSON; bodies, ids and content types are worked out here.
#[test]
fn foreign_producers_and_receivers_take_part() {
    let p = Pipeline::new("foreign");
    let receiver = PythonReceiver::start().unwrap();
    p.apply(&[
        p.source(),
        p.endpoint("/hook", json!({"url": receiver.url("/hook?from=kafka")})),
        subscription("all", "/hook", json!({})),
    ]);
    let stored = p.get("subscription", "acme", "all");
    let subscription = stored["metadata"]["uid"].as_str().unwrap().parse().unwrap();
    let _services = p.start_all();
    let cases = cases(&p);
    let records: Vec<ToolRecord> = cases.iter().map(|case| case.record.clone()).collect();
    produce(&p.settings.brokers, &p.topic, &records).unwrap();
    receiver.wait_count(cases.len(), DEADLINE).unwrap();
    p.settled(DEADLINE);
    let requests = receiver.requests().unwrap();
    assert_eq!(requests.len(), cases.len(), "{requests:?}");
    for case in &cases {
        let id = |event_id: &str| {
            DeliveryId::derive("acme", &case.event_source, event_id, subscription).to_string()
        };
        // A record without an id is known by its place; it has one of these.
        let ids: Vec<String> = match case.event_id.as_str() {
            "" => (0..4)
                .flat_map(|partition| (0..3).map(move |offset| (partition, offset)))
                .map(|(partition, offset)| id(&format!("{}/{partition}/{offset}", p.topic)))
                .collect(),
            event_id => vec![id(event_id)],
        };
        let request = requests
            .iter()
            .find(|request| {
                ids.iter()
                    .any(|id| request.header("webhook-id") == Some(id))
            })
            .unwrap_or_else(|| panic!("{ids:?} not in {requests:#?}"));
        assert_eq!(
            (&*request.method, &*request.path),
            ("POST", "/hook?from=kafka")
        );
        assert_eq!(request.body, case.record.value.as_ref().unwrap().as_bytes());
        assert_eq!(request.header("content-type"), Some(case.content_type));
        assert_eq!(
            request.header("content-length"),
            Some(&*request.body.len().to_string())
        );
        assert!(
            request
                .header("user-agent")
                .unwrap()
                .to_lowercase()
                .starts_with("hooklane")
        );
        let sent: u64 = request
            .header("webhook-timestamp")
            .unwrap()
            .parse()
            .unwrap();
        assert!(
            seconds_now().abs_diff(sent) < 300,
            "{sent} is no time in seconds of today"
        );
    }
    check_attempts(&p, cases.len(), &requests);
}

/// The attempts log, read by Kafka's own consumer.
fn check_attempts(p: &Pipeline, expected: usize, requests: &[PythonRequest]) {
    let log = p.names.attempts();
    let records = usize::try_from(p.count(&log)).unwrap();
    let records = consume(&p.settings.brokers, &log, records).unwrap();
    let attempts: Vec<Value> = records
        .into_iter()
        .flat_map(|r| serde_json::from_str::<Vec<Value>>(&r.value.unwrap()).unwrap())
        .collect();
    assert_eq!(attempts.len(), expected);
    for told in attempts {
        assert_eq!(
            (&told["outcome"], &told["status"]),
            (&json!("delivered"), &json!(200))
        );
        let id = told["delivery"].as_str().unwrap();
        assert!(
            requests
                .iter()
                .any(|request| request.header("webhook-id") == Some(id))
        );
    }
}

fn cases(p: &Pipeline) -> Vec<Case> {
    let attributes = |id| {
        [
            ("specversion", "1.0"),
            ("id", id),
            ("source", "/java"),
            ("type", "order.created"),
            ("tenant", "acme"),
        ]
    };
    let tenant = ("tenant".to_owned(), "acme".to_owned());
    let data = r#"{"n": 1.50,   "text": "é \u00e9"}"#;
    let mut plain = ToolRecord {
        value: Some("  {\"plain\": true}  ".to_owned()),
        ..ToolRecord::default()
    };
    plain.headers.push(tenant.clone());
    let mut binary = ToolRecord::cloudevent_binary(&attributes("binary"), data);
    binary.headers.push(tenant);
    let structured = ToolRecord::cloudevent_structured(&attributes("structured"), data).unwrap();
    let case = |record: ToolRecord, event_source: &str, event_id: &str, content_type| Case {
        record,
        event_source: event_source.to_owned(),
        event_id: event_id.to_owned(),
        content_type,
    };
    vec![
        case(binary, "/java", "binary", "application/json"),
        case(
            structured,
            "/java",
            "structured",
            "application/cloudevents+json; charset=UTF-8",
        ),
        case(plain, &p.topic, "", "application/json"),
    ]
}

#[allow(
    clippy::disallowed_methods,
    reason = "a test compares with the time of day"
)]
fn seconds_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}
