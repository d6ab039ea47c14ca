//! Plain HTTP/1.1: what is sent, and what becomes of the connection.

use std::time::Duration;

use hooklane_sender::{CloseReason, Protocol};

use crate::support::{
    Log, Receiver, destination, open_config, post, read_request, reason, request, run, sender,
    status,
};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[test]
fn one_connection_serves_attempt_after_attempt() {
    run(async {
        let receiver = Receiver::answering(OK).await;
        let sender = sender(open_config());
        let destination = destination(&sender, receiver.address);
        for n in 0..20 {
            let report = post(&sender, &destination).await;
            assert_eq!(status(&report), 200);
            assert_eq!(report.reused, n > 0);
            assert!(report.started);
            assert_eq!(report.protocol, Some(Protocol::Http1));
        }
        assert_eq!(receiver.accepted(), 1);
        let stats = sender.stats();
        assert_eq!((stats.opened, stats.reused, stats.idle), (1, 19, 1));
        assert_eq!(stats.open(), 1);
    });
}

#[test]
fn the_request_is_what_was_asked_for() {
    run(async {
        let (receiver, seen) = Receiver::keeping(OK).await;
        let sender = sender(open_config());
        let destination = destination(&sender, receiver.address);
        assert_eq!(status(&post(&sender, &destination).await), 200);
        let empty = request(&destination, b"");
        assert_eq!(
            status(&sender.attempt(&destination, empty, || true).await),
            200
        );
        let mut foreign = request(&destination, b"x");
        foreign
            .headers
            .insert("host", "internal.example".parse().unwrap());
        assert_eq!(
            status(&sender.attempt(&destination, foreign, || true).await),
            200
        );
        let seen = seen.all();
        let lines: Vec<_> = seen[0].head.lines().collect();
        assert_eq!(lines[0], "POST /hooks?a=b HTTP/1.1");
        assert_eq!(lines[1], format!("host: {}", receiver.address));
        assert!(lines.contains(&"content-length: 7"));
        assert!(lines.contains(&"webhook-id: dlv_1"));
        assert!(lines.iter().any(|l| l.starts_with("user-agent: hooklane/")));
        assert_eq!(seen[0].body, b"{\"n\":1}");
        assert!(seen[1].head.contains("content-length: 0"));
        assert!(
            seen[2]
                .head
                .contains(&format!("host: {}", receiver.address))
        );
        assert!(!seen[2].head.contains("internal.example"));
    });
}

#[test]
fn framing_headers_are_refused() {
    run(async {
        let receiver = Receiver::answering(OK).await;
        let sender = sender(open_config());
        let destination = destination(&sender, receiver.address);
        for name in [
            "content-length",
            "transfer-encoding",
            "connection",
            "expect",
            "te",
        ] {
            let mut request = request(&destination, b"x");
            request.headers.insert(name, "1".parse().unwrap());
            let report = sender.attempt(&destination, request, || true).await;
            assert_eq!(reason(&report), "invalid_request", "{name}");
            assert!(!report.started);
        }
        assert_eq!(receiver.accepted(), 0);
    });
}

#[test]
fn may_start_false_sends_nothing() {
    run(async {
        let (receiver, seen) = Receiver::keeping(OK).await;
        let sender = sender(open_config());
        let destination = destination(&sender, receiver.address);
        for _ in 0..3 {
            let refused = request(&destination, b"x");
            let report = sender.attempt(&destination, refused, || false).await;
            assert_eq!(reason(&report), "not_started");
            assert!(!report.started);
        }
        // The connection is as good as new, and serves the next attempt alone.
        let report = post(&sender, &destination).await;
        assert_eq!(status(&report), 200);
        assert!(report.reused);
        assert_eq!(receiver.accepted(), 1);
        assert_eq!(seen.len(), 1);
    });
}

#[test]
fn dropping_the_attempt_closes_its_connection() {
    run(async {
        let closed = Log::default();
        let log = closed.clone();
        let receiver = Receiver::start(move |mut stream, _| {
            let log = log.clone();
            async move {
                read_request(&mut stream).await.unwrap();
                assert!(read_request(&mut stream).await.is_none());
                log.push(());
            }
        })
        .await;
        let sender = sender(open_config());
        let destination = destination(&sender, receiver.address);
        let attempt = post(&sender, &destination);
        assert!(
            tokio::time::timeout(Duration::from_millis(50), attempt)
                .await
                .is_err()
        );
        assert_eq!(sender.stats().closed_for(CloseReason::Aborted), 1);
        assert_eq!(sender.stats().open(), 0);
        closed.reaches(1).await;
    });
}

#[test]
fn connection_close_is_obeyed() {
    run(async {
        let receiver = Receiver::answering(
            b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
        )
        .await;
        let sender = sender(open_config());
        let destination = destination(&sender, receiver.address);
        for _ in 0..3 {
            let report = post(&sender, &destination).await;
            assert_eq!(status(&report), 200);
            assert!(!report.reused);
        }
        assert_eq!(sender.stats().closed_for(CloseReason::Peer), 3);
        assert_eq!(sender.stats().idle, 0);
    });
}
