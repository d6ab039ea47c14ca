//! A network that forwards, swallows and resets.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use hooklane_test_support::independent::{ToolRecord, consume, produce};
use hooklane_test_support::{KafkaCluster, Proxy, Receiver, get, unique, wait_until};

const SOON: Duration = Duration::from_secs(60);
/// Long enough for an answer on loopback, had it not been swallowed.
const SILENCE: Duration = Duration::from_millis(300);

fn behind(receiver: &Receiver) -> Proxy {
    Proxy::start(SocketAddr::from(([127, 0, 0, 1], 0)), receiver.addr()).unwrap()
}

fn ask(stream: &mut TcpStream) {
    let head = b"POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n";
    stream.write_all(head).unwrap();
}

fn answered(stream: &mut TcpStream, within: Duration) -> std::io::Result<usize> {
    stream.set_read_timeout(Some(within)).unwrap();
    stream.read(&mut [0; 1024])
}

/// What is swallowed reaches nobody, and arrives when the network is back; the
/// connection lives through it.
#[test]
fn swallows_and_delivers_late() {
    let receiver = Receiver::start().unwrap();
    let proxy = behind(&receiver);
    let mut stream = TcpStream::connect(proxy.addr()).unwrap();
    ask(&mut stream);
    assert!(answered(&mut stream, SOON).unwrap() > 0);

    proxy.swallow();
    ask(&mut stream);
    let mut late = TcpStream::connect(proxy.addr()).unwrap();
    ask(&mut late);
    for stream in [&mut stream, &mut late] {
        let silent = answered(stream, SILENCE).unwrap_err();
        assert!(
            matches!(silent.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
            "{silent}"
        );
    }
    assert_eq!(receiver.count("/a"), 1);

    proxy.forward();
    assert!(answered(&mut stream, SOON).unwrap() > 0);
    assert!(answered(&mut late, SOON).unwrap() > 0);
    assert_eq!(receiver.count("/a"), 3);
}

/// A reset ends what is open, on both sides, and nothing that comes later.
#[test]
fn resets_on_both_sides() {
    let receiver = Receiver::start().unwrap();
    let proxy = behind(&receiver);
    let mut stream = TcpStream::connect(proxy.addr()).unwrap();
    ask(&mut stream);
    assert!(answered(&mut stream, SOON).unwrap() > 0);

    proxy.reset();
    let ended = answered(&mut stream, SOON).unwrap_err();
    assert_eq!(ended.kind(), ErrorKind::ConnectionReset, "{ended}");
    wait_until("the server's side to end", SOON, || {
        receiver.open_connections() == 0
    })
    .unwrap();
    assert_eq!(get(proxy.addr(), "/a").unwrap().0, 200);
}

/// A client that comes to a broker by its far side is told to come that way
/// again: what it asks first is one connection, and its records are another.
#[test]
fn brokers_can_be_behind_it() {
    let cluster = KafkaCluster::start_with_far_side(1).unwrap();
    let topic = unique("far");
    cluster.create_topic(&topic, 1, &[]).unwrap();
    let record = ToolRecord {
        value: Some("over the network".to_owned()),
        ..Default::default()
    };
    produce(&cluster.far(), &topic, std::slice::from_ref(&record)).unwrap();
    assert!(cluster.network()[0].connections() >= 2);
    let records = consume(cluster.bootstrap(), &topic, 1).unwrap();
    assert_eq!(records, [record]);
}
