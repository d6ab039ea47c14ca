//! A name server that does its worst, and canaries on the loopback that must
//! not hear of it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hooklane_sender::resolve::{ANSWERS_MAX, ResolveError};
use hooklane_sender::{
    Destination, DnsResolver, DnsTimeouts, Resolve, Sender, SenderConfig, TlsDefaults,
};
use hooklane_test_support::{Canary, DnsAnswer, DnsLie, DnsQuestion, DnsServer};
use tokio::net::TcpListener;
use url::Url;

use crate::support::{
    Receiver, open_config, post, post_within, reason, run, sender_resolving, status,
};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const PUBLIC: IpAddr = IpAddr::V4(Ipv4Addr::new(93, 184, 216, 34));

fn canary(ip: [u8; 4], port: u16) -> Canary {
    Canary::at((ip, port).into()).unwrap()
}

fn strict() -> SenderConfig {
    let mut config = SenderConfig::default();
    config.egress.allow_http = true;
    config
}

/// Allows 127.0.0.1 and nothing else that is not public.
fn first_loopback_only() -> SenderConfig {
    let mut config = strict();
    config.egress.allow_cidrs = vec!["127.0.0.1/32".parse().unwrap()];
    config
}

fn server(zone: impl Fn(&DnsQuestion) -> DnsAnswer + Send + Sync + 'static) -> DnsServer {
    DnsServer::start(zone).unwrap()
}

fn resolver(server: &DnsServer) -> DnsResolver {
    DnsResolver::try_new(&[server.addr()], DnsTimeouts::default()).unwrap()
}

/// One that gives up soon, for servers that say nothing.
fn impatient(server: &DnsServer) -> DnsResolver {
    let timeouts = DnsTimeouts {
        question: Duration::from_millis(100),
        lookup: Duration::from_millis(400),
    };
    DnsResolver::try_new(&[server.addr()], timeouts).unwrap()
}

fn sender(config: SenderConfig, server: &DnsServer) -> Sender {
    let tls = TlsDefaults::load(&[]).unwrap();
    Sender::new(config, tls, Arc::new(resolver(server)))
}

fn named(sender: &Sender, name: &str, port: u16) -> Rc<Destination> {
    let url = Url::parse(&format!("http://{name}:{port}/")).unwrap();
    sender.destination(&url).unwrap()
}

#[test]
fn a_name_that_resolves_is_called_and_asked_for_once() {
    run(async {
        let receiver = Receiver::answering(OK).await;
        let home = receiver.address.ip();
        let server = server(move |_| DnsAnswer::Addresses(vec![home], 30));
        let mut config = open_config();
        // Each attempt connects, and so resolves.
        config.idle_connections_max = 0;
        let sender = sender(config, &server);
        let destination = named(&sender, "erp.example", receiver.address.port());
        for _ in 0..5 {
            assert_eq!(status(&post(&sender, &destination).await), 200);
        }
        assert_eq!(receiver.accepted(), 5);
        // Once for each family, in full and below no search domain.
        assert_eq!(server.asked("erp.example."), 2);
    });
}

#[test]
fn many_who_ask_at_once_ask_once() {
    run(async {
        let server = server(|_| DnsAnswer::Addresses(vec![PUBLIC], 30));
        let resolver = Arc::new(resolver(&server));
        let asking: Vec<_> = (0..50)
            .map(|_| {
                let resolver = Arc::clone(&resolver);
                tokio::spawn(async move { resolver.resolve("erp.example").await.unwrap() })
            })
            .collect();
        for answer in asking {
            assert_eq!(answer.await.unwrap()[..], [PUBLIC]);
        }
        assert_eq!(server.asked("erp.example."), 2);
    });
}

#[test]
fn a_name_that_rebinds_never_reaches_the_second_address() {
    run(async {
        let receiver = Receiver::answering(OK).await;
        let port = receiver.address.port();
        let canary = canary([127, 0, 0, 2], port);
        // First the allowed address, then the canary's, TTL 0, by turns.
        let server = server(|question| {
            let last = if question.nth % 2 == 1 { 1 } else { 2 };
            DnsAnswer::Addresses(vec![IpAddr::from([127, 0, 0, last])], 0)
        });
        let mut reached = 0;
        for _ in 0..6 {
            // A resolver of its own each: nothing is remembered.
            let sender = sender(first_loopback_only(), &server);
            let destination = named(&sender, "rebind.example", port);
            let report = post(&sender, &destination).await;
            match &report.result {
                Ok(_) => reached += 1,
                Err(_) => assert_eq!(reason(&report), "forbidden_address"),
            }
        }
        assert_eq!((reached, receiver.accepted()), (3, 3));
        canary.heard_nothing().unwrap();
    });
}

#[test]
fn one_forbidden_answer_among_public_ones_refuses_the_name() {
    run(async {
        let one = canary([127, 0, 0, 1], 0);
        let port = one.addr().unwrap().port();
        let two = canary([127, 0, 0, 2], port);
        let three = canary([127, 0, 0, 3], port);
        let mixed = |ips: &[&str]| ips.iter().map(|ip| ip.parse().unwrap()).collect::<Vec<_>>();
        for answers in [
            mixed(&["93.184.216.34", "127.0.0.2"]),
            mixed(&["127.0.0.2", "93.184.216.34"]),
            mixed(&["127.0.0.1", "93.184.216.34"]),
            mixed(&["93.184.216.34", "::ffff:127.0.0.3"]),
            mixed(&["93.184.216.34", "64:ff9b::7f00:3"]),
            mixed(&["93.184.216.34", "2606:4700::1", "fd00::1"]),
            mixed(&["127.0.0.1", "127.0.0.2"]),
        ] {
            let shown = format!("{answers:?}");
            let server = server(move |_| DnsAnswer::Addresses(answers.clone(), 0));
            let sender = sender(first_loopback_only(), &server);
            let destination = named(&sender, "mixed.example", port);
            let report = post(&sender, &destination).await;
            assert_eq!(reason(&report), "forbidden_address", "{shown}");
            assert!(!report.started);
        }
        for canary in [one, two, three] {
            canary.heard_nothing().unwrap();
        }
    });
}

#[test]
fn the_last_of_many_answers_is_judged_too() {
    run(async {
        let canary = canary([127, 0, 0, 2], 0);
        let port = canary.addr().unwrap().port();
        let many = |count: u8| {
            let mut answers: Vec<IpAddr> =
                (1..count).map(|n| IpAddr::from([20, 1, 2, n])).collect();
            answers.push(IpAddr::from([127, 0, 0, 2]));
            answers
        };
        assert_eq!(many(64).len(), ANSWERS_MAX);
        let server = server(move |_| DnsAnswer::Addresses(many(64), 0));
        let sender = sender(strict(), &server);
        let destination = named(&sender, "many.example", port);
        let report = post(&sender, &destination).await;
        assert_eq!(reason(&report), "forbidden_address");
        canary.heard_nothing().unwrap();
    });
}

/// What a zone does to a lookup, and what the lookup comes to.
#[test]
fn zones_that_misbehave_are_failures_of_dns() {
    run(async {
        let thousand: Vec<IpAddr> = (0..1_000_u32)
            .map(|n| IpAddr::V4(Ipv4Addr::from_bits(0x1401_0000 + n)))
            .collect();
        let server = server(move |question| match question.name.as_str() {
            "nowhere.example." => DnsAnswer::Error(3),
            "broken.example." => DnsAnswer::Error(2),
            "refused.example." => DnsAnswer::Error(5),
            "empty.example." => DnsAnswer::Addresses(Vec::new(), 60),
            "garbage.example." => DnsAnswer::Garbage,
            "self.example." => DnsAnswer::Alias("self.example.".to_owned()),
            "ping.example." => DnsAnswer::Alias("pong.example.".to_owned()),
            "pong.example." => DnsAnswer::Alias("ping.example.".to_owned()),
            "crowd.example." => DnsAnswer::Addresses(thousand.clone(), 60),
            name => match name.strip_suffix(".chain.example.") {
                Some(at) => {
                    let next = at.parse::<u32>().unwrap() + 1;
                    DnsAnswer::Alias(format!("{next}.chain.example."))
                }
                None => DnsAnswer::Silence,
            },
        });
        let resolver = resolver(&server);
        for name in [
            "nowhere", "broken", "refused", "empty", "garbage", "self", "ping", "crowd", "0.chain",
        ] {
            let full = format!("{name}.example");
            let error = resolver.resolve(&full).await.unwrap_err();
            let expected = match name {
                "nowhere" | "empty" => matches!(error, ResolveError::NoAddress),
                "crowd" => matches!(error, ResolveError::TooMany(1_000)),
                _ => true,
            };
            assert!(expected, "{name}: {error:?}");
            let asked = server.asked(&format!("{full}."));
            assert!(
                (1..=24).contains(&asked),
                "{name} was asked for {asked} times"
            );
            // Remembered, so that a zone that fails is not asked at each turn.
            resolver.resolve(&full).await.unwrap_err();
            assert_eq!(server.asked(&format!("{full}.")), asked, "{name}");
        }
        let chain = (0..100).filter(|n| server.asked(&format!("{n}.chain.example.")) > 0);
        assert!(chain.count() <= 16, "a chain of aliases is followed so far");

        let sender = sender(strict(), &server);
        let destination = named(&sender, "nowhere.example", 80);
        assert_eq!(reason(&post(&sender, &destination).await), "dns");
    });
}

/// An address in a message that lies about something is no address.
#[test]
fn messages_that_lie_are_not_believed() {
    run(async {
        for lie in [
            DnsLie::RecordLength,
            DnsLie::RecordCount,
            DnsLie::Id,
            DnsLie::Name,
            DnsLie::FrameLength,
        ] {
            for address in [PUBLIC, IpAddr::from([0x2600, 0, 0, 0, 0, 0, 0, 1])] {
                let server = server(move |_| DnsAnswer::Lie(lie, address));
                let answer = impatient(&server).resolve("liar.example").await;
                assert!(answer.is_err(), "{lie:?} {answer:?}");
                assert!(server.asked("liar.example.") >= 2, "{lie:?}");
            }
        }
    });
}

/// Half a name is a name: what is called is what was judged.
#[test]
fn a_family_nobody_answers_for_does_not_take_the_other_along() {
    run(async {
        let server = server(|question| match (question.v6, question.name.as_str()) {
            (true, "silent.example.") => DnsAnswer::Silence,
            (true, _) => DnsAnswer::Error(2),
            (false, _) => DnsAnswer::Addresses(vec![PUBLIC], 60),
        });
        let resolver = impatient(&server);
        for name in ["silent.example", "broken.example"] {
            assert_eq!(resolver.resolve(name).await.unwrap()[..], [PUBLIC]);
        }
    });
}

#[test]
fn four_addresses_of_a_name_are_tried() {
    run(async {
        // Bound and not listening: refuses, and nobody else gets the port.
        let taken = tokio::net::TcpSocket::new_v4().unwrap();
        taken.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let port = taken.local_addr().unwrap().port();
        let canary = canary([127, 0, 0, 5], port);
        let fourth = TcpListener::bind((Ipv4Addr::new(127, 0, 0, 4), port))
            .await
            .unwrap();
        let answers = (1..=5)
            .map(|last| IpAddr::from([127, 0, 0, last]))
            .collect();
        let sender = sender_resolving(open_config(), answers);
        let destination = named(&sender, "many.example", port);
        let (report, _) = tokio::join!(post_within(&sender, &destination, 2_000), async {
            fourth.accept().await.unwrap();
            drop(fourth);
        });
        assert!(report.started, "the fourth is tried");
        assert_eq!(
            reason(&post(&sender, &destination).await),
            "connect_refused"
        );
        canary.heard_nothing().unwrap();
    });
}

#[test]
fn an_answer_that_is_cut_off_is_asked_for_whole() {
    run(async {
        // 64 addresses of IPv6 are more than a datagram takes.
        let answers: Vec<IpAddr> = (1..=64_u16)
            .map(|n| IpAddr::from([0x2600, 0, 0, 0, 0, 0, 0, n]))
            .collect();
        let whole = answers.clone();
        let server = server(move |_| DnsAnswer::Addresses(whole.clone(), 60));
        let found = resolver(&server).resolve("long.example").await.unwrap();
        assert_eq!(found.len(), 64);
        assert!(answers.iter().all(|ip| found.contains(ip)));
    });
}

#[test]
fn a_server_that_says_nothing_does_not_outlive_the_attempt() {
    run(async {
        let server = server(|question| match question.name.as_str() {
            "fast.example." => DnsAnswer::Addresses(vec![PUBLIC], 60),
            _ => DnsAnswer::Silence,
        });
        let mut config = strict();
        config.connect_timeout = Duration::from_millis(200);
        let sender = sender(config, &server);
        let destination = named(&sender, "slow.example", 80);
        assert_eq!(reason(&post(&sender, &destination).await), "dns");
        // And while it hangs, others resolve.
        let resolver = Arc::new(resolver(&server));
        let hanging: Vec<_> = (0..50)
            .map(|n| {
                let resolver = Arc::clone(&resolver);
                tokio::spawn(async move { resolver.resolve(&format!("{n}.slow.example")).await })
            })
            .collect();
        assert_eq!(
            resolver.resolve("fast.example").await.unwrap()[..],
            [PUBLIC]
        );
        for task in hanging {
            task.abort();
        }
    });
}

#[test]
fn names_servers_cannot_be_asked_for() {
    run(async {
        let server = server(|_| DnsAnswer::Addresses(vec![PUBLIC], 60));
        let resolver = resolver(&server);
        let long = format!("{}.example", "a".repeat(64));
        for name in ["", ".", &long, "a..b", "erp example"] {
            assert!(resolver.resolve(name).await.is_err(), "{name:?}");
        }
        let nobody: SocketAddr = "127.0.0.1:9".parse().unwrap();
        let refused = DnsResolver::try_new(&[nobody], DnsTimeouts::default()).unwrap();
        assert!(refused.resolve("erp.example").await.is_err());
    });
}
