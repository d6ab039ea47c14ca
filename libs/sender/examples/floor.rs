//! What an attempt costs beyond bare hyper.
//!
//! `cargo run --release -p hooklane-sender --example floor [requests] [concurrency]`
//! sends the same 1 KiB POST to a raw sink in another thread, through bare
//! hyper connections and through [`Sender`], by turns, and prints this
//! thread's CPU seconds per 100,000 requests and their ratio.

#![allow(clippy::print_stdout, reason = "an example's output")]

use std::future::Future;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hooklane_sender::{
    AttemptRequest, DnsResolver, DnsTimeouts, Sender, SenderConfig, TlsDefaults,
};
use http::{HeaderValue, Method, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustix::time::{ClockId, clock_gettime};
use tokio::task::LocalSet;

const RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok";
/// Odd, for the median.
const ROUNDS: usize = 11;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let requests: usize = arguments.next().map_or(Ok(50_000), |n| n.parse())?;
    let concurrency: usize = arguments.next().map_or(Ok(16), |n| n.parse())?;
    let sink = start_sink()?;
    let body = Bytes::from(vec![b'x'; 1024]);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let each = requests / concurrency;
    let (mut ratios, mut floors, mut costs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let bare = measure(&runtime, || bare(sink, &body, each, concurrency));
        let ours = measure(&runtime, || attempts(sink, &body, each, concurrency));
        ratios.push(ours / bare);
        floors.push(bare);
        costs.push(ours);
    }
    let sent = f64::from(u32::try_from(each * concurrency)?);
    for (name, values) in [("bare hyper", &mut floors), ("sender", &mut costs)] {
        values.sort_by(f64::total_cmp);
        let per = |seconds: f64| seconds * 1e5 / sent;
        let (best, median) = (per(values[0]), per(values[ROUNDS / 2]));
        println!("{name}: best {best:.3}, median {median:.3} CPU s per 100,000");
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "ratio: of the bests {:.3}, median {:.3}",
        costs[0] / floors[0],
        ratios[ROUNDS / 2]
    );
    Ok(())
}

fn measure<F: Future>(runtime: &tokio::runtime::Runtime, work: impl FnOnce() -> F) -> f64 {
    let cpu = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::try_from(time)
            .expect("CPU time is not negative")
            .as_secs_f64()
    };
    let before = cpu();
    runtime.block_on(LocalSet::new().run_until(work()));
    cpu() - before
}

async fn bare(sink: SocketAddr, body: &Bytes, each: usize, concurrency: usize) {
    let tasks: Vec<_> = (0..concurrency)
        .map(|_| tokio::task::spawn_local(bare_connection(sink, body.clone(), each)))
        .collect();
    for task in tasks {
        task.await.expect("a task does not panic");
    }
}

async fn bare_connection(sink: SocketAddr, body: Bytes, each: usize) {
    let stream = tokio::net::TcpStream::connect(sink)
        .await
        .expect("connects");
    stream.set_nodelay(true).expect("is a TCP socket");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .expect("handshake");
    let mut connection = pin!(connection);
    let host = HeaderValue::from_str(&sink.to_string()).expect("is an authority");
    for n in 0..each {
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = "/hooks".parse().expect("is a path");
        let headers = request.headers_mut();
        headers.reserve(12);
        headers.insert(header::HOST, host.clone());
        headers.insert(
            header::USER_AGENT,
            HeaderValue::from_static("hooklane/0.1.0"),
        );
        add_headers(headers, n);
        let exchange = async {
            let response = sender.try_send_request(request).await.expect("answers");
            assert_eq!(response.status(), 200);
            response.into_body().collect().await.expect("has a body");
            std::future::poll_fn(|cx| sender.poll_ready(cx))
                .await
                .expect("stays open");
        };
        tokio::select! {
            biased;
            _ = connection.as_mut() => panic!("the connection ended"),
            () = exchange => {}
        }
    }
}

async fn attempts(sink: SocketAddr, body: &Bytes, each: usize, concurrency: usize) {
    let mut config = SenderConfig::default();
    config.egress.allow_http = true;
    config.egress.allow_cidrs = vec!["127.0.0.0/8".parse().expect("is a network")];
    let tls = TlsDefaults::load(&[]).expect("has roots");
    let sender = Rc::new(Sender::new(
        config,
        tls,
        Arc::new(
            DnsResolver::try_new(&[], DnsTimeouts::default())
                .expect("no server is no contradiction"),
        ),
    ));
    let url = format!("http://{sink}/hooks").parse().expect("is a URL");
    let destination = sender.destination(&url).expect("is allowed");
    let tasks: Vec<_> = (0..concurrency)
        .map(|_| {
            let (sender, destination) = (Rc::clone(&sender), Rc::clone(&destination));
            let body = body.clone();
            tokio::task::spawn_local(async move {
                for n in 0..each {
                    let mut headers = destination.headers();
                    add_headers(&mut headers, n);
                    let request = AttemptRequest {
                        headers,
                        body: body.clone(),
                        query: None,
                        timeout: Duration::from_secs(15),
                    };
                    let report = sender.attempt(&destination, request, || true).await;
                    assert_eq!(report.result.expect("answers").status, 200);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a task does not panic");
    }
}

fn add_headers(headers: &mut http::HeaderMap, n: usize) {
    let id = format!("dlv_{n:032x}");
    headers.insert("webhook-id", HeaderValue::from_str(&id).expect("is ASCII"));
    headers.insert("webhook-timestamp", HeaderValue::from(1_700_000_000_u64));
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
}

/// Reads requests of a known shape as cheaply as can be, a thread for each
/// connection, and answers each.
fn start_sink() -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(stream));
        }
    });
    Ok(address)
}

fn serve(mut stream: TcpStream) {
    let mut buffer = vec![0; 64 * 1024];
    let mut held = 0;
    while let Ok(read @ 1..) = stream.read(&mut buffer[held..]) {
        held += read;
        let Some(head) = buffer[..held].windows(4).position(|w| w == b"\r\n\r\n") else {
            continue;
        };
        if held < head + 4 + 1024 {
            continue;
        }
        held = 0;
        if stream.write_all(RESPONSE).is_err() {
            return;
        }
    }
}
