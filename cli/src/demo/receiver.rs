//! The receiver: an HTTP server on 127.0.0.1 with one path per endpoint, each
//! of which behaves as its role says. It notes every 2xx on the board, before
//! the answer is sent: what it notes is the receiver's own account.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use bytes::Bytes;
use hooklane_service::lifecycle::Shutdown;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::board::{SharedBoard, lock};
use super::endpoints::{Behaviour, ENOUGH, RETRY_AFTER, ROLES, SLOW};

/// A running receiver.
pub(super) struct Receiver {
    address: SocketAddr,
    /// Bound and not listening: a connection to it is refused, and nobody
    /// else can get the port meanwhile.
    refusing: TcpSocket,
    refused: SocketAddr,
    shutdown: Shutdown,
    thread: Option<JoinHandle<()>>,
}

struct Handler {
    board: SharedBoard,
    /// Requests so far, by role.
    requests: [AtomicU64; ROLES.len()],
    /// From when on the limited one has enough.
    enough: Mutex<Instant>,
}

impl Receiver {
    /// Listens on a free port.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn start(board: SharedBoard) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let entered = runtime.enter();
        let refusing = TcpSocket::new_v4()?;
        refusing.bind(local)?;
        let refused = refusing.local_addr()?;
        let listener = runtime.block_on(TcpListener::bind(local))?;
        let address = listener.local_addr()?;
        drop(entered);
        let shutdown = Shutdown::new();
        let stop = shutdown.clone();
        let handler = Arc::new(Handler {
            board,
            requests: std::array::from_fn(|_| AtomicU64::new(0)),
            enough: Mutex::new(Instant::now() + ENOUGH[0]),
        });
        let thread = std::thread::Builder::new()
            .name("demo-receiver".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = stop.requested() => {}
                        () = accept(listener, handler) => {}
                    }
                });
            })?;
        Ok(Self {
            address,
            refusing,
            refused,
            shutdown,
            thread: Some(thread),
        })
    }

    /// The URL of the endpoint at this place among the roles.
    pub(super) fn url(&self, index: usize) -> String {
        let role = &ROLES[index];
        let address = match role.behaviour {
            Behaviour::Dead => self.refused,
            _ => self.address,
        };
        format!("http://{address}/{index}/{}", role.name)
    }

    /// Ends it; open connections are cut.
    pub(super) fn stop(mut self) {
        self.end();
        drop(self.refusing);
    }

    fn end(&mut self) {
        self.shutdown.request("the demo ends");
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the receiver panicked");
        }
    }
}

async fn accept(listener: TcpListener, handler: Arc<Handler>) {
    loop {
        match listener.accept().await {
            // As many as the dispatcher opens, which its slots bound.
            Ok((stream, _)) => drop(tokio::spawn(serve(stream, handler.clone()))),
            Err(error) => {
                tracing::warn!(%error, "the receiver cannot take a connection");
                tokio::time::sleep(SLOW).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, handler: Arc<Handler>) {
    let service = service_fn(move |request| {
        let handler = handler.clone();
        async move { Ok::<_, Infallible>(handler.answer(request).await) }
    });
    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "a connection to the receiver ended");
    }
}

impl Handler {
    async fn answer(&self, request: Request<Incoming>) -> Response<Empty<Bytes>> {
        let index = index_of(request.uri().path());
        let id = request
            .headers()
            .get("webhook-id")
            .and_then(|id| id.to_str().ok())
            .and_then(|id| id.parse().ok());
        // Read to its end, so that the connection can be used again.
        let read = request.into_body().collect().await;
        let (Some(index), Some(id), Ok(_)) = (index, id, read) else {
            return answer(StatusCode::BAD_REQUEST);
        };
        let number = self.requests[index].fetch_add(1, Ordering::Relaxed) + 1;
        let behaviour = ROLES[index].behaviour;
        let enough = behaviour == Behaviour::Limited && self.has_enough();
        let response = answer(status(behaviour, number, enough));
        if behaviour == Behaviour::Slow {
            tokio::time::sleep(SLOW).await;
        }
        if response.status().is_success() {
            lock(&self.board).received(index, id);
        }
        response
    }

    fn has_enough(&self) -> bool {
        let mut enough = self.enough.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let has = now >= *enough;
        if has {
            *enough = now + ENOUGH[1];
        }
        has
    }
}

/// What the `number`th request of an endpoint is answered with.
fn status(behaviour: Behaviour, number: u64, enough: bool) -> StatusCode {
    match behaviour {
        Behaviour::Flaky if number.is_multiple_of(3) => StatusCode::INTERNAL_SERVER_ERROR,
        Behaviour::Limited if enough => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::OK,
    }
}

fn answer(status: StatusCode) -> Response<Empty<Bytes>> {
    let mut response = Response::new(Empty::new());
    *response.status_mut() = status;
    if status == StatusCode::TOO_MANY_REQUESTS {
        let headers = response.headers_mut();
        headers.insert(hyper::header::RETRY_AFTER, RETRY_AFTER.into());
    }
    response
}

/// Paths are `/INDEX/NAME`.
fn index_of(path: &str) -> Option<usize> {
    let index = path.strip_prefix('/')?.split('/').next()?.parse().ok()?;
    (index < ROLES.len()).then_some(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        assert_eq!(index_of("/3/partner"), Some(3));
        assert_eq!(index_of("/5/partner"), None);
        assert_eq!(index_of("/"), None);
    }

    #[test]
    fn answers() {
        let ok = |behaviour, enough| {
            let good = |n: &u64| status(behaviour, *n, enough).is_success();
            (1..=9).filter(good).count()
        };
        assert_eq!(ok(Behaviour::Healthy, true), 9);
        assert_eq!(ok(Behaviour::Slow, true), 9);
        assert_eq!(ok(Behaviour::Flaky, true), 6);
        assert_eq!(ok(Behaviour::Limited, false), 9);
        assert_eq!(ok(Behaviour::Limited, true), 0);
        let limited = answer(StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(limited.headers()["retry-after"], "2");
        assert!(
            answer(StatusCode::OK)
                .headers()
                .get("retry-after")
                .is_none()
        );
    }

    /// The dead endpoint must refuse, not hang: a socket that is bound and
    /// does not listen does.
    #[test]
    fn the_dead_endpoint_refuses_connections() {
        let board = Arc::new(super::super::board::Board::new().into());
        let receiver = Receiver::start(board).unwrap();
        let refused = std::net::TcpStream::connect(receiver.refused).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        assert!(std::net::TcpStream::connect(receiver.address).is_ok());
        receiver.stop();
    }
}
