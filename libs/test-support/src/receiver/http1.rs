//! HTTP/1.1 by hand on any stream: a library would not let us answer wrongly.
//!
//! Reads `content-length` and chunked bodies; knows no upgrade, no trailers and
//! no `expect`.

use std::fmt::Write as _;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::log::{ConnectionGuard, Log, Request};
use super::script::{Answer, Fault};

/// Heads beyond this are a fault of the client under test.
const HEAD_MAX: usize = 256 << 10;
const INFINITE_CHUNK: usize = 16 << 10;

/// A stream that can be ended by a TCP reset.
pub(super) trait Socket: AsyncRead + AsyncWrite + Unpin + Send {
    /// Makes the coming close a reset.
    fn reset_on_close(&self);
}

impl Socket for TcpStream {
    fn reset_on_close(&self) {
        self.set_zero_linger().ok();
    }
}

impl Socket for TlsStream<TcpStream> {
    fn reset_on_close(&self) {
        self.get_ref().0.set_zero_linger().ok();
    }
}

/// Serves one connection until either side has had enough.
pub(super) async fn serve(mut socket: impl Socket, log: Arc<Log>, connection: ConnectionGuard) {
    let mut unread = Vec::new();
    // An error here is the client's going away: what was read of it is kept.
    while let Ok(Some(request)) = read_head(&mut socket, &mut unread, connection.number).await {
        match respond(&mut socket, &mut unread, &log, request).await {
            Ok(ControlFlow::Continue(())) => {}
            _ => break,
        }
    }
}

async fn respond(
    socket: &mut impl Socket,
    unread: &mut Vec<u8>,
    log: &Arc<Log>,
    mut request: Request,
) -> io::Result<ControlFlow<()>> {
    let (answer, _open) = log.arrived(&mut request);
    let early = matches!(
        answer.fault,
        Fault::CloseBeforeBody | Fault::ResetBeforeBody
    );
    if !early {
        request.body = read_body(socket, unread, &request).await?;
    }
    let silent = matches!(
        answer.fault,
        Fault::CloseAfterReading | Fault::ResetAfterReading
    );
    let whole = !early && !silent && !matches!(answer.fault, Fault::Hang | Fault::Garbage);
    request.status = whole.then_some(answer.status);
    let last = request
        .header("connection")
        .is_some_and(|v| v.eq_ignore_ascii_case("close"));
    let answer = answer.to(&request.body);
    log.keep(request);
    answer.wait().await;
    if matches!(
        answer.fault,
        Fault::ResetBeforeBody | Fault::ResetAfterReading
    ) {
        socket.reset_on_close();
    }
    if early || silent {
        return Ok(ControlFlow::Break(()));
    }
    let flow = write_answer(socket, log, &answer).await?;
    Ok(if last { ControlFlow::Break(()) } else { flow })
}

async fn write_answer(
    socket: &mut impl Socket,
    log: &Log,
    answer: &Answer,
) -> io::Result<ControlFlow<()>> {
    let body = &answer.body;
    match answer.fault {
        Fault::Hang => {
            until_closed(socket).await;
            return Ok(ControlFlow::Break(()));
        }
        Fault::Garbage => {
            socket
                .write_all(b"\x16\x03\x01 this is not HTTP\r\n\r\n")
                .await?;
            return Ok(ControlFlow::Break(()));
        }
        Fault::DripHead(every) => {
            drip(socket, head(answer, Some(body.len())).as_bytes(), every).await?;
            socket.write_all(body).await?;
        }
        Fault::DripBody(every) => {
            socket
                .write_all(head(answer, Some(body.len())).as_bytes())
                .await?;
            drip(socket, body, every).await?;
        }
        Fault::ContentLength(declared) => {
            socket
                .write_all(head(answer, Some(declared)).as_bytes())
                .await?;
            socket.write_all(body).await?;
            socket.shutdown().await?;
            return Ok(ControlFlow::Break(()));
        }
        Fault::InfiniteBody => {
            socket.write_all(head(answer, None).as_bytes()).await?;
            let mut chunk = format!("{INFINITE_CHUNK:x}\r\n").into_bytes();
            chunk.resize(chunk.len() + INFINITE_CHUNK, b'x');
            chunk.extend_from_slice(b"\r\n");
            loop {
                socket.write_all(&chunk).await?;
                log.sent(INFINITE_CHUNK);
            }
        }
        _ => {
            let mut bytes = head(answer, Some(body.len())).into_bytes();
            bytes.extend_from_slice(body);
            socket.write_all(&bytes).await?;
        }
    }
    log.sent(body.len());
    socket.flush().await?;
    Ok(ControlFlow::Continue(()))
}

/// Status line and headers; chunked where no length is declared.
fn head(answer: &Answer, length: Option<usize>) -> String {
    let reason = http::StatusCode::from_u16(answer.status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Scripted");
    let mut head = format!("HTTP/1.1 {} {reason}\r\n", answer.status);
    for (name, value) in &answer.headers {
        write!(head, "{name}: {value}\r\n").expect("a String takes everything");
    }
    match length {
        // These two statuses have no body, and no length of one.
        Some(_) if matches!(answer.status, 204 | 304) => {}
        Some(length) => {
            write!(head, "content-length: {length}\r\n").expect("a String takes everything");
        }
        None => head.push_str("transfer-encoding: chunked\r\n"),
    }
    head.push_str("\r\n");
    head
}

async fn drip(socket: &mut impl Socket, bytes: &[u8], every: Duration) -> io::Result<()> {
    for byte in bytes {
        socket.write_all(&[*byte]).await?;
        socket.flush().await?;
        tokio::time::sleep(every).await;
    }
    Ok(())
}

/// Reads and drops, until the other side closes.
pub(super) async fn until_closed(socket: &mut (impl AsyncRead + Unpin)) {
    let mut sink = [0; 4096];
    while matches!(socket.read(&mut sink).await, Ok(read) if read > 0) {}
}

/// `None` when the connection ends between requests.
async fn read_head(
    socket: &mut impl Socket,
    unread: &mut Vec<u8>,
    connection: usize,
) -> io::Result<Option<Request>> {
    let mut at = (!unread.is_empty()).then(Instant::now);
    let end = loop {
        if let Some(end) = unread.windows(4).position(|w| w == b"\r\n\r\n") {
            break end;
        }
        if unread.len() > HEAD_MAX || read_more(socket, unread).await? == 0 {
            return Ok(None);
        }
        at.get_or_insert_with(Instant::now);
    };
    let head = String::from_utf8_lossy(&unread[..end]).into_owned();
    unread.drain(..end + 4);
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ');
    let headers = lines.filter_map(|line| line.split_once(':'));
    Ok(Some(Request {
        at: at.unwrap_or_else(Instant::now),
        method: first.next().unwrap_or_default().to_owned(),
        path: first.next().unwrap_or_default().to_owned(),
        version: http::Version::HTTP_11,
        headers: headers
            .map(|(n, v)| (n.to_owned(), v.trim().to_owned()))
            .collect(),
        body: Vec::new(),
        connection,
        open: 0,
        status: None,
    }))
}

async fn read_body(
    socket: &mut impl Socket,
    unread: &mut Vec<u8>,
    request: &Request,
) -> io::Result<Vec<u8>> {
    if request.header("transfer-encoding").is_some() {
        return read_chunked(socket, unread).await;
    }
    let length = request
        .header("content-length")
        .and_then(|v| v.parse().ok())
        .unwrap_or(0);
    take(socket, unread, length).await
}

async fn read_chunked(socket: &mut impl Socket, unread: &mut Vec<u8>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = unread.windows(2).position(|w| w == b"\r\n") {
                break end;
            }
            if read_more(socket, unread).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        let line = take(socket, unread, end + 2).await?;
        let size = String::from_utf8_lossy(&line[..end]).into_owned();
        let size = usize::from_str_radix(&size, 16).map_err(io::Error::other)?;
        body.extend(take(socket, unread, size).await?);
        take(socket, unread, 2).await?;
        if size == 0 {
            return Ok(body);
        }
    }
}

async fn take(socket: &mut impl Socket, unread: &mut Vec<u8>, len: usize) -> io::Result<Vec<u8>> {
    while unread.len() < len {
        if read_more(socket, unread).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let rest = unread.split_off(len);
    Ok(std::mem::replace(unread, rest))
}

async fn read_more(socket: &mut impl Socket, unread: &mut Vec<u8>) -> io::Result<usize> {
    unread.reserve(16 << 10);
    socket.read_buf(unread).await
}
