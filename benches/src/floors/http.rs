//! The floor of sending: bare hyper.
//!
//! Own keep-alive connections, one task each in which request and connection
//! are driven together, on one current-thread runtime; the same body and
//! headers as the dispatcher's, built anew for each request, and nothing else.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Instant;

use anyhow::{Context, ensure};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};

use crate::children::Floor;
use crate::{cpu, events, output};

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The sink
    #[arg(long)]
    sink: SocketAddr,
    /// Requests in all
    #[arg(long)]
    requests: u64,
    /// Connections
    #[arg(long)]
    connections: u64,
    /// Bytes of a body
    #[arg(long)]
    payload: usize,
    /// Digits of a path after `/e`, as the endpoints of the same run have them
    #[arg(long)]
    paths: u64,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let floor = runtime.block_on(LocalSet::new().run_until(measure(args)))?;
    output::line(floor.to_json());
    Ok(())
}

async fn measure(args: &Args) -> anyhow::Result<Floor> {
    ensure!(args.connections > 0 && args.paths > 0, "nothing to do");
    let body = Bytes::from(events::payload(0, args.payload));
    // Connected and used once before the clock starts, as in the service.
    let mut tasks = JoinSet::new();
    for n in 0..args.connections {
        let work = Work {
            sink: args.sink,
            path: format!("/e{}", n % args.paths),
            body: body.clone(),
            requests: 1,
        };
        tasks.spawn_local(connect(work));
    }
    let mut open = Vec::new();
    while let Some(done) = tasks.join_next().await {
        open.push(done??);
    }
    let shares: Vec<u64> = (0..args.connections)
        .map(|n| (args.requests + n) / args.connections)
        .collect();
    let (begun, cpu) = (Instant::now(), cpu::own());
    for (connection, requests) in open.into_iter().zip(shares) {
        tasks.spawn_local(connection.go_on(requests));
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(Floor {
        count: args.requests,
        cpu_seconds: cpu::own() - cpu,
        seconds: begun.elapsed().as_secs_f64(),
    })
}

struct Work {
    sink: SocketAddr,
    path: String,
    body: Bytes,
    requests: u64,
}

type Connection = http1::Connection<TokioIo<TcpStream>, Full<Bytes>>;

struct Open {
    sender: SendRequest<Full<Bytes>>,
    connection: Connection,
    host: HeaderValue,
    work: Work,
}

async fn connect(work: Work) -> anyhow::Result<Box<Open>> {
    let stream = TcpStream::connect(work.sink).await.context("connect")?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let host = HeaderValue::from_str(&work.sink.to_string())?;
    let requests = work.requests;
    let open = Box::new(Open {
        sender,
        connection,
        host,
        work,
    });
    open.go_on(requests).await
}

impl Open {
    /// Makes so many requests, one after the other.
    async fn go_on(mut self: Box<Self>, requests: u64) -> anyhow::Result<Box<Self>> {
        let Self {
            sender,
            connection,
            host,
            work,
        } = &mut *self;
        let mut connection = pin!(connection);
        for n in 0..requests {
            let request = request(host, work, n);
            let exchange = async {
                let response = sender.try_send_request(request).await;
                let response = response.map_err(|mut e| {
                    drop(e.take_message());
                    e.into_error()
                })?;
                ensure!(response.status() == StatusCode::OK, "the sink refuses");
                response.into_body().collect().await?;
                poll_fn(|cx| sender.poll_ready(cx)).await?;
                Ok(())
            };
            tokio::select! {
                biased;
                ended = connection.as_mut() => {
                    ended.context("the connection")?;
                    anyhow::bail!("the sink closed a connection");
                }
                done = exchange => done?,
            }
        }
        Ok(self)
    }
}

fn request(host: &HeaderValue, work: &Work, n: u64) -> Request<Full<Bytes>> {
    const ID: HeaderName = HeaderName::from_static("webhook-id");
    const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
    let mut request = Request::new(Full::new(work.body.clone()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = work.path.parse().expect("a path of a letter and digits");
    let id = format!("dlv_{n:032x}");
    let headers = request.headers_mut();
    headers.reserve(12);
    headers.insert(header::HOST, host.clone());
    headers.insert(
        header::USER_AGENT,
        HeaderValue::from_static("hooklane/0.1.0"),
    );
    headers.insert(ID, HeaderValue::from_str(&id).expect("hex digits"));
    headers.insert(TIMESTAMP, HeaderValue::from(1_700_000_000_u64));
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    request
}
