//! What a scraper and a kubelet see, over a real socket.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use hooklane_model::time::UnixMillis;
use hooklane_service::admin_server::{AdminServer, AdminServerError};
use hooklane_service::clock::TestClock;
use hooklane_service::config::{CommonConfig, Keys};
use hooklane_service::lifecycle::{Phase, Shutdown};
use hooklane_service::run::ServiceContext;

fn context() -> (ServiceContext, Arc<TestClock>) {
    let mut keys = Keys::new(CommonConfig::SECTIONS)
        .given("kafka.brokers", "nowhere:9092")
        .given("metrics.listen", "127.0.0.1:0");
    let common = CommonConfig::read(&mut keys);
    keys.finish().unwrap();
    let clock = Arc::new(TestClock::at(UnixMillis(0)));
    let names = ("hooklane-test", "test");
    let context =
        ServiceContext::with_clocks(names, common, Shutdown::new(), clock.clone(), clock.clone());
    (context.unwrap(), clock)
}

/// Above the server's header timeout (2 s), below its connection timeout
/// (10 s), so that the one cannot stand in for the other.
const PATIENCE: Duration = Duration::from_secs(8);

/// Sends `request` as it is and returns the whole answer.
fn exchange(to: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn get(to: SocketAddr, path: &str) -> (u16, String) {
    let answer = exchange(to, &format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n"));
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("connection: close"), "{head}");
    (head[9..12].parse().unwrap(), body.to_owned())
}

#[test]
fn metrics_probes_and_nothing_else() {
    let (context, clock) = context();
    let server = context.serve_admin().unwrap();
    let to = server.local_addr();
    assert_ne!(to.port(), 0);

    context
        .metrics
        .counter("hooklane_events_total", "Events.")
        .unwrap()
        .add(2);
    let (status, body) = get(to, "/metrics");
    assert_eq!(status, 200);
    assert!(
        body.contains("# TYPE hooklane_events_total counter\nhooklane_events_total 2\n"),
        "{body}"
    );

    let joined = context.probes.condition("group joined");
    let expected = "{\"missing\":[\"phase is starting\",\"group joined\"],\"ready\":false}\n";
    assert_eq!(get(to, "/readyz"), (503, expected.to_owned()));
    joined.set(true);
    context.lifecycle.enter(Phase::Ready);
    assert_eq!(
        get(to, "/readyz"),
        (200, "{\"missing\":[],\"ready\":true}\n".to_owned())
    );

    let poll = context.probes.heartbeat("poll", Duration::from_secs(10));
    assert_eq!(
        get(to, "/healthz"),
        (200, "{\"healthy\":true,\"stale\":[]}\n".to_owned())
    );
    clock.advance(Duration::from_secs(11));
    let stale = "{\"age_seconds\":11.0,\"doing\":\"its turn\",\"heartbeat\":\"poll\",\"max_age_seconds\":10.0}";
    let expected = format!("{{\"healthy\":false,\"stale\":[{stale}]}}\n");
    assert_eq!(get(to, "/healthz"), (503, expected));
    poll.beat();
    assert_eq!(get(to, "/healthz").0, 200);

    for path in ["/", "/metrics/", "/debug"] {
        assert_eq!(get(to, path).0, 404, "{path}");
    }
    let answer = exchange(
        to,
        "POST /metrics HTTP/1.1\r\nhost: test\r\ncontent-length: 0\r\n\r\n",
    );
    assert!(
        answer.starts_with("HTTP/1.1 405 ") && answer.contains("allow: GET, HEAD\r\n"),
        "{answer}"
    );
    let head = exchange(to, "HEAD /healthz HTTP/1.1\r\nhost: test\r\n\r\n");
    assert!(
        head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
}

/// Goal: somebody who opens connections and says nothing cannot keep the
/// kubelet out for longer than the header timeout. Method: more
/// silent connections than are served, then a probe.
#[test]
fn silent_connections_do_not_shut_out_the_kubelet() {
    let (context, _) = context();
    let server = context.serve_admin().unwrap();
    let silent: Vec<_> = (0..80)
        .map(|_| TcpStream::connect(server.local_addr()).unwrap())
        .collect();
    assert_eq!(get(server.local_addr(), "/healthz").0, 200);
    drop(silent);
}

#[test]
fn an_address_in_use_is_an_error_that_names_the_key_and_a_dropped_server_lets_go() {
    let (mut first, _) = context();
    let server = first.serve_admin().unwrap();
    first.common.metrics.listen = server.local_addr();
    let error = first.serve_admin().unwrap_err();
    assert!(matches!(error, AdminServerError::Listen { .. }));
    assert!(
        error.to_string().contains("HOOKLANE__METRICS__LISTEN"),
        "{error}"
    );
    let to = server.local_addr();
    drop(server);
    assert!(TcpStream::connect(to).is_err());
    let again: AdminServer = first.serve_admin().unwrap();
    assert_eq!(get(again.local_addr(), "/healthz").0, 200);
}
