//! Access tokens: asked for once by all who wait, kept, replaced, and what a
//! hostile token server comes to.

use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hooklane_model::resource::{Manifest, parse_yaml};
use hooklane_model::secret::Secret;
use hooklane_model::time::UnixMillis;
use hooklane_sender::oauth::{Token, TokenFailure, Tokens};
use hooklane_sender::{Asked, FailureReason, Recipient, Sender};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::support::{
    Log, Receiver, Seen, let_pass, open_config, read_request, run, run_letting_pass, sender,
    sender_resolving,
};

/// More than any of these tests puts the clock forward.
const HOURS: Duration = Duration::from_secs(7_200);

/// A token server that answers the nth request, from 1, with what it is told.
struct Server {
    receiver: Receiver,
    asked: Log<Seen>,
    open: watch::Sender<bool>,
}

impl Server {
    async fn start(answer: impl Fn(usize) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::start_with(true, answer).await
    }

    /// Answers nothing until it is opened.
    async fn closed(answer: impl Fn(usize) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::start_with(false, answer).await
    }

    async fn start_with(
        open: bool,
        answer: impl Fn(usize) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        let asked = Log::default();
        let (log, answer) = (asked.clone(), Arc::new(answer));
        let (open, opened) = watch::channel(open);
        let receiver = Receiver::start(move |mut stream, _| {
            let (log, answer, mut opened) = (log.clone(), answer.clone(), opened.clone());
            async move {
                while let Some(request) = read_request(&mut stream).await {
                    let nth = log.push(request);
                    opened.wait_for(|open| *open).await.unwrap();
                    if stream.write_all(&answer(nth)).await.is_err() {
                        return;
                    }
                }
            }
        });
        Self {
            receiver: receiver.await,
            asked,
            open,
        }
    }

    fn asked(&self) -> usize {
        self.asked.len()
    }

    fn url(&self) -> String {
        format!("http://{}/token", self.receiver.address)
    }
}

fn response(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes()
}

/// Token `t<n>`, for an hour.
fn grant(n: usize) -> Vec<u8> {
    let body = format!(r#"{{"access_token":"t{n}","token_type":"Bearer","expires_in":3600}}"#);
    response("200 OK", &body)
}

fn recipient(sender: &Sender, token_url: &str, more: &str) -> Recipient {
    recipient_at(sender, "https://erp.example/", token_url, more)
}

fn recipient_at(sender: &Sender, url: &str, token_url: &str, more: &str) -> Recipient {
    let yaml = format!(
        "apiVersion: hooklane/v1\nkind: Endpoint\nmetadata: {{tenant: acme, name: erp}}\nspec: \
         {{url: '{url}', timeout: 4s, verification: ping, signing: {{scheme: none}}, auth: {{oauth2: \
         {{tokenUrl: '{token_url}', clientId: hooks, clientSecret: {{valueFrom: {{file: \
         client}}}}{more}}}}}}}"
    );
    let Manifest::Endpoint(endpoint) = parse_yaml(&yaml).unwrap().remove(0).manifest else {
        panic!("an endpoint");
    };
    let secrets = [Secret::from("hunter2\n".to_owned())];
    Recipient::try_new(sender, &endpoint.spec, &secrets).unwrap()
}

fn tokens(sender: &Sender, token_url: &str) -> Rc<Tokens> {
    let recipient = recipient(sender, token_url, "");
    Rc::clone(recipient.tokens().unwrap())
}

async fn ask(tokens: &Rc<Tokens>, sender: &Rc<Sender>) -> Result<Token, TokenFailure> {
    let deadline = Instant::now() + Duration::from_secs(4);
    tokens.current(sender, deadline).await
}

/// The text of a token that is there.
async fn text(tokens: &Rc<Tokens>, sender: &Rc<Sender>) -> String {
    let token = ask(tokens, sender).await.map_err(|e| e.to_string());
    token.unwrap().header().to_str().unwrap().to_owned()
}

async fn reason(tokens: &Rc<Tokens>, sender: &Rc<Sender>) -> &'static str {
    let failure = ask(tokens, sender).await.map(|_| ()).unwrap_err();
    failure.reason.as_str()
}

/// Polls a future once; it has to wait.
async fn begin<F: Future>(mut future: Pin<&mut F>) {
    poll_fn(|cx| {
        assert!(future.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
}

#[test]
fn all_who_wait_share_one_request_and_the_token_serves_until_it_expires() {
    run_letting_pass(HOURS, async {
        let server = Server::closed(grant).await;
        let sender = Rc::new(sender(open_config()));
        let tokens = tokens(&sender, &server.url());
        let local = tokio::task::LocalSet::new();
        let waiting: Vec<_> = (0..50)
            .map(|_| {
                let (tokens, sender) = (tokens.clone(), sender.clone());
                local.spawn_local(async move { text(&tokens, &sender).await })
            })
            .collect();
        local
            .run_until(async {
                server.asked.reaches(1).await;
                server.open.send_replace(true);
                for one in waiting {
                    assert_eq!(one.await.unwrap(), "Bearer t1");
                }
            })
            .await;
        // Nine tenths of an hour less the skew of 30 s, at the earliest.
        let_pass(Duration::from_secs(3_200)).await;
        assert_eq!(text(&tokens, &sender).await, "Bearer t1");
        assert_eq!(server.asked(), 1);
        let_pass(Duration::from_secs(3_570 - 3_200)).await;
        assert_eq!(text(&tokens, &sender).await, "Bearer t2");
        assert_eq!(server.asked(), 2);
    });
}

#[test]
fn who_is_dropped_leaves_the_request_to_the_others() {
    run(async {
        let server = Server::closed(grant).await;
        let sender = Rc::new(sender(open_config()));
        let tokens = tokens(&sender, &server.url());
        let mut second = pin!(ask(&tokens, &sender));
        {
            let mut first = pin!(ask(&tokens, &sender));
            begin(first.as_mut()).await;
            begin(second.as_mut()).await;
        }
        // Nobody but the second drives it now.
        let open = async {
            server.asked.reaches(1).await;
            server.open.send_replace(true);
        };
        let (token, ()) = tokio::join!(second, open);
        let token = token.map_err(|e| e.to_string()).unwrap();
        assert_eq!(token.header(), "Bearer t1");
        assert_eq!(server.asked(), 1);
    });
}

#[test]
fn a_request_that_nobody_waits_for_ends_and_the_next_one_asks() {
    run(async {
        let server = Server::closed(grant).await;
        let sender = Rc::new(sender(open_config()));
        let tokens = tokens(&sender, &server.url());
        {
            let mut only = pin!(ask(&tokens, &sender));
            let asked = server.asked.reaches(1);
            tokio::select! {
                biased;
                _ = only.as_mut() => panic!("it answers nothing"),
                () = asked => {}
            }
        }
        assert_eq!(sender.stats().open(), 0, "its connection is closed");
        server.open.send_replace(true);
        assert_eq!(text(&tokens, &sender).await, "Bearer t2");
    });
}

#[test]
fn a_failure_is_everybodys_answer_for_a_while_that_doubles() {
    run_letting_pass(HOURS, async {
        let refusal = |_| response("401 No", r#"{"error":"invalid_client"}"#);
        let server = Server::start(refusal).await;
        let sender = Rc::new(sender(open_config()));
        let tokens = tokens(&sender, &server.url());
        for (nth, pause) in [1, 2, 4, 8, 16, 32, 60, 60].into_iter().enumerate() {
            assert_eq!(reason(&tokens, &sender).await, "refused");
            assert_eq!(server.asked(), nth + 1, "after {pause} s");
            let_pass(Duration::from_millis(pause * 1_000 - 500)).await;
            assert_eq!(reason(&tokens, &sender).await, "refused");
            assert_eq!(server.asked(), nth + 1, "within {pause} s");
            let_pass(Duration::from_millis(500)).await;
        }
    });
}

#[test]
fn a_token_server_is_left_alone_for_as_long_as_it_asks_within_reason() {
    run_letting_pass(HOURS, async {
        let busy = |_| {
            let head = "HTTP/1.1 429 Slow\r\nretry-after: 86400\r\ncontent-length: 0\r\n\r\n";
            head.as_bytes().to_vec()
        };
        let server = Server::start(busy).await;
        let sender = Rc::new(sender(open_config()));
        let tokens = tokens(&sender, &server.url());
        assert_eq!(reason(&tokens, &sender).await, "unavailable");
        let_pass(Duration::from_millis(299_500)).await;
        assert_eq!(reason(&tokens, &sender).await, "unavailable");
        assert_eq!(server.asked(), 1);
        let_pass(Duration::from_millis(500)).await;
        assert_eq!(reason(&tokens, &sender).await, "unavailable");
        assert_eq!(server.asked(), 2);
    });
}

#[test]
fn a_token_that_was_good_is_replaced_once_and_not_again_at_once() {
    run_letting_pass(HOURS, async {
        let server = Server::start(grant).await;
        let sender = Rc::new(sender(open_config()));
        let tokens = tokens(&sender, &server.url());
        let first = ask(&tokens, &sender).await.ok().unwrap();
        assert!(!tokens.rejected(&first), "new, and never accepted");
        first.accepted();
        assert!(tokens.rejected(&first));
        // Others had theirs refused at the same time.
        assert!(tokens.rejected(&first));
        let second = ask(&tokens, &sender).await.ok().unwrap();
        assert_eq!(second.header(), "Bearer t2");
        assert!(tokens.rejected(&first), "there is another one by now");
        second.accepted();
        assert!(!tokens.rejected(&second), "so soon");
        let_pass(Duration::from_secs(10)).await;
        assert!(tokens.rejected(&second));
        let third = ask(&tokens, &sender).await.ok().unwrap();
        assert_eq!(server.asked(), 3);
        // Never accepted, but old enough to have gone bad.
        let_pass(Duration::from_secs(10)).await;
        assert!(tokens.rejected(&third));
    });
}

#[test]
fn two_endpoints_share_neither_tokens_nor_connections() {
    run(async {
        let server = Server::start(grant).await;
        let sender = Rc::new(sender(open_config()));
        let both = [0, 1].map(|_| tokens(&sender, &server.url()));
        assert_eq!(text(&both[0], &sender).await, "Bearer t1");
        assert_eq!(text(&both[1], &sender).await, "Bearer t2");
        assert_eq!(text(&both[0], &sender).await, "Bearer t1");
        assert_eq!(server.receiver.accepted(), 2);
    });
}

#[test]
fn who_asks_is_said_where_the_spec_wants_it() {
    run(async {
        let server = Server::start(grant).await;
        let sender = Rc::new(sender(open_config()));
        let body = ", clientAuthentication: body, scopes: [a, b]";
        for more in ["", body] {
            let recipient = recipient(&sender, &server.url(), more);
            let asked = ask(recipient.tokens().unwrap(), &sender).await;
            assert!(asked.is_ok());
        }
        let asked = server.asked.all().clone();
        let head = &asked[0].head;
        assert!(head.starts_with("POST /token HTTP/1.1\r\n"), "{head}");
        // hooks:hunter2
        assert!(head.contains("\r\nauthorization: Basic aG9va3M6aHVudGVyMg==\r\n"));
        assert!(head.contains("\r\naccept: application/json\r\n"), "{head}");
        assert!(head.contains("\r\ncontent-type: application/x-www-form-urlencoded\r\n"));
        assert_eq!(asked[0].body, b"grant_type=client_credentials");
        assert!(
            !asked[1].head.contains("authorization"),
            "{}",
            asked[1].head
        );
        let expected =
            "grant_type=client_credentials&scope=a+b&client_id=hooks&client_secret=hunter2";
        assert_eq!(asked[1].body, expected.as_bytes());
    });
}

/// Goal: whatever a token server does, no token comes of it but a good one, in
/// bounded time and memory, and the reason says what it was.
#[test]
fn hostile_token_servers() {
    run(async {
        let other = Server::start(grant).await;
        let redirect = format!(
            "HTTP/1.1 307 There\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n",
            other.url()
        );
        let with = |field: &str| {
            let body = format!(r#"{{"access_token":"x","token_type":"bearer",{field}}}"#);
            response("200 OK", &body)
        };
        let token = |token: &str| {
            let body = format!(r#"{{"access_token":"{token}","token_type":"bearer"}}"#);
            response("200 OK", &body)
        };
        let cases = [
            (response("500 No", ""), "unavailable", "token_unavailable"),
            (response("200 OK", ""), "invalid", "token_invalid"),
            (
                response("400 No", r#"{"error":"invalid_scope"}"#),
                "refused",
                "token_refused",
            ),
            (redirect.into_bytes(), "refused", "token_refused"),
            (
                response("200 OK", "<html>Log in</html>"),
                "invalid",
                "token_invalid",
            ),
            (
                response("200 OK", &"x".repeat(1 << 20)),
                "invalid",
                "token_invalid",
            ),
            (token(r"a\r\nx-evil: b"), "invalid", "token_invalid"),
            (token("a b"), "invalid", "token_invalid"),
            (with(r#""access_token":"y""#), "invalid", "token_invalid"),
            (
                b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(),
                "protocol",
                "token_unavailable",
            ),
            (
                b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\ncontent-length: 8\r\n\r\n".to_vec(),
                "protocol",
                "token_unavailable",
            ),
        ];
        for (answer, expected, attempt) in cases {
            let shown = String::from_utf8_lossy(&answer[..answer.len().min(80)]).into_owned();
            let server = Server::start(move |_| answer.clone()).await;
            let sender = Rc::new(sender(open_config()));
            let tokens = tokens(&sender, &server.url());
            let failure = ask(&tokens, &sender).await.map(|_| ()).unwrap_err();
            assert_eq!(failure.reason.as_str(), expected, "{shown}");
            assert_eq!(failure.attempt_reason().as_str(), attempt, "{shown}");
        }
        assert_eq!(other.asked(), 0, "a redirect was followed");
    });
}

#[test]
fn token_servers_that_hang_up_or_never_end() {
    run(async {
        for (name, expected) in [
            ("resets", "reset"),
            ("hangs up", "closed"),
            ("floods", "invalid"),
        ] {
            let receiver = Receiver::start(move |mut stream, _| async move {
                if name == "resets" {
                    // What was not read makes the close a reset.
                    let mut first = [0];
                    stream.read_exact(&mut first).await.unwrap();
                    stream.set_zero_linger().unwrap();
                    return;
                }
                read_request(&mut stream).await;
                if name == "floods" {
                    let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
                    let mut going = stream.write_all(head).await.is_ok();
                    let chunk = [&b"400\r\n"[..], &[b'x'; 1_024], b"\r\n"].concat();
                    while going {
                        going = stream.write_all(&chunk).await.is_ok();
                    }
                }
            });
            let receiver = receiver.await;
            let sender = Rc::new(sender(open_config()));
            let url = format!("http://{}/", receiver.address);
            let tokens = tokens(&sender, &url);
            assert_eq!(reason(&tokens, &sender).await, expected, "{name}");
            assert_eq!(sender.stats().open(), 0, "{name}");
        }
    });
}

#[test]
fn a_token_server_that_says_nothing_has_three_quarters_of_the_timeout() {
    run_letting_pass(HOURS, async {
        let server = Server::closed(grant).await;
        let sender = Rc::new(sender(open_config()));
        let tokens = tokens(&sender, &server.url());
        let mut waiting = pin!(ask(&tokens, &sender));
        let asked = server.asked.reaches(1);
        tokio::select! {
            biased;
            _ = waiting.as_mut() => panic!("it answers nothing"),
            () = asked => {}
        }
        let_pass(Duration::from_millis(3_000)).await;
        let failure = waiting.await.map(|_| ()).unwrap_err();
        assert_eq!(failure.reason.as_str(), "timeout_response_headers");
        assert_eq!(failure.attempt_reason().as_str(), "token_unavailable");
        // And nobody asks again at once.
        assert_eq!(reason(&tokens, &sender).await, "timeout_response_headers");
        assert_eq!(server.asked(), 1);
    });
}

/// Goal: who asks for consent has one timeout, for its token and its request.
/// Method: the token comes after half of it, and the receiver says nothing for
/// the other half; anything later is too late.
#[test]
fn a_question_has_what_its_token_leaves_of_the_timeout() {
    run_letting_pass(HOURS, async {
        let server = Server::closed(grant).await;
        let silent = Server::closed(grant).await;
        let sender = Rc::new(sender(open_config()));
        let recipient = recipient_at(&sender, &silent.url(), &server.url(), "");
        let mut waiting = pin!(recipient.verify(&sender, "0", UnixMillis(0), || true));
        for (asked, opens) in [(&server, true), (&silent, false)] {
            let came = asked.asked.reaches(1);
            tokio::select! {
                biased;
                _ = waiting.as_mut() => panic!("nobody has answered"),
                () = came => {}
            }
            let_pass(Duration::from_secs(2)).await;
            if opens {
                asked.open.send_replace(true);
            }
        }
        let ended = tokio::time::timeout(Duration::from_secs(1), waiting).await;
        let Ok(Asked::NoAnswer(report)) = ended else {
            panic!("{ended:?}");
        };
        let failure = report.result.unwrap_err();
        assert_eq!(failure.reason.as_str(), "timeout_response_headers");
    });
}

/// The word is the one that deliveries have for it.
#[test]
fn without_a_token_nobody_is_asked_for_consent() {
    run(async {
        let refuses = |_| response("401 Unauthorized", r#"{"error":"invalid_client"}"#);
        let server = Server::start(refuses).await;
        let silent = Server::closed(grant).await;
        let sender = Rc::new(sender(open_config()));
        let recipient = recipient_at(&sender, &silent.url(), &server.url(), "");
        let asked = recipient.verify(&sender, "0", UnixMillis(0), || true).await;
        assert!(
            matches!(asked, Asked::NoToken(FailureReason::TokenRefused)),
            "{asked:?}"
        );
        assert_eq!(silent.receiver.accepted(), 0);
    });
}

/// Goal: a token URL is no way around the egress policy, and tells nobody
/// which addresses answer.
#[test]
fn a_forbidden_token_server_sees_no_connection() {
    run(async {
        let server = Server::start(grant).await;
        let port = server.receiver.address.port();
        let mut strict = open_config();
        strict.egress.allow_cidrs.clear();
        let local: IpAddr = "127.0.0.1".parse().unwrap();
        for host in [
            "127.0.0.1",
            "2130706433",
            "[::ffff:127.0.0.1]",
            "login.test",
        ] {
            let sender = Rc::new(sender_resolving(strict.clone(), vec![local]));
            let tokens = tokens(&sender, &format!("http://{host}:{port}/token"));
            let failure = ask(&tokens, &sender).await.map(|_| ()).unwrap_err();
            assert_eq!(failure.reason.as_str(), "forbidden_address", "{host}");
            assert_eq!(failure.attempt_reason().as_str(), "token_unreachable");
            let shown = failure.attempt_reason().shown();
            assert!(shown.hides_time && shown.reason == "token_unreachable");
        }
        assert_eq!(server.receiver.accepted(), 0);
        // Nobody there looks the same.
        let sender = Rc::new(sender(open_config()));
        let gone = hooklane_test_support::refused_url("/token").unwrap();
        let failure = ask(&tokens(&sender, &gone), &sender)
            .await
            .map(|_| ())
            .unwrap_err();
        assert_eq!(failure.reason.as_str(), "connect_refused");
        assert_eq!(failure.attempt_reason().as_str(), "token_unreachable");
    });
}
