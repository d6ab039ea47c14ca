//! A forbidden address sees no connection.

use std::net::IpAddr;

use hooklane_model::url_rule::UrlRule;
use hooklane_sender::{SenderConfig, UrlError};
use url::Url;

use crate::support::{Receiver, open_config, post, reason, run, sender, sender_resolving, status};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn strict() -> SenderConfig {
    let mut config = SenderConfig::default();
    config.egress.allow_http = true;
    config
}

#[test]
fn a_literal_in_any_notation_sees_nothing() {
    run(async {
        let receiver = Receiver::answering(OK).await;
        let port = receiver.address.port();
        let sender = sender(strict());
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "0.0.0.0",
            "127.0.0.1.",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[::1]",
            "[::]",
            "[64:ff9b::127.0.0.1]",
            "[2002:7f00:1::]",
        ] {
            let url = Url::parse(&format!("http://{host}:{port}/")).unwrap();
            let destination = sender.destination(&url).unwrap();
            let report = post(&sender, &destination).await;
            assert_eq!(reason(&report), "forbidden_address", "{host}");
            assert!(!report.started);
        }
        assert_eq!(receiver.accepted(), 0);
        assert_eq!(sender.stats().opened, 0);
    });
}

#[test]
fn a_name_with_a_forbidden_answer_sees_nothing() {
    run(async {
        let receiver = Receiver::answering(OK).await;
        let local: IpAddr = "127.0.0.1".parse().unwrap();
        let public: IpAddr = "93.184.216.34".parse().unwrap();
        let url = format!("http://receiver.test:{}/", receiver.address.port());
        let url = Url::parse(&url).unwrap();
        for answers in [vec![local], vec![local, public], vec![public, local]] {
            let sender = sender_resolving(strict(), answers);
            let destination = sender.destination(&url).unwrap();
            let report = post(&sender, &destination).await;
            assert_eq!(reason(&report), "forbidden_address");
        }
        // Also when the forbidden one is allowed and its companion is not on
        // the list: a mixed set is what rebinding looks like.
        let sender = sender_resolving(open_config(), vec![local, public]);
        let destination = sender.destination(&url).unwrap();
        assert_eq!(
            reason(&post(&sender, &destination).await),
            "forbidden_address"
        );
        assert_eq!(receiver.accepted(), 0);

        let sender = sender_resolving(open_config(), vec![local]);
        let destination = sender.destination(&url).unwrap();
        assert_eq!(status(&post(&sender, &destination).await), 200);
        assert_eq!(receiver.accepted(), 1);
    });
}

#[test]
fn names_without_an_answer_fail_as_dns() {
    run(async {
        let sender = sender_resolving(strict(), Vec::new());
        let url = Url::parse("http://nowhere.test/").unwrap();
        let destination = sender.destination(&url).unwrap();
        let report = post(&sender, &destination).await;
        assert_eq!(reason(&report), "dns");
        assert!(!report.started);
    });
}

#[test]
fn destinations_that_are_refused() {
    let sender = sender(SenderConfig::default());
    let refused = |text: &str| sender.destination(&Url::parse(text).unwrap()).unwrap_err();
    assert!(matches!(refused("http://a.test/"), UrlError::Plaintext));
    for (url, rule) in [
        ("https://u:p@a.test/", UrlRule::UserInfo),
        ("https://a.test/#f", UrlRule::Fragment),
        ("https://a.test:0/", UrlRule::PortZero),
        ("file:///etc/passwd", UrlRule::Scheme),
    ] {
        assert!(
            matches!(refused(url), UrlError::Rule(it) if it == rule),
            "{url}"
        );
    }
    let debug = format!(
        "{:?}",
        sender
            .destination(&Url::parse("https://a.test/secret?token=1").unwrap())
            .unwrap()
    );
    assert!(
        !debug.contains("secret") && !debug.contains("token"),
        "{debug}"
    );
}

#[test]
fn redirects_are_not_followed() {
    run(async {
        let target = Receiver::answering(OK).await;
        for given in [300, 301, 302, 303, 305, 307, 308] {
            let there = target.address;
            let head = format!(
                "HTTP/1.1 {given} Found\r\nlocation: http://{there}/\r\nrefresh: 0; \
                 url=http://{there}/\r\nlink: <http://{there}/>; rel=preload\r\n\
                 alt-svc: http/1.1=\"{there}\"\r\ncontent-length: 0\r\n\r\n"
            );
            let receiver = Receiver::answering(Box::leak(head.into_boxed_str()).as_bytes()).await;
            let sender = sender(open_config());
            let destination = crate::support::destination(&sender, receiver.address);
            for _ in 0..2 {
                assert_eq!(status(&post(&sender, &destination).await), given);
            }
        }
        assert_eq!(target.accepted(), 0);
    });
}

/// Goal: nobody learns which internal names exist. Method: a name that does
/// not resolve, of either kind, and a resolver that has no room.
#[test]
fn internal_names_that_do_not_resolve_look_forbidden() {
    run(async {
        for (name, expected, shown) in [
            ("erp.example", "dns", "dns"),
            ("db.internal", "dns_internal", "unreachable"),
            ("db.prod.svc.cluster.local", "dns_internal", "unreachable"),
        ] {
            let sender = sender_resolving(strict(), Vec::new());
            let url = Url::parse(&format!("http://{name}:8080/")).unwrap();
            let destination = sender.destination(&url).unwrap();
            let report = post(&sender, &destination).await;
            assert_eq!(reason(&report), expected, "{name}");
            let failure = report.result.unwrap_err();
            assert_eq!(failure.reason.shown().reason, shown, "{name}");
        }
    });
}
