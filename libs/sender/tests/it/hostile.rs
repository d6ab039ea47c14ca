//! Receivers that misbehave: each has a reason, none keeps a connection, and
//! none costs more than its deadline.

use std::io::{ErrorKind, Write};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use hooklane_sender::{CloseReason, RetryAfter};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::{
    Full, Receiver, destination, let_pass, open_config, post, post_within, read_request, reason,
    request, run, run_letting_pass, sender, status,
};
use crate::tls;

/// What a receiver does with a request it has read, and what we call it.
struct Case {
    name: &'static str,
    answer: &'static [u8],
    /// Hangs up after the answer; otherwise it says no more.
    close: bool,
    reason: &'static str,
    status: Option<u16>,
}

const fn case(
    name: &'static str,
    answer: &'static [u8],
    close: bool,
    reason: &'static str,
    status: Option<u16>,
) -> Case {
    Case {
        name,
        answer,
        close,
        reason,
        status,
    }
}

const CASES: &[Case] = &[
    case("says nothing", b"", false, "timeout_response_headers", None),
    case("hangs up", b"", true, "closed", None),
    case(
        "half a head",
        b"HTTP/1.1 200 OK\r\ncontent-le",
        true,
        "closed",
        None,
    ),
    case(
        "half a head, then nothing",
        b"HTTP/1.1 200 OK\r\ncontent-le",
        false,
        "timeout_response_headers",
        None,
    ),
    case(
        "not HTTP",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        false,
        "protocol",
        None,
    ),
    case(
        "a status of letters",
        b"HTTP/1.1 abc OK\r\n\r\n",
        false,
        "protocol",
        None,
    ),
    case(
        "a header without a name",
        b"HTTP/1.1 200 OK\r\n: x\r\n\r\n",
        false,
        "protocol",
        None,
    ),
    case(
        "two lengths",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nokk",
        false,
        "protocol",
        None,
    ),
    case(
        "a negative length",
        b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nok",
        false,
        "protocol",
        None,
    ),
    case(
        "less body than promised",
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nok",
        true,
        "closed",
        Some(200),
    ),
    case(
        "a broken chunk",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nok\r\n",
        false,
        "protocol",
        Some(200),
    ),
    case(
        "a chunk that never ends",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\nok",
        true,
        "closed",
        Some(200),
    ),
    case(
        "an upgrade nobody asked for",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        false,
        "protocol",
        Some(101),
    ),
    case(
        "only an early hint",
        b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n",
        false,
        "timeout_response_headers",
        None,
    ),
];

#[test]
fn every_misbehaviour_has_its_reason() {
    run(async {
        for case in CASES {
            let receiver = Receiver::start(move |mut stream, _| async move {
                if read_request(&mut stream).await.is_none() {
                    return;
                }
                stream.write_all(case.answer).await.unwrap();
                if !case.close {
                    // Until the sender has given up.
                    assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0);
                }
            })
            .await;
            let sender = sender(open_config());
            let destination = destination(&sender, receiver.address);
            // A busy machine is no reason for another answer.
            let in_vain = case.reason.starts_with("timeout");
            let millis = if in_vain { 150 } else { 10_000 };
            let report = post_within(&sender, &destination, millis).await;
            assert_eq!(reason(&report), case.reason, "{}", case.name);
            let failure = report.result.unwrap_err();
            assert_eq!(failure.status, case.status, "{}", case.name);
            assert!(report.started, "{}", case.name);
            let stats = sender.stats();
            assert_eq!((stats.open(), stats.idle), (0, 0), "{}", case.name);
        }
    });
}

/// Writes `unit` until the sender hangs up.
async fn flood(head: &'static [u8], unit: Vec<u8>) -> Receiver {
    Receiver::start(move |mut stream, _| {
        let unit = unit.clone();
        async move {
            if read_request(&mut stream).await.is_none() {
                return;
            }
            let mut going = stream.write_all(head).await.is_ok();
            while going {
                going = stream.write_all(&unit).await.is_ok();
            }
        }
    })
    .await
}

#[test]
fn floods_end_by_a_limit_long_before_the_deadline() {
    run(async {
        let one_header = format!("x-a: {}\r\n", "a".repeat(1000)).into_bytes();
        let hint = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n".repeat(100);
        let extension = b"a=b;".repeat(1000);
        type Flood = (
            &'static str,
            &'static [u8],
            Vec<u8>,
            &'static [&'static str],
        );
        let cases: [Flood; 4] = [
            (
                "endless head",
                b"HTTP/1.1 200 OK\r\n",
                one_header,
                &["response_too_large"],
            ),
            (
                "101 headers",
                b"HTTP/1.1 200 OK\r\n",
                b"a: b\r\n"
                    .repeat(101)
                    .into_iter()
                    .chain(*b"\r\n")
                    .collect(),
                &["response_too_large"],
            ),
            ("endless hints", b"", hint, &["response_too_large"]),
            (
                "endless chunk extension",
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;",
                extension,
                // hyper has a limit of its own for these.
                &["response_too_large", "protocol"],
            ),
        ];
        for (name, head, unit, reasons) in cases {
            let receiver = flood(head, unit).await;
            let sender = sender(open_config());
            let destination = destination(&sender, receiver.address);
            let report = post_within(&sender, &destination, 15_000).await;
            assert!(reasons.contains(&reason(&report)), "{name}: {report:?}");
            assert_eq!(sender.stats().open(), 0, "{name}");
        }
    });
}

#[test]
fn a_flood_does_not_starve_the_deadline_or_the_thread() {
    run(async {
        // Within the limit of reads for longer than the deadline: one hint at a
        // time, and each puts the clock forward.
        let receiver = Receiver::start(|mut stream, _| async move {
            if read_request(&mut stream).await.is_none() {
                return;
            }
            let hint = b"HTTP/1.1 103 Early Hints\r\n\r\n";
            while stream.write_all(hint).await.is_ok() {
                let_pass(Duration::from_millis(100)).await;
            }
        })
        .await;
        let sender = sender(open_config());
        let destination = destination(&sender, receiver.address);
        let report = post_within(&sender, &destination, 5_000).await;
        assert_eq!(reason(&report), "timeout_response_headers");
    });
}

#[test]
fn an_endless_body_is_cut_and_the_status_stands() {
    run(async {
        let receiver = flood(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            b"400\r\n"
                .iter()
                .copied()
                .chain([b'x'; 1024])
                .chain(*b"\r\n")
                .collect(),
        )
        .await;
        let mut config = open_config();
        config.excerpt_max = 1_000;
        let sender = sender(config);
        let destination = destination(&sender, receiver.address);
        let report = post_within(&sender, &destination, 15_000).await;
        let response = report.result.unwrap();
        assert_eq!(response.status, 200);
        assert_eq!(response.excerpt.unwrap(), "x".repeat(1_000).as_bytes());
        assert_eq!(sender.stats().closed_for(CloseReason::Undrained), 1);
        assert_eq!(sender.stats().open(), 0);
    });
}

#[test]
fn a_body_within_the_drain_limit_keeps_the_connection() {
    run(async {
        let receiver = Receiver::start(|mut stream, _| async move {
            while read_request(&mut stream).await.is_some() {
                let body = "y".repeat(60_000);
                let answer = format!("HTTP/1.1 500 No\r\ncontent-length: 60000\r\n\r\n{body}");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        })
        .await;
        let sender = sender(open_config());
        let destination = destination(&sender, receiver.address);
        for n in 0..3 {
            let report = post(&sender, &destination).await;
            assert_eq!(status(&report), 500);
            assert_eq!(report.reused, n > 0);
            assert_eq!(report.result.unwrap().excerpt, None);
        }
        assert_eq!(receiver.accepted(), 1);
    });
}

/// Goal: an answer counts from its head on, so that nobody who said 200, 410
/// or 503 is called again, or not heard, because of a body that does not end;
/// and the deadline ends it. Method: a body that stops, and one that drips.
#[test]
fn an_answer_stands_when_its_body_does_not_end() {
    let is_open = |error: std::io::Error| error.kind() == ErrorKind::WouldBlock;
    run_letting_pass(Duration::from_secs(60), async move {
        for (head, status, wait) in [
            ("200 OK", 200, None),
            ("503 Busy\r\nretry-after: 7", 503, Some(7)),
            ("410 Gone", 410, None),
        ] {
            for drips in [false, true] {
                let receiver = Receiver::start(move |mut stream, _| async move {
                    if read_request(&mut stream).await.is_none() {
                        return;
                    }
                    let head = format!("HTTP/1.1 {head}\r\ncontent-length: 1000\r\n\r\n");
                    stream.write_all(head.as_bytes()).await.unwrap();
                    // Until the sender hangs up; time goes by on its own clock.
                    while stream.try_read(&mut [0; 1]).is_err_and(is_open) {
                        let_pass(Duration::from_millis(100)).await;
                        if drips && stream.write_all(b"x").await.is_err() {
                            return;
                        }
                    }
                })
                .await;
                let sender = sender(open_config());
                let destination = destination(&sender, receiver.address);
                let report = post_within(&sender, &destination, 5_000).await;
                let response = report.result.unwrap();
                assert_eq!(response.status, status, "{head}");
                let wait = wait.map(|seconds| RetryAfter::Delay(Duration::from_secs(seconds)));
                assert_eq!(response.retry_after, wait, "{head}");
                let stats = sender.stats();
                assert_eq!(stats.closed_for(CloseReason::Undrained), 1, "{head}");
                assert_eq!(stats.open(), 0, "{head}");
            }
        }
    });
}

#[test]
fn a_receiver_that_does_not_read_is_a_timeout_of_writing() {
    run(async {
        let receiver = Receiver::start(|stream, _| async move {
            std::future::pending::<()>().await;
            drop(stream);
        })
        .await;
        let sender = sender(open_config());
        let destination = destination(&sender, receiver.address);
        let mut request = request(&destination, b"");
        request.body = vec![0; 32 * 1024 * 1024].into();
        request.timeout = Duration::from_millis(300);
        let report = sender.attempt(&destination, request, || true).await;
        assert_eq!(reason(&report), "timeout_write");
        assert_eq!(sender.stats().open(), 0);
    });
}

#[test]
fn an_early_answer_counts_and_ends_the_connection() {
    run(async {
        let receiver = Receiver::start(|mut stream, _| async move {
            let mut start = [0; 64];
            stream.read_exact(&mut start).await.unwrap();
            let answer = b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(answer).await.unwrap();
            std::future::pending::<()>().await;
        })
        .await;
        let sender = sender(open_config());
        let destination = destination(&sender, receiver.address);
        let mut request = request(&destination, b"");
        request.body = vec![0; 32 * 1024 * 1024].into();
        let report = sender.attempt(&destination, request, || true).await;
        assert_eq!(status(&report), 413);
        let stats = sender.stats();
        assert_eq!((stats.open(), stats.idle), (0, 0));
    });
}

/// Goal: an answer that has come counts, though the receiver hung up on the
/// rest of the request: what is said is not asked for again.
/// Method: the receiver answers and closes between the connection's being
/// there and the first byte of a large request, which then runs into a reset.
#[test]
fn an_answer_before_a_hangup_is_heard_though_writing_fails() {
    for secure in [false, true] {
        run(async move {
            let identity = tls::identity(tls::NAME, &[b"http/1.1"]);
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let tls_config = identity.acceptor.config().clone();
            let (answer, asked) = mpsc::sync_channel::<()>(1);
            let (done, answered) = mpsc::sync_channel::<()>(1);
            // On a thread of its own, because the sender's waits for it.
            let receiver = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut session = rustls::ServerConnection::new(tls_config).unwrap();
                while secure && session.is_handshaking() {
                    session.complete_io(&mut stream).unwrap();
                }
                asked.recv().unwrap();
                let text = format!("HTTP/1.1 413 No\r\ncontent-length: 9000\r\n\r\n{:9000}", "");
                if secure {
                    session.writer().write_all(text.as_bytes()).unwrap();
                    while session.wants_write() {
                        session.write_tls(&mut stream).unwrap();
                    }
                } else {
                    stream.write_all(text.as_bytes()).unwrap();
                }
                drop(stream);
                done.send(()).unwrap();
            });
            let sender = tls::sender(open_config(), &identity.ca);
            let to = if secure {
                tls::secure(&sender, address)
            } else {
                destination(&sender, address)
            };
            let mut request = request(&to, b"");
            request.body = vec![0; 8 << 20].into();
            let may_start = || {
                answer.send(()).unwrap();
                answered.recv().is_ok()
            };
            let report = sender.attempt(&to, request, may_start).await;
            assert_eq!(status(&report), 413, "TLS: {secure}");
            let stats = sender.stats();
            assert_eq!((stats.opened, stats.open()), (1, 0));
            receiver.join().unwrap();
        });
    }
}

/// Goal: nobody answers a request before it is made. Method: one write with
/// the answer and one more, as when a response is split.
#[test]
fn an_answer_in_advance_is_not_the_next_ones() {
    run(async {
        let receiver = Receiver::start(|mut stream, at| async move {
            while read_request(&mut stream).await.is_some() {
                let answer: &[u8] = if at == 0 {
                    b"HTTP/1.1 500 No\r\ncontent-length: 2\r\n\r\nno\
                      HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
                } else {
                    b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n"
                };
                stream.write_all(answer).await.unwrap();
            }
        })
        .await;
        let sender = sender(open_config());
        let destination = destination(&sender, receiver.address);
        assert_eq!(status(&post(&sender, &destination).await), 500);
        assert_eq!(status(&post(&sender, &destination).await), 503);
        assert_eq!(receiver.accepted(), 2);
    });
}

#[test]
fn a_reset_is_a_reset() {
    run(async {
        let receiver = Receiver::start(|mut stream, _| async move {
            read_request(&mut stream).await.unwrap();
            // Closing with linger 0 sends RST instead of FIN.
            stream.set_zero_linger().unwrap();
        })
        .await;
        let sender = sender(open_config());
        let destination = destination(&sender, receiver.address);
        let report = post(&sender, &destination).await;
        assert_eq!(reason(&report), "reset");
        assert!(report.started);
    });
}

#[test]
fn refused_and_unreachable() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let sender = sender(open_config());
        let destination = destination(&sender, address);
        let report = post(&sender, &destination).await;
        assert_eq!(reason(&report), "connect_refused");
        assert!(!report.started);
        assert_eq!(sender.stats().opened, 0);
    });
}

#[test]
fn connecting_has_its_own_limit() {
    run(async {
        let full = Full::start().await;
        let mut config = open_config();
        config.connect_timeout = Duration::from_millis(150);
        let sender = sender(config);
        let destination = destination(&sender, full.address);
        let begun = Instant::now();
        let report = post_within(&sender, &destination, 10_000).await;
        assert_eq!(reason(&report), "connect_timeout");
        assert!(begun.elapsed() < Duration::from_secs(5));
        assert!(!report.started);
    });
}
