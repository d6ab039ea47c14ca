//! Connections through an egress proxy: who is asked for what, and whose
//! fault it is when it does not come about.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hooklane_sender::{EgressProxy, SenderConfig, Side};
use http::HeaderValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use url::Url;

use crate::support::{
    Full, Receiver, destination, open_config, post, post_within, read_request, reason, run,
    sender as plain_sender, sender_resolving, status,
};
use crate::tls::{NAME, identity, secure, sender as secure_sender};

pub(crate) type Heads = Arc<Mutex<Vec<String>>>;

/// A proxy that connects to whatever it is asked for, and notes the heads.
pub(crate) async fn proxy(heads: &Heads) -> Receiver {
    let heads = Arc::clone(heads);
    Receiver::start(move |mut client, _| {
        let heads = Arc::clone(&heads);
        async move {
            let Some(seen) = read_request(&mut client).await else {
                return;
            };
            let target = seen.head.split(' ').nth(1).unwrap().to_owned();
            heads.lock().unwrap().push(seen.head);
            let mut target = TcpStream::connect(target).await.unwrap();
            client
                .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
                .await
                .unwrap();
            // Either end hanging up is how it ends.
            copy_bidirectional(&mut client, &mut target).await.ok();
        }
    })
    .await
}

pub(crate) fn through(proxy: &Receiver) -> SenderConfig {
    let mut config = open_config();
    let url = format!("http://{}", proxy.address);
    config.proxy = Some(EgressProxy::try_new(&url).unwrap());
    config
}

/// A receiver that notes the heads of its requests.
async fn target(heads: &Heads) -> Receiver {
    let heads = Arc::clone(heads);
    Receiver::start(move |mut stream, _| {
        let heads = Arc::clone(&heads);
        async move {
            while let Some(seen) = read_request(&mut stream).await {
                heads.lock().unwrap().push(seen.head);
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                stream.write_all(answer).await.unwrap();
            }
        }
    })
    .await
}

#[test]
fn the_judged_address_is_asked_for_and_the_connection_kept() {
    run(async {
        let (asked, requests) = (Heads::default(), Heads::default());
        let proxy = proxy(&asked).await;
        let target = target(&requests).await;
        let mut config = through(&proxy);
        let secret = HeaderValue::from_static("Basic c2VjcmV0");
        config.proxy = config.proxy.map(|proxy| proxy.authorized(secret));
        // The proxy stands outside of what endpoints may resolve to.
        let sender = sender_resolving(config, vec!["127.0.0.1".parse().unwrap()]);
        let port = target.address.port();
        let url = Url::parse(&format!("http://erp.example:{port}/hooks")).unwrap();
        let destination = sender.destination(&url).unwrap();
        for n in 0..3 {
            let report = post(&sender, &destination).await;
            assert_eq!(status(&report), 200);
            assert_eq!(report.reused, n > 0);
        }
        let expected = format!(
            "CONNECT 127.0.0.1:{port} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\
             proxy-authorization: Basic c2VjcmV0\r\n\r\n"
        );
        assert_eq!(*asked.lock().unwrap(), [expected]);
        let requests = requests.lock().unwrap();
        assert_eq!(requests.len(), 3);
        for head in requests.iter() {
            assert!(
                head.starts_with("POST /hooks HTTP/1.1\r\nhost: erp.example:"),
                "{head}"
            );
            assert!(!head.contains("c2VjcmV0"), "{head}");
        }
    });
}

#[test]
fn tls_goes_through_to_the_receiver() {
    run(async {
        let asked = Heads::default();
        let proxy = proxy(&asked).await;
        let identity = identity(NAME, &[b"http/1.1"]);
        let acceptor = identity.acceptor.clone();
        let target = Receiver::start(move |stream, _| {
            let acceptor = acceptor.clone();
            async move {
                let mut stream = acceptor.accept(stream).await.unwrap();
                let mut request = [0; 1024];
                assert!(stream.read(&mut request).await.unwrap() > 0);
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                stream.write_all(answer).await.unwrap();
                assert_eq!(stream.read(&mut request).await.unwrap_or(0), 0);
            }
        })
        .await;
        let sender = secure_sender(through(&proxy), &identity.ca);
        let destination = secure(&sender, target.address);
        assert_eq!(status(&post(&sender, &destination).await), 200);
        assert_eq!(asked.lock().unwrap().len(), 1);
    });
}

#[test]
fn a_forbidden_address_is_not_even_asked_for() {
    run(async {
        let asked = Heads::default();
        let proxy = proxy(&asked).await;
        let target = target(&Heads::default()).await;
        let mut config = through(&proxy);
        config.egress.allow_cidrs = Vec::new();
        let sender = plain_sender(config);
        let destination = destination(&sender, target.address);
        assert_eq!(
            reason(&post(&sender, &destination).await),
            "forbidden_address"
        );
        assert_eq!((proxy.accepted(), target.accepted()), (0, 0));
    });
}

/// What a proxy answers, and whose fault that is: one line a case.
#[test]
fn failures_of_the_proxy_are_ours_and_those_it_tells_of_are_not() {
    run(async {
        let endless = vec![b'a'; 20_000];
        let cases: [(&'static str, Vec<u8>, &str, Side); 10] = [
            (
                "who are you",
                b"HTTP/1.1 407 No\r\n\r\n".into(),
                "proxy",
                Side::Us,
            ),
            (
                "denied",
                b"HTTP/1.1 403 No\r\n\r\n".into(),
                "proxy",
                Side::Us,
            ),
            (
                "overloaded",
                b"HTTP/1.1 503 No\r\n\r\n".into(),
                "proxy",
                Side::Us,
            ),
            (
                "redirects",
                b"HTTP/1.1 302 No\r\nlocation: x\r\n\r\n".into(),
                "proxy",
                Side::Us,
            ),
            (
                "no HTTP",
                b"SSH-2.0-OpenSSH\r\n\r\n".into(),
                "proxy",
                Side::Us,
            ),
            ("hangs up", Vec::new(), "proxy", Side::Us),
            ("endless", endless, "proxy", Side::Us),
            (
                "speaks for the target",
                b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n".into(),
                "proxy",
                Side::Us,
            ),
            (
                "target dead",
                b"HTTP/1.1 502 No\r\n\r\n".into(),
                "connect",
                Side::Network,
            ),
            (
                "target silent",
                b"HTTP/1.1 504 No\r\n\r\n".into(),
                "connect_timeout",
                Side::Network,
            ),
        ];
        for (name, answer, expected, side) in cases {
            let proxy = Receiver::start(move |mut client, _| {
                let answer = answer.clone();
                async move {
                    read_request(&mut client).await.unwrap();
                    client.write_all(&answer).await.ok();
                }
            })
            .await;
            let sender = plain_sender(through(&proxy));
            let destination = destination(&sender, "127.0.0.1:8081".parse().unwrap());
            let report = post(&sender, &destination).await;
            assert_eq!(reason(&report), expected, "{name}");
            assert!(!report.started, "{name}");
            let failure = report.result.unwrap_err();
            assert_eq!(failure.side(), side, "{name}");
            assert_eq!(
                failure.reason.is_outage_of_ours(),
                side == Side::Us,
                "{name}"
            );
            assert_eq!(sender.stats().opened, 0, "{name}");
        }
    });
}

#[test]
fn other_statuses_can_mean_the_target() {
    run(async {
        let proxy = Receiver::answering(b"HTTP/1.1 503 No\r\n\r\n").await;
        let mut config = through(&proxy);
        let more = vec![502, 503, 504];
        config.proxy = config.proxy.map(|proxy| proxy.with_target_statuses(more));
        let sender = plain_sender(config);
        let destination = destination(&sender, "127.0.0.1:8081".parse().unwrap());
        assert_eq!(reason(&post(&sender, &destination).await), "connect");
    });
}

#[test]
fn a_proxy_that_is_not_there_is_ours_and_one_that_waits_is_not() {
    run(async {
        let gone = Receiver::answering(b"").await;
        let address = gone.address;
        drop(gone);
        let mut config = open_config();
        let proxy = EgressProxy::try_new(&format!("http://{address}"));
        config.proxy = Some(proxy.unwrap());
        let sender = plain_sender(config);
        let destination_ = destination(&sender, "127.0.0.1:8081".parse().unwrap());
        assert_eq!(reason(&post(&sender, &destination_).await), "proxy");

        // The connect to it hangs.
        let full = Full::start().await;
        for connect_timeout in [150, 5_000] {
            let mut config = open_config();
            let proxy = EgressProxy::try_new(&format!("http://{}", full.address));
            config.proxy = Some(proxy.unwrap());
            config.connect_timeout = Duration::from_millis(connect_timeout);
            let sender = plain_sender(config);
            let destination = destination(&sender, "127.0.0.1:8081".parse().unwrap());
            let report = post_within(&sender, &destination, 300).await;
            assert_eq!(reason(&report), "proxy", "{connect_timeout}");
        }

        // It has taken our question and waits, for the target as we must think.
        let waiting = Receiver::start(|mut client, _| async move {
            read_request(&mut client).await.unwrap();
            assert_eq!(client.read(&mut [0; 1]).await.unwrap_or(0), 0);
        })
        .await;
        let mut config = through(&waiting);
        config.connect_timeout = Duration::from_millis(150);
        let sender = plain_sender(config);
        let destination = destination(&sender, "127.0.0.1:8081".parse().unwrap());
        assert_eq!(
            reason(&post(&sender, &destination).await),
            "connect_timeout"
        );
    });
}
