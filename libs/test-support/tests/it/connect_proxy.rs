//! An egress proxy that does as it is told.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use hooklane_test_support::{ConnectAnswer, ConnectProxy, ConnectQuestion, Receiver};

fn ask(proxy: &ConnectProxy, head: &str) -> TcpStream {
    let mut stream = TcpStream::connect(proxy.addr()).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

fn line(stream: &mut TcpStream) -> String {
    let mut bytes = [0; 256];
    let read = stream.read(&mut bytes).unwrap();
    let text = String::from_utf8(bytes[..read].to_vec()).unwrap();
    text.lines().next().unwrap_or_default().to_owned()
}

/// It connects where the rule says, refuses what the rule refuses, notes what
/// it was asked, and takes its connections along when it goes.
#[test]
fn connects_and_refuses_by_the_rule() {
    let receiver = Receiver::start().unwrap();
    let server = receiver.addr();
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let proxy = ConnectProxy::start(anywhere, move |asked| match asked.target.as_str() {
        "192.0.2.1:80" => ConnectAnswer::Through(server),
        _ => ConnectAnswer::Status(403),
    });
    let proxy = proxy.unwrap();
    let authorized = "CONNECT 192.0.2.1:80 HTTP/1.1\r\nproxy-authorization: Basic eA==\r\n\r\n";
    let mut through = ask(&proxy, authorized);
    assert_eq!(line(&mut through), "HTTP/1.1 200 OK");
    through
        .write_all(b"POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n")
        .unwrap();
    assert_eq!(line(&mut through), "HTTP/1.1 200 OK");
    assert_eq!(receiver.count("/a"), 1);
    let mut refused = ask(&proxy, "CONNECT 192.0.2.2:80 HTTP/1.1\r\n\r\n");
    assert_eq!(line(&mut refused), "HTTP/1.1 403 No");
    let mut other = ask(&proxy, "GET / HTTP/1.1\r\n\r\n");
    assert_eq!(line(&mut other), "HTTP/1.1 400 No");
    let question = |target: &str, authorization: Option<&str>| ConnectQuestion {
        target: target.to_owned(),
        authorization: authorization.map(str::to_owned),
    };
    assert_eq!(
        proxy.asked(),
        [
            question("192.0.2.1:80", Some("Basic eA==")),
            question("192.0.2.2:80", None)
        ]
    );
    let addr = proxy.addr();
    drop(proxy);
    assert_eq!(through.read(&mut [0; 16]).unwrap_or(0), 0);
    assert!(TcpStream::connect(addr).is_err());
}
