//! A receiver answers by its script, and its faults are what they say, seen
//! from a bare socket.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use hooklane_test_support::{Answer, Fault, OnConnect, Receiver, Script, free_addr, wait_until};

const SOON: Duration = Duration::from_secs(60);

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
}

fn send(stream: &mut TcpStream, path: &str, id: &str, body: &str) {
    let len = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nWebhook-Id: {id}\r\nContent-Length: {len}\r\n\r\n"
    );
    stream.write_all((head + body).as_bytes()).unwrap();
}

/// Reads one answer with a `content-length`.
fn answer(stream: &mut TcpStream) -> (String, String) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.unwrap_or("0").parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    (head, String::from_utf8(body).unwrap())
}

/// Everything until the connection ends, and how it ended.
fn until_end(stream: &mut TcpStream) -> (String, Option<ErrorKind>) {
    let mut all = Vec::new();
    let end = stream.read_to_end(&mut all).err().map(|error| error.kind());
    (String::from_utf8(all).unwrap(), end)
}

/// Sends one request to a path with this fault; what came back.
fn with_fault(fault: Fault, body: &str) -> (Receiver, String, Option<ErrorKind>) {
    let receiver = Receiver::start().unwrap();
    receiver.script("/x", Script::always(Answer::fault(fault).body("four")));
    let mut stream = connect(receiver.addr());
    send(&mut stream, "/x", "1", body);
    let (text, end) = until_end(&mut stream);
    (receiver, text, end)
}

/// Requests are recorded whole, in order, on a connection that is kept.
#[test]
fn records_what_arrives() {
    let receiver = Receiver::start().unwrap();
    let mut stream = connect(receiver.addr());
    let before = Instant::now();
    send(&mut stream, "/a?b=c", "first", "hello");
    assert!(answer(&mut stream).0.starts_with("HTTP/1.1 200 OK\r\n"));
    let chunked =
        "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    stream.write_all(chunked.as_bytes()).unwrap();
    answer(&mut stream);
    let all = receiver.requests();
    assert_eq!(all.len(), 2);
    assert_eq!(
        (all[0].method.as_str(), all[0].path.as_str()),
        ("POST", "/a?b=c")
    );
    assert_eq!((all[0].route(), all[0].webhook_id()), ("/a", "first"));
    assert_eq!(
        (all[0].body.as_slice(), all[1].body.as_slice()),
        (&b"hello"[..], &b"abcde"[..])
    );
    assert_eq!(all[0].headers[0], ("Host".to_owned(), "x".to_owned()));
    assert!(all[0].at >= before && all[1].at >= all[0].at);
    assert_eq!(
        (all[0].connection, all[1].connection, receiver.connections()),
        (1, 1, 1)
    );
    assert_eq!((receiver.count("/a"), receiver.count_id("first")), (2, 1));
    receiver.clear();
    assert!(receiver.requests().is_empty());
    let never = receiver.wait_count("/a", 1, Duration::from_millis(50));
    assert!(format!("{:#}", never.unwrap_err()).contains("1 requests on /a"));
}

/// A thread that is kept from running is seen: here by a script that blocks it.
#[test]
fn stalls_are_seen() {
    let receiver = Receiver::start().unwrap();
    let (release, released) = mpsc::sync_channel::<()>(1);
    let released = Mutex::new(released);
    let blocks = Script::by(move |_| {
        released.lock().unwrap().recv().unwrap();
        Answer::status(200)
    });
    receiver.script("/slow", blocks);
    let mut stream = connect(receiver.addr());
    send(&mut stream, "/slow", "a", "");
    let stall = Duration::from_millis(200);
    wait_until("the stall to be seen while it lasts", SOON, || {
        receiver.longest_stall() >= stall
    })
    .unwrap();
    release.send(()).unwrap();
    answer(&mut stream);
    assert!(receiver.longest_stall() >= stall, "and when it is over");
    // The thread has run since, so that this is what it noted of itself.
    send(&mut stream, "/other", "b", "");
    answer(&mut stream);
    assert!(receiver.longest_stall() >= stall);
}

/// Scripts count per path and per id, and headers, bodies and delays are sent.
#[test]
fn answers_by_script() {
    let receiver = Receiver::start().unwrap();
    let busy = Answer::status(429).header("Retry-After", "7").body("busy");
    receiver.script("/flaky", Script::fail_first(1, busy));
    let slow = Answer::status(200).after(Duration::from_millis(150));
    receiver.script("/steps", Script::sequence(vec![Answer::status(410), slow]));
    let mut stream = connect(receiver.addr());
    let mut status = |path: &str, id: &str| {
        send(&mut stream, path, id, "");
        answer(&mut stream).0[9..12].to_owned()
    };
    let flaky = ["a", "b", "a", "b"].map(|id| status("/flaky", id));
    assert_eq!(flaky, ["429", "429", "200", "200"]);
    assert_eq!(status("/steps", "a"), "410");
    let started = Instant::now();
    assert_eq!(
        [status("/steps", "b"), status("/steps", "c")],
        ["200", "200"]
    );
    assert!(started.elapsed() >= Duration::from_millis(300));
    let statuses: Vec<_> = receiver
        .requests()
        .iter()
        .map(|r| r.status.unwrap())
        .collect();
    assert_eq!(statuses, [429, 429, 200, 200, 410, 200, 200]);
    send(&mut stream, "/flaky", "c", "");
    let (head, body) = answer(&mut stream);
    assert!(head.contains("Retry-After: 7\r\n"), "{head}");
    assert_eq!(body, "busy");
}

/// What it answers can be made of what it was sent.
#[test]
fn replies_to_the_body() {
    let receiver = Receiver::start().unwrap();
    let backwards = Answer::status(200).reply(|body| body.iter().rev().copied().collect());
    receiver.script("/back", Script::always(backwards));
    let mut stream = connect(receiver.addr());
    for (sent, expected) in [("abc", "cba"), ("", "")] {
        send(&mut stream, "/back", "1", sent);
        assert_eq!(answer(&mut stream).1, expected);
    }
}

/// `open` tells how many requests a path had at once.
#[test]
fn counts_requests_that_are_open() {
    let receiver = Receiver::start().unwrap();
    receiver.script("/slow", Script::always(Answer::fault(Fault::Hang)));
    let mut streams: Vec<_> = (0..3).map(|_| connect(receiver.addr())).collect();
    for stream in &mut streams {
        send(stream, "/slow", "1", "");
    }
    receiver.wait_count("/slow", 3, SOON).unwrap();
    let mut open: Vec<_> = receiver
        .requests()
        .iter()
        .map(|request| request.open)
        .collect();
    open.sort_unstable();
    assert_eq!(open, [1, 2, 3]);
    assert_eq!(receiver.open_connections(), 3);
    drop(streams);
    wait_until("connections to close", SOON, || {
        receiver.open_connections() == 0
    })
    .unwrap();
}

/// Endings without an answer: before the body, after it, closed and reset.
#[test]
fn ends_connections() {
    let (receiver, text, end) = with_fault(Fault::CloseAfterReading, "body");
    assert_eq!((text.as_str(), end), ("", None));
    assert_eq!(receiver.requests()[0].body, b"body");
    assert_eq!(receiver.requests()[0].status, None);
    let (receiver, text, end) = with_fault(Fault::ResetAfterReading, "body");
    assert_eq!((text.as_str(), end), ("", Some(ErrorKind::ConnectionReset)));
    assert_eq!(receiver.requests()[0].body, b"body");
    let (receiver, text, end) = with_fault(Fault::ResetBeforeBody, "body");
    assert_eq!((text.as_str(), end), ("", Some(ErrorKind::ConnectionReset)));
    assert_eq!(receiver.requests()[0].body, b"");
    let (receiver, text, _) = with_fault(Fault::CloseBeforeBody, "body");
    assert_eq!(text, "");
    assert_eq!(receiver.requests()[0].body, b"");
}

/// Answers that are wrong: a length that is too long, bytes that are no HTTP, a
/// body without an end.
#[test]
fn answers_wrongly() {
    let (_, text, end) = with_fault(Fault::ContentLength(9), "");
    assert!(
        text.contains("content-length: 9\r\n") && text.ends_with("\r\n\r\nfour"),
        "{text}"
    );
    assert_eq!(end, None);
    let (_, text, _) = with_fault(Fault::Garbage, "");
    assert!(!text.starts_with("HTTP"), "{text}");

    let receiver = Receiver::start().unwrap();
    receiver.script("/x", Script::always(Answer::fault(Fault::InfiniteBody)));
    let mut stream = connect(receiver.addr());
    send(&mut stream, "/x", "1", "");
    let mut megabyte = vec![0; 1 << 20];
    stream.read_exact(&mut megabyte).unwrap();
    assert!(receiver.bytes_sent() > 900_000);
    drop(stream);
    wait_until("the writer to stop", SOON, || {
        receiver.open_connections() == 0
    })
    .unwrap();
}

/// A dripped head or body arrives whole, and no faster than it was to.
#[test]
fn drips() {
    let every = Duration::from_millis(20);
    for (fault, least) in [
        (Fault::DripHead(every / 20), 38),
        (Fault::DripBody(every), 80),
    ] {
        let receiver = Receiver::start().unwrap();
        receiver.script("/x", Script::always(Answer::fault(fault).body("four")));
        let mut stream = connect(receiver.addr());
        let started = Instant::now();
        send(&mut stream, "/x", "1", "");
        let mut first = [0];
        stream.read_exact(&mut first).unwrap();
        let (head, body) = answer(&mut stream);
        assert!(head.starts_with("TTP/1.1 200 OK"), "{head}");
        assert_eq!(body, "four");
        // The pause after the last byte is not waited for by the reader.
        let least = Duration::from_millis(least) - every;
        assert!(
            started.elapsed() >= least,
            "{fault:?} took {:?}",
            started.elapsed()
        );
    }
}

/// Before a byte is read: closed, reset, or left without an answer.
#[test]
fn meets_connections() {
    let receiver = Receiver::start().unwrap();
    receiver.on_connect(OnConnect::Close);
    assert_eq!(
        until_end(&mut connect(receiver.addr())),
        (String::new(), None)
    );
    receiver.on_connect(OnConnect::Reset);
    let reset = until_end(&mut connect(receiver.addr()));
    assert_eq!(reset, (String::new(), Some(ErrorKind::ConnectionReset)));
    receiver.on_connect(OnConnect::Hang);
    let mut stream = connect(receiver.addr());
    stream
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    send(&mut stream, "/x", "1", "");
    assert_eq!(until_end(&mut stream).1, Some(ErrorKind::WouldBlock));
    receiver.on_connect(OnConnect::Serve);
    let mut stream = connect(receiver.addr());
    send(&mut stream, "/x", "1", "");
    answer(&mut stream);
    assert_eq!((receiver.connections(), receiver.count("/x")), (4, 1));
}

/// A receiver that is gone refuses connections, and can come back where it was.
#[test]
fn goes_and_comes_back() {
    let addr = free_addr().unwrap();
    let receiver = Receiver::start_at(addr).unwrap();
    let mut open = connect(addr);
    drop(receiver);
    until_end(&mut open);
    assert_eq!(
        TcpStream::connect(addr).unwrap_err().kind(),
        ErrorKind::ConnectionRefused
    );
    let receiver = Receiver::start_at(addr).unwrap();
    let mut stream = connect(addr);
    send(&mut stream, "/", "1", "");
    answer(&mut stream);
    assert_eq!(receiver.count("/"), 1);
}
