//! The receiver: the least an HTTP/1.1 server can do, one thread, a process of
//! its own so that its CPU is nobody else's.
//!
//! Keeps connections open, reads bodies by `content-length`, answers 200 with
//! an empty body. Knows only what the scenarios send: no chunked bodies, no
//! `expect`. `GET /stats` tells what came since `GET /reset`.

mod head;
mod process;

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use hdrhistogram::Histogram;
use hooklane_service::clock::{BootClock, Monotonic};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

use head::{Head, Parsed};
pub(crate) use process::{SinkProcess, SinkStats};

/// Field of a payload that says when its event was produced, in nanoseconds
/// of `CLOCK_BOOTTIME`, which all processes of a machine share. Comes first.
pub(crate) const SENT_AT: &str = "{\"sentAt\":";

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const LAST_ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const BUFFER: usize = 16 * 1024;

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Address to listen on
    #[arg(long)]
    listen: SocketAddr,
    /// End each connection after one answer
    #[arg(long)]
    closing: bool,
}

/// Serves until the process is killed.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let served = async {
        let listener = TcpListener::bind(args.listen).await?;
        let tally = Rc::new(RefCell::new(Tally::new()?));
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let (tally, closing) = (Rc::clone(&tally), args.closing);
            tokio::task::spawn_local(async move {
                // A sender that closes its connection ends this; nothing else
                // is expected, and a missing delivery is noticed by its count.
                serve(stream, &tally, closing).await.ok();
            });
        }
    };
    runtime.block_on(LocalSet::new().run_until(served))
}

/// What came since the last reset.
struct Tally {
    requests: u64,
    bytes: u64,
    connections: u64,
    first: u64,
    last: u64,
    micros: Histogram<u64>,
}

impl Tally {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            requests: 0,
            bytes: 0,
            connections: 0,
            first: 0,
            last: 0,
            // Up to a minute with three digits; what is later counts as that.
            micros: Histogram::new_with_max(60_000_000, 3)?,
        })
    }

    fn reset(&mut self) {
        let Self { micros, .. } = self;
        micros.reset();
        (self.requests, self.bytes, self.connections) = (0, 0, 0);
        (self.first, self.last) = (0, 0);
    }

    fn count(&mut self, bytes: usize, came: u64, body: &[u8]) {
        if self.requests == 0 {
            self.first = came;
        }
        self.last = came;
        self.requests += 1;
        self.bytes += bytes as u64;
        if let Some(sent) = sent_at(body) {
            self.micros
                .saturating_record(came.saturating_sub(sent) / 1_000);
        }
    }

    fn stats(&self) -> String {
        json!({
            "requests": self.requests,
            "bytes": self.bytes,
            "connections": self.connections,
            "firstNanos": self.first,
            "lastNanos": self.last,
            "timed": self.micros.len(),
            "p50Micros": self.micros.value_at_quantile(0.5),
            "p99Micros": self.micros.value_at_quantile(0.99),
            "p999Micros": self.micros.value_at_quantile(0.999),
            "maxMicros": self.micros.max(),
        })
        .to_string()
    }
}

fn sent_at(body: &[u8]) -> Option<u64> {
    let rest = body.strip_prefix(SENT_AT.as_bytes())?;
    let end = rest.iter().position(|byte| !byte.is_ascii_digit())?;
    let sent = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
    // 0 stands in payloads that are not timed.
    (sent > 0).then_some(sent)
}

async fn serve(mut stream: TcpStream, tally: &RefCell<Tally>, closing: bool) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(BUFFER);
    let mut used = false;
    loop {
        // The first byte of a request is what is timed.
        let mut came = 0;
        let head = loop {
            match head::parse(&buffer) {
                Parsed::Whole(head) => break head,
                Parsed::Partial => {}
                Parsed::Wrong => return Err(io::ErrorKind::InvalidData.into()),
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
            if came == 0 {
                came = BootClock.nanos();
            }
        };
        if let Some(path) = head.get {
            return answer(stream, tally, &path).await;
        }
        let Head { head, body, .. } = head;
        {
            let mut tally = tally.borrow_mut();
            tally.connections += u64::from(!used);
            tally.count(head + body, came, &buffer[head..head + body]);
        }
        used = true;
        buffer.drain(..head + body);
        if closing {
            stream.write_all(LAST_ANSWER).await?;
            return stream.shutdown().await;
        }
        stream.write_all(ANSWER).await?;
    }
}

/// Answers the scenario's own questions, on a connection each.
async fn answer(mut stream: TcpStream, tally: &RefCell<Tally>, path: &str) -> io::Result<()> {
    if path == "/reset" {
        tally.borrow_mut().reset();
    }
    let body = tally.borrow().stats();
    let text = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_says_when_it_was_sent() {
        assert_eq!(sent_at(b"{\"sentAt\":123,\"x\":1}"), Some(123));
        assert_eq!(sent_at(b"{\"x\":1}"), None);
        assert_eq!(sent_at(b"{\"sentAt\":0,"), None);
        assert_eq!(sent_at(b"{\"sentAt\":123"), None);
    }
}
