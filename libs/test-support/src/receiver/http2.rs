//! HTTP/2 through hyper: everything that a stream can do wrong, nothing below.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;

use super::log::{ConnectionGuard, Log, Request};
use super::script::{Answer, Fault};

const INFINITE_CHUNK: usize = 16 << 10;

/// Serves one connection until the client goes.
pub(super) async fn serve(
    socket: TlsStream<TcpStream>,
    log: Arc<Log>,
    connection: ConnectionGuard,
) {
    let number = connection.number;
    let service = service_fn(move |request| respond(request, Arc::clone(&log), number));
    hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(socket), service)
        .await
        .ok();
    drop(connection);
}

async fn respond(
    request: http::Request<Incoming>,
    log: Arc<Log>,
    connection: usize,
) -> io::Result<http::Response<Scripted>> {
    let (head, body) = request.into_parts();
    let path = head
        .uri
        .path_and_query()
        .map(ToString::to_string)
        .unwrap_or_default();
    let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        (
            name.to_string(),
            String::from_utf8_lossy(value.as_bytes()).into_owned(),
        )
    };
    let mut request = Request {
        at: Instant::now(),
        method: head.method.to_string(),
        path,
        version: head.version,
        headers: head.headers.iter().map(header).collect(),
        body: Vec::new(),
        connection,
        open: 0,
        status: None,
    };
    let (answer, _open) = log.arrived(&mut request);
    let early = matches!(
        answer.fault,
        Fault::CloseBeforeBody | Fault::ResetBeforeBody
    );
    if !early {
        request.body = body
            .collect()
            .await
            .map_err(io::Error::other)?
            .to_bytes()
            .to_vec();
    }
    let sound = matches!(
        answer.fault,
        Fault::None | Fault::DripBody(_) | Fault::InfiniteBody
    );
    request.status = sound.then_some(answer.status);
    let answer = answer.to(&request.body);
    log.keep(request);
    answer.wait().await;
    if answer.fault == Fault::Hang {
        std::future::pending::<()>().await;
    }
    if !sound {
        // An error of the service resets its stream.
        return Err(io::Error::other("scripted"));
    }
    let mut response = http::Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        response = response.header(name, value);
    }
    response
        .body(Scripted::new(answer, log))
        .map_err(io::Error::other)
}

/// A body that comes as the script wants it.
struct Scripted {
    left: Bytes,
    infinite: bool,
    every: Option<Duration>,
    pause: Option<Pin<Box<Sleep>>>,
    log: Arc<Log>,
}

impl Scripted {
    fn new(answer: Answer, log: Arc<Log>) -> Scripted {
        let every = match answer.fault {
            Fault::DripBody(every) => Some(every),
            _ => None,
        };
        let infinite = answer.fault == Fault::InfiniteBody;
        Scripted {
            left: answer.body.into(),
            infinite,
            every,
            pause: None,
            log,
        }
    }

    fn next(&mut self) -> Option<Bytes> {
        if self.infinite {
            return Some(Bytes::from_static(&[b'x'; INFINITE_CHUNK]));
        }
        if self.left.is_empty() {
            return None;
        }
        let len = if self.every.is_some() {
            1
        } else {
            self.left.len()
        };
        Some(self.left.split_to(len))
    }
}

impl Body for Scripted {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(context));
        }
        self.pause = self.every.map(|every| Box::pin(tokio::time::sleep(every)));
        let next = self.next();
        self.log.sent(next.as_ref().map_or(0, Bytes::len));
        Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes))))
    }
}
