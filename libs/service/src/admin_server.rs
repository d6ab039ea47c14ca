//! `/metrics`, `/healthz` and `/readyz` on a thread of their own, so that
//! they answer while every worker is busy or stuck.
//!
//! One request per connection: probes and scrapes come every few seconds, and
//! a connection that is never reused cannot be held open to use up the cap.
//! No TLS and no authentication: nothing here is secret, and nothing here
//! changes anything.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use thiserror::Error;
use tokio::sync::Semaphore;

use crate::lifecycle::Shutdown;
use crate::metrics::Registry;
use crate::probes::Probes;

/// Most connections served at once: two scrapers, the kubelet and a person
/// need four, the rest is for clients that connect and say nothing. When full
/// the next ones wait in the kernel's listen queue for a header timeout.
const CONNECTIONS_MAX: usize = 64;

/// For the request's head; a healthy client sends it in one packet.
const HEADER_TIMEOUT: Duration = Duration::from_secs(2);

/// For the whole connection; Prometheus gives up after 10 s by default.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);

/// After a failed accept (no descriptors left), so as not to spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the server could not start.
#[derive(Debug, Error)]
pub enum AdminServerError {
    /// The address is taken or not ours.
    #[error(
        "cannot listen on {listen}; set metrics.listen (HOOKLANE__METRICS__LISTEN) to a free address"
    )]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No thread or no runtime.
    #[error("the admin server's thread cannot start")]
    Thread(#[source] io::Error),
}

/// A running server; dropping it stops it.
#[derive(Debug)]
pub struct AdminServer {
    local_addr: SocketAddr,
    stop: Shutdown,
    thread: Option<JoinHandle<()>>,
}

impl AdminServer {
    /// Listens at once and serves until dropped.
    ///
    /// # Errors
    /// When the address cannot be had or no thread can be started.
    pub fn start(
        listen: SocketAddr,
        metrics: Registry,
        probes: Probes,
    ) -> Result<Self, AdminServerError> {
        let refused = |source| AdminServerError::Listen { listen, source };
        let listener = TcpListener::bind(listen).map_err(refused)?;
        listener.set_nonblocking(true).map_err(refused)?;
        let local_addr = listener.local_addr().map_err(refused)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(AdminServerError::Thread)?;
        let listener = {
            let _entered = runtime.enter();
            tokio::net::TcpListener::from_std(listener).map_err(refused)?
        };
        let stop = Shutdown::new();
        let stopped = stop.clone();
        let thread = thread::Builder::new()
            .name("hooklane-admin".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = stopped.requested() => {}
                        () = accept(listener, metrics, probes) => {}
                    }
                });
            })
            .map_err(AdminServerError::Thread)?;
        tracing::info!(%local_addr, "metrics and probes are served");
        Ok(Self {
            local_addr,
            stop,
            thread: Some(thread),
        })
    }

    /// Where it listens, the port chosen included.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }
}

impl Drop for AdminServer {
    fn drop(&mut self) {
        self.stop.request_quietly("dropped");
        if let Some(thread) = self.thread.take() {
            // A panic there has ended the process or has been reported.
            thread.join().ok();
        }
    }
}

async fn accept(listener: tokio::net::TcpListener, metrics: Registry, probes: Probes) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        // Never closed, so a permit always comes.
        let Ok(slot) = slots.clone().acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "admin server cannot accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (metrics, probes) = (metrics.clone(), probes.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let response = respond(&request, &metrics, &probes);
                std::future::ready(Ok::<_, Infallible>(response))
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            // Whatever the client did wrong is its own business.
            tokio::time::timeout(CONNECTION_TIMEOUT, connection)
                .await
                .ok();
            drop(slot);
        });
    }
}

fn respond(
    request: &Request<Incoming>,
    metrics: &Registry,
    probes: &Probes,
) -> Response<Full<Bytes>> {
    let known = matches!(request.uri().path(), "/metrics" | "/healthz" | "/readyz");
    if known && !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text(
            StatusCode::METHOD_NOT_ALLOWED,
            "only GET and HEAD\n".to_owned(),
        );
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/metrics" => match metrics.render() {
            Ok(body) => answer(
                StatusCode::OK,
                "text/plain; version=0.0.4; charset=utf-8",
                body,
            ),
            Err(error) => {
                tracing::error!(%error, "metrics cannot be rendered");
                text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"))
            }
        },
        "/healthz" => {
            let stale: Vec<_> = probes
                .stale()
                .into_iter()
                .map(|stale| {
                    json!({
                        "heartbeat": stale.name,
                        "doing": stale.doing,
                        "age_seconds": stale.age.as_secs_f64(),
                        "max_age_seconds": stale.max_age.as_secs_f64(),
                    })
                })
                .collect();
            verdict(
                stale.is_empty(),
                &json!({"healthy": stale.is_empty(), "stale": stale}),
            )
        }
        "/readyz" => {
            let missing = probes.missing();
            verdict(
                missing.is_empty(),
                &json!({"ready": missing.is_empty(), "missing": missing}),
            )
        }
        _ => text(
            StatusCode::NOT_FOUND,
            "there is /metrics, /healthz and /readyz\n".to_owned(),
        ),
    }
}

fn verdict(good: bool, body: &serde_json::Value) -> Response<Full<Bytes>> {
    let status = if good {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    answer(status, "application/json", format!("{body}\n"))
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    answer(status, "text/plain; charset=utf-8", body)
}

fn answer(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
