use std::collections::BTreeMap;

use bytes::Bytes;
use hooklane_kafka::record::{RecordTimestamp, TimestampKind};
use hooklane_model::lane::stable_hash;
use hooklane_model::resource::{KeyRule, StartFrom, TenantRule};
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn spec(format: Format) -> SourceSpec {
    SourceSpec {
        topic: "shop".into(),
        format,
        tenant: TenantRule::Shared,
        key: KeyRule::KafkaKey,
        id: None,
        event_type: None,
        start_from: StartFrom::Latest,
    }
}

fn record(headers: &[(&str, &str)], value: Option<&str>) -> Record {
    Record {
        topic: "shop".into(),
        partition: 3,
        offset: 42,
        timestamp: RecordTimestamp {
            kind: TimestampKind::CreateTime,
            millis: 1,
        },
        key: Some(Bytes::from_static(b"k")),
        value: value.map(|v| Bytes::copy_from_slice(v.as_bytes())),
        headers: headers
            .iter()
            .map(|(name, text)| ((*name).to_owned(), Bytes::copy_from_slice(text.as_bytes())))
            .collect(),
    }
}

const BINARY: &[(&str, &str)] = &[
    ("ce_specversion", "1.0"),
    ("ce_id", "e1"),
    ("ce_source", "/shop"),
    ("ce_type", "order.created"),
    ("ce_subject", "order/7"),
    ("ce_region", "eu"),
    ("content-type", "application/json; charset=utf-8"),
];

fn structured() -> Record {
    let value = json!({
        "specversion": "1.0", "id": "e1", "source": "/shop", "type": "order.created",
        "subject": "order/7", "region": "eu", "weight": 5, "datacontenttype": "application/json",
        "data": {"total": 7, "tenant": "acme"},
    });
    record(
        &[("content-type", "application/cloudevents+json")],
        Some(&value.to_string()),
    )
}

#[test]
fn both_modes_say_the_same() {
    let binary = record(BINARY, Some(r#"{"total": 7, "tenant": "acme"}"#));
    let structured = structured();
    for (record, data_first) in [(&binary, false), (&structured, false)] {
        for format in [Format::Auto, Format::CloudEvents] {
            let event = decode(record, &spec(format)).unwrap();
            assert_eq!(event.head.id, "e1");
            assert_eq!(event.head.source, "/shop");
            assert_eq!(event.head.event_type, "order.created");
            assert_eq!(event.document().attribute("subject"), Some("order/7"));
            assert_eq!(event.document().attribute("region"), Some("eu"));
            assert_eq!(
                event.data.was_asked_for(),
                data_first,
                "the body was not needed"
            );
            assert_eq!(event.document().data().unwrap()["total"], json!(7));
        }
    }
    let event = decode(&structured, &spec(Format::Auto)).unwrap();
    assert_eq!(
        event.head.content_type.as_deref(),
        Some("application/cloudevents+json")
    );
    assert_eq!(
        event.document().attribute("datacontenttype"),
        Some("application/json")
    );
    assert_eq!(event.document().attribute("weight"), Some("5"));
}

#[test]
fn records_without_cloudevents_are_named_by_their_place() {
    let plain = record(&[], Some(r#" {"a": 1}"#));
    for format in [Format::Auto, Format::Json] {
        let event = decode(&plain, &spec(format)).unwrap();
        assert_eq!(
            (event.head.source.as_str(), event.head.id.as_str()),
            ("shop", "shop/3/42")
        );
        assert_eq!(event.head.event_type, "");
        assert_eq!(event.head.content_type.as_deref(), Some("application/json"));
        assert_eq!(event.document().data(), Some(&json!({"a": 1})));
    }
    let raw = decode(&plain, &spec(Format::Raw)).unwrap();
    assert_eq!(
        (raw.head.content_type.clone(), raw.document().data()),
        (None, None)
    );
    let text = record(&[("Content-Type", "text/plain")], Some("{}"));
    let event = decode(&text, &spec(Format::Auto)).unwrap();
    assert_eq!(event.head.content_type.as_deref(), Some("text/plain"));
    assert_eq!(event.document().data(), None);
    let mut headers = BINARY.to_vec();
    headers.retain(|(name, _)| *name != "content-type");
    headers.push(("content-type", "text/plain"));
    let text = record(&headers, Some("{}"));
    let event = decode(&text, &spec(Format::Auto)).unwrap();
    assert_eq!(event.document().data(), None, "data that is not JSON");
    // CloudEvents headers on a source that is declared to be something else.
    let head = decode(&record(BINARY, Some("{}")), &spec(Format::Json))
        .unwrap()
        .head;
    assert_eq!(head.id, "shop/3/42");
}

#[test]
fn rules_find_what_they_name() {
    let body = r#"{"order": {"id": 17, "kind": "order.paid", "who": "acme"}}"#;
    let record = record(&[("tenant", "bolt"), ("x-type", "t")], Some(body));
    let rules = SourceSpec {
        tenant: TenantRule::JsonPointer("/order/who".into()),
        key: KeyRule::JsonPointer("/order/id".into()),
        id: Some(ValueRule::JsonPointer("/order/id".into())),
        event_type: Some(ValueRule::JsonPointer("/order/kind".into())),
        ..spec(Format::Json)
    };
    let head = decode(&record, &rules).unwrap().head;
    assert_eq!(head.tenant.as_deref(), Some("acme"));
    assert_eq!(
        (head.id.as_str(), head.event_type.as_str()),
        ("17", "order.paid")
    );
    assert_eq!(head.key_hash, Some(stable_hash(b"17")));
    let rules = SourceSpec {
        tenant: TenantRule::Header("tenant".into()),
        id: Some(ValueRule::JsonPointer("/nowhere".into())),
        event_type: Some(ValueRule::Header("x-type".into())),
        ..spec(Format::Json)
    };
    let head = decode(&record, &rules).unwrap().head;
    assert_eq!(head.tenant.as_deref(), Some("bolt"));
    assert_eq!(
        (head.id.as_str(), head.event_type.as_str()),
        ("shop/3/42", "t")
    );
    assert_eq!(head.key_hash, Some(stable_hash(b"k")));
    let rules = SourceSpec {
        tenant: TenantRule::Fixed("me".into()),
        key: KeyRule::Subject,
        ..spec(Format::Json)
    };
    let head = decode(&record, &rules).unwrap().head;
    assert_eq!((head.tenant.as_deref(), head.key_hash), (Some("me"), None));
}

#[test]
fn tenant_and_key_come_from_attributes_in_both_modes() {
    let rules = SourceSpec {
        tenant: TenantRule::Header("region".into()),
        key: KeyRule::Subject,
        ..spec(Format::Auto)
    };
    for record in [record(BINARY, None), structured()] {
        let head = decode(&record, &rules).unwrap().head;
        assert_eq!(head.tenant.as_deref(), Some("eu"));
        assert_eq!(head.key_hash, Some(stable_hash(b"order/7")));
    }
    let pointer = SourceSpec {
        tenant: TenantRule::JsonPointer("/tenant".into()),
        ..rules
    };
    assert_eq!(
        decode(&structured(), &pointer)
            .unwrap()
            .head
            .tenant
            .as_deref(),
        Some("acme")
    );
}

#[test]
fn a_trace_is_taken_where_it_is_well_formed() {
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for (headers, expected) in [
        (vec![("traceparent", trace)], Some(trace)),
        (vec![("traceparent", "00-xyz-1-01")], None),
        (vec![], None),
    ] {
        let head = decode(&record(&headers, Some("{}")), &spec(Format::Json))
            .unwrap()
            .head;
        assert_eq!(head.traceparent.as_deref(), expected);
    }
    let mut headers = BINARY.to_vec();
    headers.push(("ce_traceparent", trace));
    let head = decode(&record(&headers, None), &spec(Format::Auto))
        .unwrap()
        .head;
    assert_eq!(head.traceparent.as_deref(), Some(trace));
}

/// Each way to be unreadable, and that the reason names it.
#[test]
fn poison_says_why() {
    let without = |name: &str| -> Vec<(&'static str, &'static str)> {
        BINARY.iter().copied().filter(|(n, _)| *n != name).collect()
    };
    let ce = |value: &str| {
        record(
            &[("content-type", "application/cloudevents+json")],
            Some(value),
        )
    };
    let mut old = without("ce_specversion");
    old.push(("ce_specversion", "0.3"));
    let long = "x".repeat(HEAD_BYTES_MAX);
    let mut large = BINARY.to_vec();
    large.push(("ce_big", &long));
    let batch = record(
        &[("content-type", "application/cloudevents-batch+json")],
        Some("[]"),
    );
    let mut binary = record(&[("tenant", "")], Some("{}"));
    binary.headers[0].1 = Bytes::from_static(&[0xff]);
    let header = SourceSpec {
        tenant: TenantRule::Header("tenant".into()),
        ..spec(Format::Auto)
    };
    let pointer = SourceSpec {
        tenant: TenantRule::JsonPointer("/t".into()),
        ..spec(Format::Json)
    };
    let cases = [
        (
            record(&[], Some("{}")),
            spec(Format::CloudEvents),
            "neither",
        ),
        (batch, spec(Format::Auto), "cloudevents-batch+json"),
        (
            record(&without("ce_id"), None),
            spec(Format::Auto),
            "attribute id",
        ),
        (
            record(&without("ce_type"), None),
            spec(Format::Auto),
            "attribute type",
        ),
        (record(&old, None), spec(Format::Auto), "0.3"),
        (record(&large, None), spec(Format::Auto), "65536"),
        (ce("{"), spec(Format::Auto), "not JSON"),
        (ce("[]"), spec(Format::Auto), "not JSON"),
        (ce("{\"id\": {}}"), spec(Format::Auto), "attribute id"),
        (ce("{\"id\": \"1\"} x"), spec(Format::Auto), "not JSON"),
        (record(&[], None), spec(Format::Json), "no value"),
        (record(&[], Some("{}")), header.clone(), "header tenant"),
        (binary, header, "not UTF-8"),
        (record(&[], Some("{}")), pointer.clone(), "/t"),
        (record(&[], Some("no json")), pointer, "not JSON"),
    ];
    for (record, spec, expected) in cases {
        let reason = decode(&record, &spec).unwrap_err().to_string();
        assert!(reason.contains(expected), "{reason} has no {expected}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Whatever bytes come, in whatever format: an event or a reason.
    #[test]
    fn no_record_makes_it_panic(
        headers in prop::collection::btree_map("(ce_)?[a-z]{1,4}|content-type|ce_specversion|ce_id|ce_type|ce_source",
            prop_oneof![prop::collection::vec(any::<u8>(), 0..12),
                Just(b"1.0".to_vec()), Just(b"application/cloudevents+json".to_vec())], 0..8),
        value in prop::option::of(prop_oneof![
            prop::collection::vec(any::<u8>(), 0..60),
            "[{}\\[\\]\":,a-z0-9 ]{0,60}".prop_map(String::into_bytes),
        ]),
        format in prop::sample::select(vec![Format::Auto, Format::CloudEvents, Format::Json, Format::Raw]),
        pointer: bool,
    ) {
        let headers: BTreeMap<String, Vec<u8>> = headers;
        let record = Record {
            headers: headers.into_iter().map(|(n, v)| (n, Bytes::from(v))).collect(),
            value: value.map(Bytes::from),
            ..record(&[], None)
        };
        let rule = ValueRule::JsonPointer("/a".into());
        let spec = SourceSpec { id: pointer.then_some(rule), ..spec(format) };
        match decode(&record, &spec) {
            Ok(event) => prop_assert!(!event.head.id.is_empty() && !event.head.source.is_empty()),
            Err(reason) => prop_assert!(!reason.to_string().is_empty()),
        }
    }
}

/// Goal: a repeat has the same body, so nothing in it may come from when a
/// record was read. Method: the same record, whatever is asked of it.
#[test]
fn an_event_without_a_time_has_its_records() {
    let dated = |record: &Record| {
        let mut head = decode(record, &spec(Format::Auto)).unwrap().head;
        date(&mut head, record);
        let names: Vec<&str> = head.attributes.iter().map(|(name, _)| &**name).collect();
        assert!(names.is_sorted(), "{names:?}");
        let time = head.attributes.into_iter().find(|(name, _)| name == "time");
        time.map(|(_, text)| text)
    };
    let at = Some("1970-01-01T00:00:00.001Z".to_owned());
    assert_eq!(dated(&record(&[], Some("{}"))), at);
    assert_eq!(dated(&record(BINARY, Some("{}"))), at);
    assert_eq!(dated(&structured()), at);
    let mut with_time = BINARY.to_vec();
    with_time.push(("ce_time", "2020-01-01T00:00:00Z"));
    let given = Some("2020-01-01T00:00:00Z".to_owned());
    assert_eq!(dated(&record(&with_time, Some("{}"))), given);
    let mut timeless = record(&[], Some("{}"));
    timeless.timestamp.kind = TimestampKind::None;
    assert_eq!(dated(&timeless), None);
}
