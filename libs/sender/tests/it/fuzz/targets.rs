//! What is fuzzed: everything that strangers' bytes reach first, and what must
//! hold whatever they are. A target panics when it does not.

use std::net::IpAddr;

use bytes::Bytes;
use hooklane_model::envelope::{
    Chunk, ConfigStamp, Envelope, EventHead, Origin, SourcePosition, Target as Delivery,
};
use hooklane_model::id::{DeliveryId, EndpointUid, SubscriptionUid};
use hooklane_model::resource::{Manifest, Strictness, parse_value};
use hooklane_model::time::UnixMillis;
use hooklane_sender::EgressPolicy;
use hooklane_sender::retry_after::{RETRY_AFTER_MAX, RetryAfter};
use http::{HeaderName, HeaderValue};
use serde_json::json;
use url::{Host, Url};

/// One thing that is fuzzed.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    /// Inputs to begin with.
    pub(crate) seeds: fn() -> Vec<Vec<u8>>,
    /// Pieces that inputs are put together from.
    pub(crate) pieces: &'static [&'static str],
    /// Runs one input; says whether it was taken for what it is to be.
    pub(crate) run: fn(&[u8]) -> bool,
}

pub(crate) const TARGETS: &[Target] = &[
    Target {
        name: "url_policy",
        seeds: || texts(URLS),
        pieces: &[
            "https://",
            "http://",
            "@",
            ":",
            "/",
            "\\",
            "?",
            "#",
            "[",
            "]",
            "::",
            "::ffff:",
            "64:ff9b::",
            "127.1",
            "0x7f",
            "0177",
            "2130706433",
            "%2e",
            "%00",
            "\t",
            "\u{ff0e}",
            "\u{2460}",
            "localhost",
            ".internal",
            ":443",
            ":22",
            ".",
        ],
        run: url_policy,
    },
    Target {
        name: "retry_after",
        seeds: || {
            texts(&[
                "120",
                "0.5",
                "-120",
                "Sun, 06 Nov 1994 08:49:37 GMT",
                "Sunday, 06-Nov-94 08:49:37 GMT",
                "Sun Nov  6 08:49:37 1994",
                "Fri, 31 Dec 9999 23:59:59 GMT",
                "9999999999999999999",
            ])
        },
        pieces: &[
            "0", "9", ".", "-", "+", "e", " ", "GMT", "Sun, ", "Nov", "1994", ":",
        ],
        run: retry_after,
    },
    Target {
        name: "header_policy",
        seeds: header_lines,
        pieces: &[
            ":",
            "\r\n",
            "\0",
            "\t",
            " ",
            "x-",
            "webhook-",
            "proxy-",
            "sec-",
            "Host",
            "TE",
            "content-",
            "x-forwarded-",
            "Transfer-Encoding",
            "\u{17f}",
            "\u{212a}",
            "_",
        ],
        run: header_policy,
    },
    Target {
        name: "envelope",
        seeds: frames,
        pieces: &["\u{0}", "\u{1}", "\u{7f}", "acme", "shop.events"],
        run: decode,
    },
];

const URLS: &[&str] = &[
    "https://erp.acme.example/hooks?a=b",
    "https://erp.acme.example:8443/",
    "https://93.184.216.34/hooks",
    "https://127.0.0.1/",
    "https://0x7f.1/",
    "https://[::ffff:127.0.0.1]/",
    "https://[64:ff9b::5db8:d822]/",
    "https://user:secret@erp.example/",
    "https://\u{2460}\u{2461}\u{2466}.0.0.1/",
    "http://metadata.google.internal/",
];

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// The strict policy takes no URL that leads anywhere but to a public address
/// or a name, by HTTPS, and a URL reads the same again.
fn url_policy(bytes: &[u8]) -> bool {
    let policy = EgressPolicy {
        // The machine that runs this does not matter.
        is_own: |_| false,
        ..EgressPolicy::default()
    };
    let Ok(url) = Url::parse(&String::from_utf8_lossy(bytes)) else {
        return false;
    };
    if policy.check_url(&url).is_err() {
        return false;
    }
    assert_eq!(url.scheme(), "https");
    assert!(url.username().is_empty() && url.password().is_none());
    let port = url.port_or_known_default().expect("https has a port");
    assert!(port >= 1_024 || [80, 443].contains(&port));
    match url.host().expect("https has a host") {
        Host::Ipv4(ip) => {
            let inside = ip.is_private() || ip.is_loopback() || ip.is_link_local();
            assert!(
                !inside && !ip.is_unspecified() && !ip.is_multicast(),
                "{ip}"
            );
        }
        Host::Ipv6(ip) => {
            assert!(
                !ip.is_loopback() && !ip.is_unique_local() && !ip.is_multicast(),
                "{ip}"
            );
            assert_eq!(ip.to_ipv4_mapped(), None);
        }
        Host::Domain(name) => {
            assert!(name.parse::<IpAddr>().is_err(), "{name}");
            let bare = name.strip_suffix('.').unwrap_or(name);
            assert!(
                bare.contains('.') && !bare.split('.').any(str::is_empty),
                "{name}"
            );
            // Nothing that a resolver of another make could take for a number.
            let last = bare.rsplit('.').next();
            assert!(
                last.is_some_and(|label| label.parse::<u64>().is_err()),
                "{name}"
            );
        }
    }
    let again = Url::parse(url.as_str()).expect("what was read can be read");
    assert_eq!(again, url);
    assert!(policy.check_url(&again).is_ok());
    true
}

/// A hint is never earlier than what was asked for, nor a millisecond later;
/// nothing signed is one, and digits always are.
fn retry_after(bytes: &[u8]) -> bool {
    let Ok(value) = HeaderValue::from_bytes(bytes) else {
        return false;
    };
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_matches([' ', '\t']);
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let Some(hint) = RetryAfter::parse(&value) else {
        let seconds = (1..=64).contains(&text.len()) && digits(text);
        assert!(!seconds, "not understood");
        return false;
    };
    let now = UnixMillis(784_111_000_000);
    assert!(hint.wait(now) <= RETRY_AFTER_MAX);
    match hint {
        RetryAfter::Delay(wait) => {
            let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
            assert!(!whole.is_empty() && digits(whole) && digits(fraction));
            let asked: f64 = text.parse().expect("digits and a point are a number");
            let late = wait.as_secs_f64() - asked.min(RETRY_AFTER_MAX.as_secs_f64());
            // A float of ten years is right to less than a microsecond.
            assert!((-1e-6..0.001 + 1e-6).contains(&late), "{late} s late");
        }
        RetryAfter::At(at) => {
            assert!(text.starts_with(|c: char| c.is_ascii_alphabetic()));
            // The last two digits of the year are in every form of a date.
            let year = &at.to_rfc3339()[2..4];
            assert!(text.contains(year), "{at:?}");
        }
    }
    true
}

/// By which requests are framed, routed, signed or trusted. Not taken from the
/// rules that are tried here: who drops one there has to drop it here as well.
const NEVER: &[&str] = &[
    "accept-encoding",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "metadata",
    "metadata-flavor",
    "range",
    "set-cookie",
    "stripe-signature",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "trailers",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "www-authenticate",
    "x-google-metadata-request",
    "x-http-method",
    "x-http-method-override",
    "x-hub-signature-256",
    "x-method-override",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
    "x-shopify-hmac-sha256",
    "x-twilio-signature",
];

/// Families of such headers.
const NEVER_BEGINS: &[&str] = &[
    "webhook-",
    "ce-",
    "proxy-",
    "sec-",
    "x-forwarded-",
    "x-aliyun-ecs-metadata-token",
    "x-aws-ec2-metadata-token",
    "x-metadata-",
];

fn header_lines() -> Vec<Vec<u8>> {
    let mut lines = texts(NEVER);
    lines.extend(texts(NEVER_BEGINS));
    for line in &mut lines {
        line.extend(b": a");
    }
    // As many that are taken, or there is little to find.
    let others = texts(&[
        "x-tenant: acme",
        "X-A: b",
        "accept: */*",
        "x-a: b\r\nhost: c",
    ]);
    let count = lines.len();
    lines.extend(others.into_iter().cycle().take(count));
    lines
}

/// An endpoint's own headers can be sent, are one line, and are none by which
/// requests are framed, routed, signed or trusted.
fn header_policy(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let (name, value) = text.split_once(':').unwrap_or((&text, ""));
    let manifest = json!({
        "apiVersion": "hooklane/v1",
        "kind": "Endpoint",
        "metadata": {"tenant": "acme", "name": "erp"},
        "spec": {"url": "https://erp.acme.example/", "headers": {name: value.trim()}},
    });
    let Ok((document, _)) = parse_value(manifest, Strictness::Write) else {
        return false;
    };
    let Manifest::Endpoint(endpoint) = &document.manifest else {
        panic!("an endpoint was written");
    };
    let custom = endpoint.spec.headers.iter();
    for (name, value) in custom.flat_map(|custom| &custom.headers) {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header's name");
        HeaderValue::from_str(value).expect("a header's value");
        assert!(
            value.bytes().all(|b| (b' '..=b'~').contains(&b)),
            "{value:?}"
        );
        let name = name.as_str();
        assert!(!NEVER.contains(&name), "{name}");
        let family = NEVER_BEGINS.iter().find(|begin| name.starts_with(**begin));
        assert_eq!(family, None, "{name}");
    }
    true
}

fn envelope() -> Envelope {
    Envelope {
        origin: Origin::Ingest { run: 7 },
        event: EventHead {
            tenant: Some("acme".into()),
            source: "/shop".into(),
            id: "evt-1".into(),
            event_type: "order.created".into(),
            attributes: vec![("subject".into(), "42".into())],
            ..EventHead::default()
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
        targets: vec![Delivery {
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

/// One in which every number is a byte; lists and options are full.
fn narrow() -> Envelope {
    let mut envelope = envelope();
    envelope.event.content_type = Some("application/json".into());
    envelope.event.traceparent = Some("00-1-2-01".into());
    envelope.event.key_hash = Some(7);
    envelope.position.offset = 8;
    envelope.first_seen = UnixMillis(9);
    envelope.targets.push(envelope.targets[0]);
    envelope
}

fn frames() -> Vec<Vec<u8>> {
    let frames = [(envelope(), &b"{\"n\":1}"[..]), (narrow(), b"")];
    let frames = frames.map(|(envelope, payload)| {
        let frame = Bytes::from(envelope.encode(payload));
        let read = Envelope::decode(&frame).expect("what was written can be read");
        assert_eq!(read, (envelope, Bytes::from_static(payload)));
        frame.to_vec()
    });
    frames.into()
}

/// What can be read can be written, and reads the same again. Where no number
/// takes more than a byte, and so can't be written in a longer way than ours,
/// it is also the same bytes: nothing was left out on the way.
fn decode(bytes: &[u8]) -> bool {
    let Ok((envelope, payload)) = Envelope::decode(&Bytes::copy_from_slice(bytes)) else {
        return false;
    };
    assert!(!envelope.targets.is_empty());
    let written = envelope.encode(&payload);
    let body = bytes.strip_suffix(&payload[..]);
    let body = body.expect("the payload is what follows the body");
    // Wide numbers begin with 251 and up, and text has no such byte.
    if body.iter().all(|byte| *byte < 251) {
        assert_eq!(written, bytes);
    }
    let again = Envelope::decode(&Bytes::from(written));
    assert_eq!(
        again.expect("what was written can be read"),
        (envelope, payload)
    );
    true
}
