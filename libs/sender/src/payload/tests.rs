use super::*;

fn head(content_type: Option<&str>, attributes: &[(&str, &str)]) -> EventHead {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    EventHead {
        source: "/shop".into(),
        id: "e-1".into(),
        event_type: "order.created".into(),
        content_type: content_type.map(str::to_owned),
        attributes: attributes.iter().map(owned).collect(),
        ..EventHead::default()
    }
}

/// The body, its type, and the attributes that became headers.
fn made(
    format: PayloadFormat,
    head: &EventHead,
    payload: &'static [u8],
) -> (String, String, Vec<(String, String)>) {
    let payload = Bytes::from_static(payload);
    let event = Event {
        head,
        payload: &payload,
        first_seen: UnixMillis(1_614_265_330_042),
    };
    let mut headers = HeaderMap::new();
    let content = content(format, &event, &mut headers);
    let again = super::content(format, &event, &mut HeaderMap::new());
    assert_eq!(content.body, again.body, "a repeat has the same bytes");
    let headers = headers.iter().map(|(name, value)| {
        let value = value.to_str().unwrap();
        (name.as_str().to_owned(), value.to_owned())
    });
    (
        String::from_utf8(content.body.to_vec()).unwrap(),
        content.content_type.to_str().unwrap().to_owned(),
        headers.collect(),
    )
}

const WRAPPED: &[u8] = br#"{"specversion":"1.0","id":"e-1","source":"/shop","type":"order.created","data": {"b":1.0, "a":2}}"#;
const WRAPPED_BYTES: &[u8] = br#"{"specversion":"1.0","id":"e-1","source":"/shop","type":"order.created","data_base64":"aGk="}"#;
const WRAPPED_TEXT: &[u8] = br#"{"specversion":"1.0","id":"e-1","source":"/shop","type":"order.created","datacontenttype":"text/plain","data":"hi \"you\""}"#;
const WRAPPED_NOTHING: &[u8] =
    br#"{"specversion":"1.0","id":"e-1","source":"/shop","type":"order.created"}"#;
const CE: Option<&str> = Some("application/cloudevents+json; charset=UTF-8");

#[test]
fn raw_is_the_bytes_whatever_they_are() {
    for (content_type, expected) in [
        (Some("text/csv"), "text/csv"),
        (None, "application/octet-stream"),
        (Some("not\na header"), "application/octet-stream"),
        (CE, "application/cloudevents+json; charset=UTF-8"),
    ] {
        let (body, found, headers) = made(PayloadFormat::Raw, &head(content_type, &[]), b"a;b\r\n");
        assert_eq!((body.as_str(), found.as_str()), ("a;b\r\n", expected));
        assert!(headers.is_empty());
    }
}

#[test]
fn standard_embeds_json_as_it_was_written() {
    let json = Some("application/json");
    let start = r#"{"type":"order.created","timestamp":"2021-02-25T15:02:10.042Z","#;
    let cases: [(Option<&str>, &[u8], &str); 9] = [
        (
            json,
            br#" {"b":1.0, "a":12345678901234567890123} "#,
            r#""data":{"b":1.0, "a":12345678901234567890123}}"#,
        ),
        (Some("application/vnd.acme+json"), b"[1]", r#""data":[1]}"#),
        (json, b"{broken", r#""data_base64":"e2Jyb2tlbg=="}"#),
        (Some("text/plain"), b"hi", r#""data_base64":"aGk="}"#),
        (None, b"[1]", r#""data_base64":"WzFd"}"#),
        (json, b"", r#""data":null}"#),
        (CE, WRAPPED, r#""data":{"b":1.0, "a":2}}"#),
        (CE, WRAPPED_BYTES, r#""data_base64":"aGk="}"#),
        (CE, WRAPPED_NOTHING, r#""data":null}"#),
    ];
    for (content_type, payload, end) in cases {
        let (body, found, _) = made(PayloadFormat::Standard, &head(content_type, &[]), payload);
        assert_eq!(body, format!("{start}{end}"));
        assert_eq!(found, "application/json");
        serde_json::from_str::<serde_json::Value>(&body).unwrap();
    }
}

#[test]
fn standard_takes_the_time_of_the_event() {
    let head = head(
        Some("application/json"),
        &[("time", "2020-01-01T00:00:00Z")],
    );
    let (body, ..) = made(PayloadFormat::Standard, &head, b"1");
    assert_eq!(
        body,
        r#"{"type":"order.created","timestamp":"2020-01-01T00:00:00Z","data":1}"#
    );
}

#[test]
fn structured_cloud_events() {
    let start = r#"{"specversion":"1.0","id":"e-1","source":"/shop","type":"order.created","#;
    let attributes = [
        ("specversion", "1.0"),
        ("subject", "a \"b\""),
        ("Not-Valid", "x"),
    ];
    let start_with_subject = format!(r#"{start}"subject":"a \"b\"","#);
    let cases: [(Option<&str>, &[u8], &str); 4] = [
        (
            Some("application/json"),
            b"{\"a\": 1}",
            r#""datacontenttype":"application/json","data":{"a": 1}}"#,
        ),
        (
            Some("text/plain"),
            b"hi",
            r#""datacontenttype":"text/plain","data_base64":"aGk="}"#,
        ),
        (None, b"hi", r#""data_base64":"aGk="}"#),
        (
            Some("application/json"),
            b"",
            r#""datacontenttype":"application/json"}"#,
        ),
    ];
    for (content_type, payload, end) in cases {
        let head = head(content_type, &attributes);
        let (body, found, headers) = made(PayloadFormat::CloudEventsStructured, &head, payload);
        assert_eq!(body, format!("{start_with_subject}{end}"));
        assert_eq!(found, "application/cloudevents+json; charset=utf-8");
        assert!(headers.is_empty());
        serde_json::from_str::<serde_json::Value>(&body).unwrap();
    }
    let (body, ..) = made(PayloadFormat::CloudEventsStructured, &head(None, &[]), b"");
    assert_eq!(body, format!("{}}}", start.trim_end_matches(',')));
    // What is structured already is passed on.
    let (body, found, _) = made(
        PayloadFormat::CloudEventsStructured,
        &head(CE, &[]),
        WRAPPED,
    );
    assert_eq!((body.as_bytes(), Some(found.as_str())), (WRAPPED, CE));
}

#[test]
fn binary_cloud_events() {
    let attributes = [
        ("specversion", "1.0"),
        ("subject", "Euro € 100%"),
        ("time", "2020-01-01T00:00:00Z"),
    ];
    let head_json = head(Some("application/json"), &attributes);
    let (body, found, headers) = made(PayloadFormat::CloudEventsBinary, &head_json, b" {} ");
    assert_eq!(
        (body.as_str(), found.as_str()),
        (" {} ", "application/json")
    );
    let expected = [
        ("ce-specversion", "1.0"),
        ("ce-id", "e-1"),
        ("ce-source", "/shop"),
        ("ce-type", "order.created"),
        // The specification's own example of the encoding.
        ("ce-subject", "Euro%20%E2%82%AC%20100%25"),
        ("ce-time", "2020-01-01T00:00:00Z"),
    ];
    let found: Vec<(&str, &str)> = headers
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect();
    assert_eq!(found, expected);
    let text_type = [("datacontenttype", "text/plain"), ("specversion", "1.0")];
    for (attributes, payload, body, content_type) in [
        (&[][..], WRAPPED, r#"{"b":1.0, "a":2}"#, "application/json"),
        (&[], WRAPPED_BYTES, "hi", "application/octet-stream"),
        (&[], WRAPPED_NOTHING, "", "application/octet-stream"),
        (&text_type, WRAPPED_TEXT, "hi \"you\"", "text/plain"),
    ] {
        let head = head(CE, attributes);
        let (found, found_type, headers) = made(PayloadFormat::CloudEventsBinary, &head, payload);
        assert_eq!((found.as_str(), found_type.as_str()), (body, content_type));
        assert_eq!(headers.len(), 4);
    }
}

#[test]
fn an_event_without_a_type_has_one_in_cloud_events() {
    let untyped = EventHead {
        event_type: String::new(),
        ..head(None, &[])
    };
    let (_, _, headers) = made(PayloadFormat::CloudEventsBinary, &untyped, b"");
    assert!(headers.contains(&("ce-type".into(), "hooklane.untyped".into())));
    let (body, ..) = made(PayloadFormat::Standard, &untyped, b"");
    assert!(body.starts_with(r#"{"type":"","#), "{body}");
}

#[test]
fn values_are_encoded_as_the_binding_says() {
    for (value, expected) in [
        ("plain-1_2.3~", "plain-1_2.3~"),
        ("a b", "a%20b"),
        ("\"q\"", "%22q%22"),
        ("50%", "50%25"),
        ("😀", "%F0%9F%98%80"),
        ("a\r\nb", "a%0D%0Ab"),
        ("\u{7f}", "%7F"),
    ] {
        assert_eq!(percent_encoded(value), expected);
    }
}
