//! Receivers that misbehave within HTTP/2, frame by frame: each has a reason,
//! and a flood ends by a limit long before the deadline.

use hooklane_sender::CloseReason;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Receiver, open_config, post_within, reason, run, status, until};
use crate::tls::{Identity, NAME, identity, secure, sender};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// `:status: 200` and `103` in HPACK; `x: 16,000 bytes` without indexing.
const STATUS_200: &[u8] = &[0x88];
const STATUS_103: &[u8] = &[0x08, 3, b'1', b'0', b'3'];

fn long_header() -> Vec<u8> {
    // 16,000 = 127 + 15,873, seven bits at a time.
    let mut block = vec![0, 1, b'x', 0x7f, 0x81, 0xfc, 0];
    block.extend([b'y'; 16_000]);
    block
}

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags, 0, 0, 0, stream]);
    bytes.extend(payload);
    bytes
}

/// Reads the request's headers, writes `once` and then `again` until the
/// sender hangs up; an empty `again` is silence.
async fn receiver(identity: &Identity, once: Vec<u8>, again: Vec<u8>) -> Receiver {
    let acceptor = identity.acceptor.clone();
    Receiver::start(move |stream, _| {
        let (acceptor, once, again) = (acceptor.clone(), once.clone(), again.clone());
        async move {
            let mut stream = acceptor.accept(stream).await.unwrap();
            let settings = frame(SETTINGS, 0, 0, &[]);
            stream.write_all(&settings).await.unwrap();
            let mut seen = Vec::new();
            // The preface, its frames and the request are more than that.
            while seen.len() < 150 {
                if stream.read_buf(&mut seen).await.unwrap_or(0) == 0 {
                    return;
                }
            }
            // It goes on reading, so that nothing but a limit ends a flood.
            let (mut from, mut to) = tokio::io::split(stream);
            let reading = async {
                let mut rest = [0; 4096];
                while from.read(&mut rest).await.is_ok_and(|n| n > 0) {}
            };
            let writing = async {
                let mut going = to.write_all(&once).await.is_ok();
                while going && !again.is_empty() {
                    going = to.write_all(&again).await.is_ok();
                    // By turns: reads are counted, and large ones take long
                    // in a debug build.
                    tokio::task::yield_now().await;
                }
            };
            tokio::join!(reading, writing);
        }
    })
    .await
}

/// Writes `once`, then `again` without end, and what that is called. The
/// deadline is far away: only a limit ends these.
type Case = (&'static str, Vec<u8>, Vec<u8>, &'static str);

/// One frame, and then silence.
fn endings() -> [Case; 5] {
    // No stream was looked at; NO_ERROR and ENHANCE_YOUR_CALM.
    let leaves = |code| frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, code]);
    let ends = |code| frame(RST_STREAM, 0, 1, &[0, 0, 0, code]);
    [
        ("REFUSED_STREAM", ends(7), "reset"),
        ("CANCEL", ends(8), "reset"),
        ("goes", leaves(0), "closed"),
        ("calm", leaves(11), "closed"),
        ("never opened", frame(DATA, 0, 9, &[0]), "protocol"),
    ]
    .map(|(name, once, reason)| (name, once, Vec::new(), reason))
}

fn floods() -> [Case; 7] {
    let head = frame(HEADERS, END_HEADERS, 1, STATUS_200);
    let long = [STATUS_200, &long_header()[..]].concat();
    let three_long = [
        frame(HEADERS, 0, 1, &long),
        frame(CONTINUATION, 0, 1, &long_header()),
        frame(CONTINUATION, END_HEADERS, 1, &long_header()),
    ];
    let hint = frame(HEADERS, END_HEADERS, 1, STATUS_103);
    let ping = frame(PING, 0, 0, &[0; 8]);
    let settings = frame(SETTINGS, 0, 0, &[]);
    let nothing = Vec::new();
    [
        (
            "a head beyond the limit",
            three_long.concat(),
            nothing.clone(),
            "protocol",
        ),
        (
            "a head that never ends",
            frame(HEADERS, 0, 1, STATUS_200),
            frame(CONTINUATION, 0, 1, &long_header()),
            "protocol",
        ),
        (
            "hints without end",
            nothing.clone(),
            hint.repeat(20),
            "response_too_large",
        ),
        (
            "pings without end",
            nothing.clone(),
            ping.repeat(20),
            "response_too_large",
        ),
        (
            "settings without end",
            nothing.clone(),
            settings.repeat(20),
            "response_too_large",
        ),
        (
            "empty data without end",
            head,
            frame(DATA, 0, 1, &[]).repeat(20),
            "protocol",
        ),
        (
            "a frame beyond its size",
            frame(DATA, 0, 1, &[b'x'; 70_000]),
            nothing,
            "protocol",
        ),
    ]
}

#[test]
fn every_misbehaviour_has_its_reason_and_ends_by_a_limit() {
    run(async {
        for (name, once, again, expected) in endings().into_iter().chain(floods()) {
            let identity = identity(NAME, &[b"h2"]);
            let receiver = receiver(&identity, once, again).await;
            let sender = sender(open_config(), &identity.ca);
            let destination = secure(&sender, receiver.address);
            let report = post_within(&sender, &destination, 15_000).await;
            assert_eq!(reason(&report), expected, "{name}: {report:?}");
            assert!(report.started, "{name}");
            assert_eq!(receiver.accepted(), 1, "{name}");
        }
    });
}

/// Goal: an answer counts from its head on, also when what follows is cut off
/// by the deadline or by the limit on reads. Method: no body at all, and pings
/// without end.
#[test]
fn an_answer_stands_when_its_body_does_not_end() {
    run(async {
        let pings = frame(PING, 0, 0, &[0; 8]).repeat(20);
        for (again, millis) in [(Vec::new(), 300), (pings, 15_000)] {
            let identity = identity(NAME, &[b"h2"]);
            let head = frame(HEADERS, END_HEADERS, 1, STATUS_200);
            let receiver = receiver(&identity, head, again).await;
            let sender = sender(open_config(), &identity.ca);
            let destination = secure(&sender, receiver.address);
            let report = post_within(&sender, &destination, millis).await;
            assert_eq!(status(&report), 200, "{report:?}");
        }
    });
}

/// Goal: an idle connection is no way to keep a worker busy. Method: a proper
/// answer, and then pings without end.
#[test]
fn a_flood_on_an_idle_connection_ends_it() {
    run(async {
        let identity = identity(NAME, &[b"h2"]);
        // HEADERS with END_STREAM as well.
        let answer = frame(HEADERS, END_HEADERS | 1, 1, STATUS_200);
        let pings = frame(PING, 0, 0, &[0; 8]).repeat(20);
        let receiver = receiver(&identity, answer, pings).await;
        let sender = sender(open_config(), &identity.ca);
        let destination = secure(&sender, receiver.address);
        let report = post_within(&sender, &destination, 15_000).await;
        assert_eq!(status(&report), 200);
        until("the connection ends", || {
            sender.maintain();
            sender.stats().open() == 0
        })
        .await;
        assert_eq!(sender.stats().closed_for(CloseReason::Peer), 1);
    });
}
