//! TLS: ALPN, HTTP/2 shared by attempts, certificates, and what goes wrong.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hooklane_sender::{CloseReason, Destination, Protocol, Sender, SenderConfig, TlsDefaults};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::CertifiedKey;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use url::Url;

use crate::support::{
    self, Receiver, loopback, open_config, post, post_within, reason, request, run, status,
};

pub(crate) const NAME: &str = "receiver.test";

pub(crate) struct Identity {
    pub(crate) ca: CertificateDer<'static>,
    pub(crate) acceptor: TlsAcceptor,
}

pub(crate) fn identity(name: &str, alpn: &[&[u8]]) -> Identity {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key.into())
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
    Identity {
        ca: cert.der().clone(),
        acceptor: TlsAcceptor::from(Arc::new(config)),
    }
}

pub(crate) fn sender(config: SenderConfig, ca: &CertificateDer<'static>) -> Sender {
    let tls = TlsDefaults::load(std::slice::from_ref(ca)).unwrap();
    Sender::new(config, tls, loopback())
}

pub(crate) fn secure(sender: &Sender, address: SocketAddr) -> Rc<Destination> {
    let url = Url::parse(&format!("https://{NAME}:{}/hooks?a=b", address.port())).unwrap();
    sender.destination(&url).unwrap()
}

/// What an HTTP/2 receiver has seen.
#[derive(Clone, Default)]
struct Log {
    connections: Arc<AtomicUsize>,
    requests: support::Log<http::request::Parts>,
    /// Requests to `hold` wait for this.
    release: Arc<Notify>,
}

impl Log {
    fn requests(&self) -> usize {
        self.requests.len()
    }
}

async fn answer(
    log: Log,
    request: http::Request<Incoming>,
) -> Result<http::Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let hold = head.headers.contains_key("x-hold");
    let big = head.headers.contains_key("x-big");
    log.requests.push(head);
    let body = body.collect().await.map(|body| body.to_bytes());
    if hold {
        log.release.notified().await;
    }
    if big {
        return Ok(http::Response::new(Full::new(vec![b'x'; 1 << 20].into())));
    }
    Ok(http::Response::new(Full::new(body.unwrap_or_default())))
}

/// An HTTP/2 receiver over TLS that takes at most `streams` at once.
async fn http2_receiver(identity: &Identity, streams: u32, log: Log) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = identity.acceptor.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, log) = (acceptor.clone(), log.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                log.connections.fetch_add(1, Ordering::SeqCst);
                let service = service_fn(move |request| answer(log.clone(), request));
                let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                builder.max_concurrent_streams(streams);
                // The sender hanging up is how most tests end.
                let _ended = builder
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    address
}

#[test]
fn alpn_chooses_http2_and_one_connection_serves_all() {
    run(async {
        let identity = identity(NAME, &[b"h2", b"http/1.1"]);
        let log = Log::default();
        let address = http2_receiver(&identity, 100, log.clone()).await;
        let sender = sender(open_config(), &identity.ca);
        let destination = secure(&sender, address);
        // At once, with no connection yet: still only one is made.
        let posts = [(); 4].map(|()| post(&sender, &destination));
        let [a, b, c, d] = posts;
        let (a, b, c, d) = tokio::join!(a, b, c, d);
        for report in [&a, &b, &c, &d] {
            assert_eq!(status(report), 200);
            assert_eq!(report.protocol, Some(Protocol::Http2));
        }
        assert!(a.timings.tls.is_some());
        for _ in 0..3 {
            let report = post(&sender, &destination).await;
            assert!(report.reused);
            assert_eq!(status(&report), 200);
        }
        assert_eq!(log.connections.load(Ordering::SeqCst), 1);
        assert_eq!(log.requests(), 7);
        let requests = log.requests.all();
        let head = &requests[0];
        assert_eq!(head.uri.path_and_query().unwrap(), "/hooks?a=b");
        assert_eq!(head.uri.host(), Some(NAME));
        assert_eq!(head.headers["content-length"], "7");
        assert_eq!(head.headers["webhook-id"], "dlv_1");
        let agent = head.headers["user-agent"].to_str().unwrap();
        assert!(agent.starts_with("hooklane/"));
        assert!(!head.headers.contains_key("host"));
        let stats = sender.stats();
        assert_eq!((stats.opened, stats.idle, stats.open()), (1, 1, 1));
    });
}

#[test]
fn http1_over_tls_is_kept_alive() {
    run(async {
        let identity = identity(NAME, &[b"http/1.1"]);
        let acceptor = identity.acceptor.clone();
        let receiver = Receiver::start(move |stream, _| {
            let acceptor = acceptor.clone();
            async move {
                let stream = acceptor.accept(stream).await.unwrap();
                let service = service_fn(|request| answer(Log::default(), request));
                let _ended = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            }
        })
        .await;
        let sender = sender(open_config(), &identity.ca);
        let destination = secure(&sender, receiver.address);
        for n in 0..3 {
            let report = post(&sender, &destination).await;
            assert_eq!(status(&report), 200);
            assert_eq!(report.protocol, Some(Protocol::Http1));
            assert_eq!(report.reused, n > 0);
        }
        assert_eq!(receiver.accepted(), 1);
    });
}

#[test]
fn a_dropped_attempt_resets_its_stream_and_nothing_else() {
    run(async {
        let identity = identity(NAME, &[b"h2"]);
        let log = Log::default();
        let address = http2_receiver(&identity, 100, log.clone()).await;
        let sender = sender(open_config(), &identity.ca);
        let destination = secure(&sender, address);
        assert_eq!(status(&post(&sender, &destination).await), 200);
        let mut held = request(&destination, b"x");
        held.headers.insert("x-hold", "1".parse().unwrap());
        {
            let attempt = sender.attempt(&destination, held, || true);
            let mut attempt = std::pin::pin!(attempt);
            // Another attempt is answered on the same connection meanwhile.
            tokio::select! {
                biased;
                _ = &mut attempt => panic!("it is held"),
                report = async {
                    log.requests.reaches(2).await;
                    post(&sender, &destination).await
                } => assert_eq!(status(&report), 200),
            }
        }
        let report = post(&sender, &destination).await;
        assert_eq!(status(&report), 200);
        assert!(report.reused);
        assert_eq!(log.connections.load(Ordering::SeqCst), 1);
        assert_eq!(sender.stats().idle, 1);
    });
}

#[test]
fn a_timeout_without_any_answer_leaves_the_connection() {
    run(async {
        let identity = identity(NAME, &[b"h2"]);
        let log = Log::default();
        let address = http2_receiver(&identity, 100, log.clone()).await;
        let sender = sender(open_config(), &identity.ca);
        let destination = secure(&sender, address);
        let mut held = request(&destination, b"x");
        held.headers.insert("x-hold", "1".parse().unwrap());
        held.timeout = Duration::from_millis(200);
        let report = sender.attempt(&destination, held, || true).await;
        assert_eq!(reason(&report), "timeout_response_headers");
        assert_eq!(sender.stats().closed_for(CloseReason::Aborted), 1);
        let report = post(&sender, &destination).await;
        assert_eq!(status(&report), 200);
        assert!(!report.reused);
        assert_eq!(log.connections.load(Ordering::SeqCst), 2);
    });
}

#[test]
fn taken_streams_mean_another_connection_not_a_queue() {
    run(async {
        let identity = identity(NAME, &[b"h2"]);
        let log = Log::default();
        let address = http2_receiver(&identity, 1, log.clone()).await;
        let sender = sender(open_config(), &identity.ca);
        let destination = secure(&sender, address);
        // Two exchanges: the first brings the receiver's settings.
        for _ in 0..2 {
            assert_eq!(status(&post(&sender, &destination).await), 200);
        }
        let mut held = request(&destination, b"x");
        held.headers.insert("x-hold", "1".parse().unwrap());
        let held = sender.attempt(&destination, held, || true);
        let other = async {
            log.requests.reaches(3).await;
            let report = post(&sender, &destination).await;
            log.release.notify_one();
            report
        };
        let (held, other) = tokio::join!(held, other);
        assert_eq!(status(&held), 200);
        assert_eq!(status(&other), 200);
        assert_eq!(log.connections.load(Ordering::SeqCst), 2);
    });
}

#[test]
fn an_endless_body_resets_its_stream_and_keeps_the_connection() {
    run(async {
        let identity = identity(NAME, &[b"h2"]);
        let log = Log::default();
        let address = http2_receiver(&identity, 100, log.clone()).await;
        let sender = sender(open_config(), &identity.ca);
        let destination = secure(&sender, address);
        for _ in 0..20 {
            let mut big = request(&destination, b"x");
            big.headers.insert("x-big", "1".parse().unwrap());
            let report = sender.attempt(&destination, big, || true).await;
            assert_eq!(status(&report), 200);
        }
        assert_eq!(log.connections.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn may_start_false_opens_no_stream() {
    run(async {
        let identity = identity(NAME, &[b"h2"]);
        let log = Log::default();
        let address = http2_receiver(&identity, 100, log.clone()).await;
        let sender = sender(open_config(), &identity.ca);
        let destination = secure(&sender, address);
        let refused = request(&destination, b"x");
        let report = sender.attempt(&destination, refused, || false).await;
        assert_eq!(reason(&report), "not_started");
        assert!(post(&sender, &destination).await.reused);
        assert_eq!(log.requests(), 1);
    });
}

#[test]
fn handshakes_that_fail() {
    run(async {
        let good = identity(NAME, &[b"h2"]);
        let other_name = identity("other.test", &[b"h2"]);
        for (identity, ca, expected) in [
            (&other_name, &other_name.ca, "tls"),
            (&good, &other_name.ca, "tls"),
        ] {
            let address = http2_receiver(identity, 100, Log::default()).await;
            let sender = sender(open_config(), ca);
            let report = post(&sender, &secure(&sender, address)).await;
            assert_eq!(reason(&report), expected);
            assert!(!report.started);
            assert_eq!(sender.stats().opened, 0);
        }
        // An alert that says: nothing in common.
        let receiver = Receiver::start(|mut stream, _| async move {
            let mut hello = [0; 1024];
            assert!(stream.read(&mut hello).await.unwrap() > 0);
            stream.write_all(&[21, 3, 3, 0, 2, 2, 40]).await.unwrap();
        })
        .await;
        let sender = sender(open_config(), &good.ca);
        let report = post(&sender, &secure(&sender, receiver.address)).await;
        assert_eq!(reason(&report), "tls_incompatible");
        // One that takes the hello and never answers.
        let receiver = Receiver::start(|mut stream, _| async move {
            while stream.read(&mut [0; 1024]).await.is_ok_and(|n| n > 0) {}
        })
        .await;
        let destination = secure(&sender, receiver.address);
        let report = post_within(&sender, &destination, 200).await;
        assert_eq!(reason(&report), "timeout_tls");
        assert!(!report.started);
    });
}
