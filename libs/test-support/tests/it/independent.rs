//! Records of Kafka's Java tools come back as they went in, and the Python
//! receiver tells what was on the wire.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use hooklane_test_support::independent::{PythonReceiver, ToolRecord, consume, produce};
use hooklane_test_support::{shared_cluster, unique};

/// Both CloudEvents modes, a key, none, and a tombstone.
#[test]
fn java_tools_write_and_read() {
    let kafka = shared_cluster().unwrap();
    let topic = unique("tools");
    kafka.create_topic(&topic, 1, &[]).unwrap();
    let attributes = [
        ("specversion", "1.0"),
        ("id", "e-1"),
        ("source", "/shop"),
        ("type", "order.created"),
    ];
    let data = r#"{"total": 150, "note": "a, b: \"c\"\tü"}"#;
    let binary = ToolRecord::cloudevent_binary(&attributes, data).key("k-1");
    let structured = ToolRecord::cloudevent_structured(&attributes, data).unwrap();
    let tombstone = ToolRecord::default().key("k-2");
    let records = [binary, structured, tombstone];
    produce(kafka.bootstrap(), &topic, &records).unwrap();
    assert_eq!(consume(kafka.bootstrap(), &topic, 3).unwrap(), records);
    assert_eq!(
        records[0].headers[1],
        ("ce_specversion".to_owned(), "1.0".to_owned())
    );
    assert!(records[1].value.as_ref().unwrap().contains(r#""data":{"#));
    let unknown = produce(kafka.bootstrap(), &unique("unknown"), &records).unwrap_err();
    assert!(
        unknown.to_string().contains("not present in metadata"),
        "{unknown}"
    );
}

#[test]
fn python_receives() {
    let receiver = PythonReceiver::start().unwrap();
    let url = receiver.url("/hook?status=503");
    let addr = url
        .strip_prefix("http://")
        .unwrap()
        .split('/')
        .next()
        .unwrap()
        .to_owned();
    let mut stream = TcpStream::connect(&addr).unwrap();
    let head = "POST /hook?status=503 HTTP/1.1\r\nHost: h\r\nWebhook-Id: dlv_1\r\nContent-Length: 4\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(b"\x00\xff{}").unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 503");
    receiver.wait_count(1, Duration::from_secs(60)).unwrap();
    let request = receiver.requests().unwrap().remove(0);
    assert_eq!(
        (request.method.as_str(), request.path.as_str()),
        ("POST", "/hook?status=503")
    );
    assert_eq!(request.header("webhook-id"), Some("dlv_1"));
    assert_eq!(request.body, b"\x00\xff{}");
    let few = receiver
        .wait_count(2, Duration::from_millis(50))
        .unwrap_err();
    assert!(format!("{few:#}").contains("1 came"), "{few:#}");
}
