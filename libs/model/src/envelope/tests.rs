use super::*;
use proptest::prelude::*;

fn sample() -> Envelope {
    Envelope {
        origin: Origin::Ingest { run: 7 },
        event: EventHead {
            tenant: Some("acme".into()),
            source: "/shop".into(),
            id: "evt-1".into(),
            event_type: "order.created".into(),
            content_type: Some("application/json".into()),
            key_hash: Some(0x0102_0304_0506_0708),
            traceparent: None,
            attributes: vec![("subject".into(), "42".into())],
        },
        position: SourcePosition {
            topic: "shop.events".into(),
            topic_id: 5,
            partition: 3,
            offset: 1_000_000,
        },
        chunk: Chunk { index: 0, count: 1 },
        config: ConfigStamp {
            epoch: 9,
            offset: 12,
        },
        first_seen: UnixMillis(1_614_265_330_000),
        targets: vec![Target {
            delivery: DeliveryId(0x11),
            endpoint: EndpointUid(0x22),
            subscription: SubscriptionUid(0x33),
            attempt: 1,
            due: UnixMillis(0),
            delayed_at: UnixMillis(0),
            spills: 0,
        }],
    }
}

/// The bytes of schema version 1. They must never change: a topic may hold
/// records for as long as the longest maxAge.
#[test]
fn schema_version_1_is_golden() {
    let frame = sample().encode(b"{}");
    let hex: String = frame.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(
        hex,
        "4801010007010461636d65052f73686f70056576742d310d6f726465722e6372656174656401106170706c69636174696f6e2f6a736f6e01fd08070605040302010001077375626a6563740234320b73686f702e6576656e74730506fc80841e0000010918fd5029b6d97701000001112233010000007b7d"
    );
    let (envelope, payload) = Envelope::decode(&Bytes::from(frame)).unwrap();
    assert_eq!(envelope, sample());
    assert_eq!(payload, "{}");
}

#[test]
fn the_payload_is_not_copied() {
    let frame = Bytes::from(sample().encode(&[7; 1000]));
    let (_, payload) = Envelope::decode(&frame).unwrap();
    let range = frame.as_ptr_range();
    assert!(range.contains(&payload.as_ptr()));
}

#[test]
fn a_newer_record_is_not_poison() {
    for (at, value) in [(1, CODEC_BINCODE + 1), (2, SCHEMA_VERSION + 1)] {
        let mut frame = sample().encode(b"{}");
        frame[at] = value;
        let error = Envelope::decode(&Bytes::from(frame)).unwrap_err();
        assert!(matches!(error, DecodeError::Newer { .. }), "{error}");
    }
}

#[test]
fn what_is_not_a_frame_is_refused() {
    for bytes in [
        &b""[..],
        b"H",
        b"H\x01",
        b"{\"json\":1}",
        b"H\x00\x01abc",
        b"H\x01\x00abc",
    ] {
        let error = Envelope::decode(&Bytes::from_static(bytes)).unwrap_err();
        assert!(
            !matches!(error, DecodeError::Newer { .. }),
            "{bytes:?}: {error}"
        );
    }
}

#[test]
fn an_envelope_without_targets_is_refused() {
    let empty = Envelope {
        targets: Vec::new(),
        ..sample()
    };
    assert!(Envelope::decode(&Bytes::from(empty.encode(b""))).is_err());
}

/// A length prefix that promises more than the limit must not allocate it.
#[test]
fn a_huge_length_is_refused_before_it_is_allocated() {
    let mut frame = vec![MAGIC, CODEC_BINCODE, SCHEMA_VERSION, 0, 7, 0];
    frame.extend([0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
    let error = Envelope::decode(&Bytes::from(frame)).unwrap_err();
    assert!(matches!(error, DecodeError::Body { .. }), "{error}");
}

#[test]
fn a_full_target_list_fits_the_overhead() {
    let mut envelope = sample();
    envelope.targets = vec![
        Target {
            delivery: DeliveryId(u128::MAX),
            endpoint: EndpointUid(u128::MAX),
            subscription: SubscriptionUid(u128::MAX),
            attempt: u16::MAX,
            due: UnixMillis(u64::MAX),
            delayed_at: UnixMillis(u64::MAX),
            spills: u16::MAX,
        };
        TARGETS_MAX
    ];
    assert!(envelope.encode(b"").len() < 32 << 10);
}

prop_compose! {
    fn any_target()(delivery: u128, endpoint: u128, subscription: u128, attempt: u16, due: u64,
                    delayed_at: u64, spills: u16) -> Target {
        Target {
            delivery: DeliveryId(delivery),
            endpoint: EndpointUid(endpoint),
            subscription: SubscriptionUid(subscription),
            attempt,
            due: UnixMillis(due),
            delayed_at: UnixMillis(delayed_at),
            spills,
        }
    }
}

prop_compose! {
    fn any_envelope()(tenant: Option<String>, source: String, id: String, event_type: String,
                      key_hash: Option<u64>, attributes: Vec<(String, String)>, topic: String,
                      partition: i32, offset: i64, run: u64,
                      targets in prop::collection::vec(any_target(), 1..70)) -> Envelope {
        Envelope {
            origin: Origin::Ingest { run },
            event: EventHead { tenant, source, id, event_type, key_hash, attributes,
                               ..EventHead::default() },
            position: SourcePosition { topic, topic_id: 0, partition, offset },
            targets,
            ..sample()
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_reads_back(envelope in any_envelope(), payload: Vec<u8>) {
        let frame = Bytes::from(envelope.encode(&payload));
        let (read, rest) = Envelope::decode(&frame).unwrap();
        prop_assert_eq!(read, envelope);
        prop_assert_eq!(rest, payload);
    }

    /// A truncated body never decodes to something else, and nothing panics.
    #[test]
    fn every_prefix_is_refused(envelope in any_envelope(), cut: prop::sample::Index) {
        let frame = envelope.encode(b"");
        let prefix = Bytes::copy_from_slice(&frame[..cut.index(frame.len())]);
        prop_assert!(Envelope::decode(&prefix).is_err());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
        let _either_way = Envelope::decode(&Bytes::from(bytes)).is_ok();
    }
}
