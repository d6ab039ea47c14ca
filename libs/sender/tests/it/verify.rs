//! Receivers that are asked whether they want to be called.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use hooklane_model::resource::{Manifest, parse_yaml};
use hooklane_model::secret::Secret;
use hooklane_model::time::UnixMillis;
use hooklane_sender::{Asked, Recipient, Sender, SenderConfig};
use http::HeaderValue;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::support::{Receiver, Seen, open_config, read_request, run, sender, sender_resolving};

const TOKEN: &str = "00112233445566778899aabbccddeeff";

fn asking(origin: Option<&'static str>) -> SenderConfig {
    SenderConfig {
        origin: origin.map(HeaderValue::from_static),
        ..open_config()
    }
}

fn recipient(sender: &Sender, url: &str, method: &str) -> Recipient {
    let yaml = format!(
        "apiVersion: hooklane/v1\nkind: Endpoint\nmetadata: {{tenant: acme, name: erp}}\nspec: \
         {{url: '{url}', timeout: 2s, verification: {method}, rateLimit: {{perSecond: 2}}, \
         format: standard, headers: {{x-acme: 'yes'}}, signing: {{scheme: github, secrets: \
         [{{valueFrom: {{file: signs}}}}]}}}}"
    );
    let Manifest::Endpoint(endpoint) = parse_yaml(&yaml).unwrap().remove(0).manifest else {
        panic!("an endpoint");
    };
    let secrets = [Secret::from("a secret that signs".to_owned())];
    Recipient::try_new(sender, &endpoint.spec, &secrets).unwrap()
}

/// What asking comes to, in a word or number.
fn word(asked: Asked) -> String {
    match asked {
        Asked::Agrees(None) => "any".to_owned(),
        Asked::Agrees(Some(rate)) => rate.to_string(),
        Asked::Refuses(refusal) => format!("{} {}", refusal.reason, refusal.status),
        Asked::NoAnswer(report) => report.result.unwrap_err().reason.to_string(),
        Asked::NoToken(reason) => reason.to_string(),
        Asked::CannotAsk(reason) => reason.to_owned(),
    }
}

async fn ask(sender: &Rc<Sender>, address: SocketAddr, method: &str) -> String {
    let url = format!("http://{address}/hooks?a=b");
    let recipient = recipient(sender, &url, method);
    let asked = recipient.verify(sender, TOKEN, UnixMillis(7_900), || true);
    word(asked.await)
}

fn values<'a>(seen: &'a Seen, name: &str) -> Vec<&'a str> {
    let lines = seen.head.lines().filter_map(|line| line.split_once(": "));
    let named = lines.filter(|(own, _)| own.eq_ignore_ascii_case(name));
    named.map(|(_, value)| value).collect()
}

/// Goal: a handshake is what CloudEvents says, and deliveries name us, too.
/// Method: heads read off the wire.
#[test]
fn a_handshake_asks_the_exact_url_in_our_name() {
    run(async {
        let answer = "HTTP/1.1 200 OK\r\nwebhook-allowed-origin: *\r\n\
                      webhook-allowed-rate: 120\r\ncontent-length: 0\r\n\r\n";
        let (receiver, seen) = Receiver::keeping(answer.as_bytes()).await;
        let sender = Rc::new(sender(asking(Some("hooks.acme.example"))));
        assert_eq!(ask(&sender, receiver.address, "handshake").await, "120");
        let seen = seen.all();
        let request = &seen[0];
        assert!(request.head.starts_with("OPTIONS /hooks?a=b HTTP/1.1\r\n"));
        for (name, value) in [
            ("webhook-request-origin", "hooks.acme.example"),
            ("webhook-request-rate", "120"),
            ("x-acme", "yes"),
        ] {
            assert_eq!(values(request, name), [value], "{name}");
        }
        assert!(request.body.is_empty());
        assert_eq!(values(request, "webhook-id").len(), 0, "no delivery");
    });
}

#[test]
fn challenge_and_ping_are_signed_events_in_the_endpoints_format() {
    run(async {
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 32\r\n\r\n\
                      00112233445566778899aabbccddeeff";
        let (receiver, seen) = Receiver::keeping(answer.as_bytes()).await;
        let sender = Rc::new(sender(asking(None)));
        for method in ["challenge", "ping"] {
            assert_eq!(ask(&sender, receiver.address, method).await, "any");
        }
        let seen = seen.all();
        for (request, kind) in seen.iter().zip(["hooklane.challenge", "hooklane.ping"]) {
            assert!(request.head.starts_with("POST /hooks?a=b HTTP/1.1\r\n"));
            let id = format!("vrf_{TOKEN}");
            assert_eq!(values(request, "webhook-id"), [id]);
            assert_eq!(values(request, "x-hub-signature-256").len(), 1);
            assert_eq!(values(request, "webhook-request-origin").len(), 0);
            let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
            assert_eq!(
                (&body["type"], &body["data"]["type"]),
                (&kind.into(), &kind.into())
            );
            let token = (kind == "hooklane.challenge").then_some(TOKEN);
            assert_eq!(body["data"]["challenge"].as_str(), token);
        }
    });
}

#[test]
fn an_answer_that_does_not_say_so_is_no_consent() {
    run(async {
        let config = || asking(Some("hooks.acme.example"));
        for (method, answer, expected) in [
            (
                "handshake",
                "200 OK\r\ncontent-length: 0\r\n\r\n",
                "no_consent 200",
            ),
            (
                "handshake",
                "204 No Content\r\nallow: OPTIONS, POST\r\n\r\n",
                "no_consent 204",
            ),
            (
                "handshake",
                "200 OK\r\nwebhook-allowed-origin: other.example\r\ncontent-length: 0\r\n\r\n",
                "wrong_origin 200",
            ),
            (
                "handshake",
                "200 OK\r\nwebhook-allowed-origin: *\r\nwebhook-allowed-rate: 0\r\n\
                 content-length: 0\r\n\r\n",
                "invalid_rate 200",
            ),
            (
                "handshake",
                "302 Found\r\nlocation: /other\r\nwebhook-allowed-origin: *\r\n\
                 content-length: 0\r\n\r\n",
                "status 302",
            ),
            (
                "handshake",
                "405 Method Not Allowed\r\nwebhook-allowed-origin: *\r\ncontent-length: 0\r\n\r\n",
                "status 405",
            ),
            (
                "challenge",
                "200 OK\r\ncontent-length: 2\r\n\r\nok",
                "wrong_answer 200",
            ),
            (
                "challenge",
                "200 OK\r\ncontent-length: 0\r\n\r\n",
                "wrong_answer 200",
            ),
            (
                "challenge",
                "500 Oops\r\ncontent-length: 32\r\n\r\n00112233445566778899aabbccddeeff",
                "status 500",
            ),
            (
                "ping",
                "307 Moved\r\nlocation: /\r\ncontent-length: 0\r\n\r\n",
                "status 307",
            ),
            ("ping", "HELLO", "protocol"),
        ] {
            let answer: &'static str = format!("HTTP/1.1 {answer}").leak();
            let receiver = Receiver::answering(answer.as_bytes()).await;
            let sender = Rc::new(sender(config()));
            let found = ask(&sender, receiver.address, method).await;
            assert_eq!(found, expected, "{method}: {answer}");
            assert_eq!(receiver.accepted(), 1, "nobody is followed");
        }
        let sender = Rc::new(sender(asking(None)));
        let nobody = "127.0.0.1:8080".parse().unwrap();
        assert_eq!(ask(&sender, nobody, "handshake").await, "no_origin");
    });
}

/// Goal: a body without an end costs no more than its cap, and is no consent.
/// Method: it begins with the right answer.
#[test]
fn an_endless_answer_is_no_consent() {
    run(async {
        let receiver = Receiver::start(|mut stream, _| async move {
            let _request = read_request(&mut stream).await;
            let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{TOKEN}");
            if stream.write_all(head.as_bytes()).await.is_err() {
                return;
            }
            while stream.write_all(&[b' '; 4096]).await.is_ok() {}
        })
        .await;
        let sender = Rc::new(sender(asking(None)));
        let found = ask(&sender, receiver.address, "challenge").await;
        assert_eq!(found, "wrong_answer 200");
    });
}

/// Goal: a forbidden address is not asked: it sees no connection. Method: it
/// listens, by a name that leads there and as a literal.
#[test]
fn a_forbidden_address_is_not_asked() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut config = asking(Some("hooks.acme.example"));
        config.egress.allow_cidrs = Vec::new();
        let sender = Rc::new(sender_resolving(config, vec![IpAddr::from([127, 0, 0, 1])]));
        for host in ["inside.example", "127.0.0.1"] {
            for method in ["handshake", "challenge", "ping"] {
                let url = format!("http://{host}:{port}/hooks");
                let recipient = recipient(&sender, &url, method);
                let asked = recipient.verify(&sender, TOKEN, UnixMillis(0), || true);
                assert_eq!(word(asked.await), "forbidden_address", "{method} {host}");
            }
        }
        let came = tokio::time::timeout(Duration::from_millis(1), listener.accept());
        assert!(came.await.is_err(), "a connection was made");
    });
}

#[test]
fn what_may_not_start_sends_nothing() {
    run(async {
        let (receiver, seen) =
            Receiver::keeping(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        let sender = Rc::new(sender(asking(None)));
        let url = format!("http://{}/hooks", receiver.address);
        let recipient = recipient(&sender, &url, "ping");
        let asked = recipient.verify(&sender, TOKEN, UnixMillis(0), || false);
        assert_eq!(word(asked.await), "not_started");
        assert!(seen.all().is_empty());
    });
}
