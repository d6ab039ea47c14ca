//! Idle connections: stale, old, too many.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hooklane_sender::CloseReason;
use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;

use crate::support::{
    Receiver, destination, let_pass, open_config, post, read_request, reason, request, run, sender,
    status, until,
};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Serves one request per connection, and closes it when told to.
struct Forgetful {
    receiver: Receiver,
    requests: Arc<AtomicUsize>,
    /// The sender's end of the connection that was closed last.
    closed: Arc<Mutex<Option<SocketAddr>>>,
    close: Arc<Notify>,
}

impl Forgetful {
    async fn start() -> Self {
        let requests = Arc::new(AtomicUsize::new(0));
        let closed = Arc::new(Mutex::new(None));
        let close = Arc::new(Notify::new());
        let shared = (
            Arc::clone(&requests),
            Arc::clone(&closed),
            Arc::clone(&close),
        );
        let receiver = Receiver::start(move |mut stream, _| {
            let (requests, closed, close) = shared.clone();
            async move {
                let peer = stream.peer_addr().unwrap();
                if read_request(&mut stream).await.is_some() {
                    requests.fetch_add(1, Ordering::SeqCst);
                    stream.write_all(OK).await.unwrap();
                    close.notified().await;
                }
                drop(stream);
                *closed.lock().unwrap() = Some(peer);
            }
        })
        .await;
        Self {
            receiver,
            requests,
            closed,
            close,
        }
    }

    /// Closes the one open connection, waits until our end of it knows, and
    /// gives the runtime the turn in which it hears of that.
    async fn close_one(&self) {
        self.closed.lock().unwrap().take();
        self.close.notify_one();
        until("our end knows that the receiver has closed", || {
            let closed = *self.closed.lock().unwrap();
            closed.is_some_and(is_closed_by_peer)
        })
        .await;
        tokio::task::yield_now().await;
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// Whether the kernel has this end of an IPv4 connection in CLOSE-WAIT.
fn is_closed_by_peer(local: SocketAddr) -> bool {
    const CLOSE_WAIT: &str = "08";
    let port = format!(":{:04X}", local.port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    table.lines().any(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let (own, _peer, state) = (words.next(), words.next(), words.next());
        own.is_some_and(|own| own.ends_with(&port)) && state == Some(CLOSE_WAIT)
    })
}

#[test]
fn a_stale_connection_is_replaced_once_and_nothing_is_sent_twice() {
    run(async {
        let receiver = Forgetful::start().await;
        let sender = sender(open_config());
        let destination = destination(&sender, receiver.receiver.address);
        let starts = AtomicUsize::new(0);
        for n in 0..5 {
            let request = request(&destination, b"x");
            let report = sender
                .attempt(&destination, request, || {
                    starts.fetch_add(1, Ordering::SeqCst);
                    true
                })
                .await;
            assert_eq!(status(&report), 200);
            assert_eq!(report.replaced_stale, n > 0);
            assert!(!report.reused);
            receiver.close_one().await;
        }
        assert_eq!(receiver.requests(), 5);
        assert_eq!(starts.load(Ordering::SeqCst), 9);
        assert_eq!(sender.stats().closed_for(CloseReason::Peer), 4);
    });
}

#[test]
fn a_request_that_was_written_is_not_written_again() {
    run(async {
        let requests = Arc::new(AtomicUsize::new(0));
        let log = Arc::clone(&requests);
        // The second request on a connection is read and answered by a close.
        let receiver = Receiver::start(move |mut stream, _| {
            let log = Arc::clone(&log);
            async move {
                read_request(&mut stream).await.unwrap();
                log.fetch_add(1, Ordering::SeqCst);
                stream.write_all(OK).await.unwrap();
                if read_request(&mut stream).await.is_some() {
                    log.fetch_add(1, Ordering::SeqCst);
                }
            }
        })
        .await;
        let sender = sender(open_config());
        let destination = destination(&sender, receiver.address);
        assert_eq!(status(&post(&sender, &destination).await), 200);
        let report = post(&sender, &destination).await;
        assert_eq!(reason(&report), "closed");
        assert!(report.started && report.reused && !report.replaced_stale);
        assert_eq!(requests.load(Ordering::SeqCst), 2);
        assert_eq!(receiver.accepted(), 1);
    });
}

#[test]
fn the_lease_is_asked_again_before_a_replacement_is_written() {
    run(async {
        let receiver = Forgetful::start().await;
        let sender = sender(open_config());
        let destination = destination(&sender, receiver.receiver.address);
        assert_eq!(status(&post(&sender, &destination).await), 200);
        receiver.close_one().await;
        let asked = AtomicUsize::new(0);
        let request = request(&destination, b"x");
        let report = sender
            .attempt(&destination, request, || {
                asked.fetch_add(1, Ordering::SeqCst) == 0
            })
            .await;
        assert_eq!(reason(&report), "not_started");
        assert!(!report.started);
        assert_eq!(receiver.requests(), 1);
    });
}

#[test]
fn the_least_recently_used_makes_room() {
    run(async {
        let mut config = open_config();
        config.idle_connections_max = 2;
        let sender = sender(config);
        let mut receivers = Vec::new();
        let mut destinations = Vec::new();
        for _ in 0..3 {
            let receiver = Receiver::answering(OK).await;
            destinations.push(destination(&sender, receiver.address));
            receivers.push(receiver);
        }
        for at in [0, 1, 0, 2] {
            post(&sender, &destinations[at]).await;
        }
        let stats = sender.stats();
        assert_eq!(stats.idle, 2);
        assert_eq!(stats.closed_for(CloseReason::Evicted), 1);
        // 1 was the least recently used.
        for (at, reused) in [(0, true), (2, true), (1, false)] {
            let report = post(&sender, &destinations[at]).await;
            assert_eq!(report.reused, reused, "{at}");
        }
        drop(destinations);
        let stats = sender.stats();
        assert_eq!((stats.idle, stats.open()), (0, 0));
    });
}

#[test]
fn idle_time_and_age_end_a_connection() {
    // Longer than the test takes, so that only the clock that it puts forward
    // gets there; twice that is within what `run` gives a test.
    let (soon, later) = (Duration::from_secs(8), Duration::from_secs(600));
    for (idle, age, reason) in [
        (soon, later, CloseReason::Idle),
        (later, soon, CloseReason::Age),
    ] {
        run(async {
            let receiver = Receiver::answering(OK).await;
            let mut config = open_config();
            config.idle_timeout = idle;
            config.connection_age_max = age;
            let sender = sender(config);
            let destination = destination(&sender, receiver.address);
            post(&sender, &destination).await;
            sender.maintain();
            assert_eq!(sender.stats().idle, 1);
            let_pass(soon).await;
            sender.maintain();
            assert_eq!(sender.stats().idle, 0);
            assert_eq!(sender.stats().closed_for(reason), 1);
            // Also without upkeep it is not used again.
            post(&sender, &destination).await;
            assert!(post(&sender, &destination).await.reused);
            let_pass(soon).await;
            let report = post(&sender, &destination).await;
            assert!(!report.reused);
            assert_eq!(sender.stats().closed_for(reason), 2);
        });
    }
}

#[test]
fn upkeep_finds_what_the_receiver_has_closed() {
    run(async {
        let receiver = Forgetful::start().await;
        let sender = sender(open_config());
        let destination = destination(&sender, receiver.receiver.address);
        post(&sender, &destination).await;
        assert_eq!(sender.stats().idle, 1);
        receiver.close_one().await;
        sender.maintain();
        assert_eq!(sender.stats().idle, 0);
        assert_eq!(sender.stats().closed_for(CloseReason::Peer), 1);
    });
}

#[test]
fn many_attempts_leave_the_books_in_order() {
    run(async {
        let mut config = open_config();
        config.idle_connections_max = 3;
        let sender = sender(config);
        let receiver = Receiver::answering(OK).await;
        let destinations: Vec<_> = (0..5)
            .map(|_| destination(&sender, receiver.address))
            .collect();
        // A seeded walk over the destinations; each step costs at most one
        // connection and never leaves more idle than allowed.
        let mut at = 7_usize;
        for _ in 0..500 {
            at = (at * 31 + 11) % 65_537;
            let report = post(&sender, &destinations[at % 5]).await;
            assert_eq!(status(&report), 200);
            let stats = sender.stats();
            assert!(stats.idle <= 3);
            assert_eq!(stats.open(), stats.idle as u64);
        }
        let stats = sender.stats();
        assert_eq!(stats.opened + stats.reused, 500);
    });
}

#[test]
fn answers_are_tried_in_turn() {
    run(async {
        let receiver = Receiver::answering(OK).await;
        let dead: IpAddr = "127.0.0.2".parse().unwrap();
        let live: IpAddr = "127.0.0.1".parse().unwrap();
        let sender = crate::support::sender_resolving(open_config(), vec![dead, live]);
        let url = format!("http://receiver.test:{}/", receiver.address.port());
        let destination = sender.destination(&url.parse().unwrap()).unwrap();
        let report = post(&sender, &destination).await;
        assert_eq!(status(&report), 200);
        assert!(report.timings.dns.is_some() && report.timings.connect.is_some());
    });
}
