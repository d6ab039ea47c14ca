//! Receivers made of bytes, and a sender to face them.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hooklane_sender::resolve::{Answers, ResolveError, Resolving};
use hooklane_sender::{
    AttemptReport, AttemptRequest, Destination, Resolve, Sender, SenderConfig, TlsDefaults,
};
use http::HeaderValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use url::Url;

/// Runs `future` on a current-thread runtime, as a worker does, and fails a
/// test that hangs.
pub(crate) fn run(future: impl Future<Output = ()>) {
    run_letting_pass(Duration::ZERO, future);
}

/// The same for a test that puts the clock forward by so much in all; each of
/// its waits has a limit of its own.
pub(crate) fn run_letting_pass(time: Duration, future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(async {
            tokio::time::timeout(Duration::from_secs(20) + time, future)
                .await
                .expect("the test hangs");
        });
}

/// Lets `time` go by without waiting for it.
pub(crate) async fn let_pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// A config that may reach the loopback by http.
pub(crate) fn open_config() -> SenderConfig {
    let mut config = SenderConfig::default();
    config.egress.allow_http = true;
    config.egress.allow_cidrs = vec!["127.0.0.0/8".parse().unwrap()];
    config
}

/// A resolver that knows one answer for every name.
pub(crate) struct Fixed(pub(crate) Vec<IpAddr>);

impl Resolve for Fixed {
    fn resolve<'a>(&'a self, _name: &'a str) -> Resolving<'a> {
        let answers: Answers = self.0.clone().into();
        Box::pin(async move {
            if answers.is_empty() {
                return Err(ResolveError::NoAddress);
            }
            Ok(answers)
        })
    }
}

pub(crate) fn loopback() -> Arc<Fixed> {
    Arc::new(Fixed(vec![IpAddr::from([127, 0, 0, 1])]))
}

pub(crate) fn sender(config: SenderConfig) -> Sender {
    Sender::new(config, TlsDefaults::load(&[]).unwrap(), loopback())
}

pub(crate) fn sender_resolving(config: SenderConfig, answers: Vec<IpAddr>) -> Sender {
    let resolver = Arc::new(Fixed(answers));
    Sender::new(config, TlsDefaults::load(&[]).unwrap(), resolver)
}

pub(crate) fn destination(sender: &Sender, address: SocketAddr) -> Rc<Destination> {
    let url = Url::parse(&format!("http://{address}/hooks?a=b")).unwrap();
    sender.destination(&url).unwrap()
}

pub(crate) fn request(destination: &Destination, body: &'static [u8]) -> AttemptRequest {
    let mut headers = destination.headers();
    headers.insert("webhook-id", HeaderValue::from_static("dlv_1"));
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    AttemptRequest {
        headers,
        body: Bytes::from_static(body),
        query: None,
        timeout: Duration::from_secs(5),
    }
}

pub(crate) async fn post(sender: &Sender, destination: &Rc<Destination>) -> AttemptReport {
    let request = request(destination, b"{\"n\":1}");
    sender.attempt(destination, request, || true).await
}

pub(crate) async fn post_within(
    sender: &Sender,
    destination: &Rc<Destination>,
    millis: u64,
) -> AttemptReport {
    let mut request = request(destination, b"{\"n\":1}");
    request.timeout = Duration::from_millis(millis);
    sender.attempt(destination, request, || true).await
}

pub(crate) fn status(report: &AttemptReport) -> u16 {
    report.result.as_ref().expect("a response").status
}

pub(crate) fn reason(report: &AttemptReport) -> &'static str {
    report
        .result
        .as_ref()
        .expect_err("a failure")
        .reason
        .as_str()
}

/// One request as it came over the wire.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// What a receiver has seen so far, in order, for a test to read or wait for.
/// Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Log<T>(watch::Sender<Vec<T>>);

impl<T> Default for Log<T> {
    fn default() -> Self {
        Self(watch::Sender::new(Vec::new()))
    }
}

impl<T> Log<T> {
    /// Adds one; says how many that makes.
    pub(crate) fn push(&self, one: T) -> usize {
        self.0.send_modify(|all| all.push(one));
        self.len()
    }

    pub(crate) fn all(&self) -> watch::Ref<'_, Vec<T>> {
        self.0.borrow()
    }

    pub(crate) fn len(&self) -> usize {
        self.all().len()
    }

    /// Waits until there are so many.
    pub(crate) async fn reaches(&self, count: usize) {
        let mut seen = self.0.subscribe();
        // The sender is ours, so waiting cannot fail.
        seen.wait_for(|all| all.len() >= count).await.unwrap();
    }
}

/// Reads one request with a content-length; `None` at the end of the stream.
pub(crate) async fn read_request(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let length: usize = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |text| text.trim().parse().unwrap());
    while bytes.len() < end + length {
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return None;
        }
    }
    Some(Seen {
        head,
        body: bytes[end..].to_vec(),
    })
}

/// A listener whose connections are each served by `serve(stream, n)`, n from 0.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    served: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receiver {
    pub(crate) async fn start<F, S>(serve: S) -> Self
    where
        S: Fn(TcpStream, usize) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&served);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let at = count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, at));
            }
        });
        Self {
            address,
            served,
            task,
        }
    }

    /// Answers every request on every connection with `response`.
    pub(crate) async fn answering(response: &'static [u8]) -> Self {
        Self::start(move |mut stream, _| async move {
            while read_request(&mut stream).await.is_some() {
                if stream.write_all(response).await.is_err() {
                    return;
                }
            }
        })
        .await
    }

    /// The same, and keeps what it was sent.
    pub(crate) async fn keeping(response: &'static [u8]) -> (Self, Log<Seen>) {
        let seen = Log::default();
        let log = seen.clone();
        let receiver = Self::start(move |mut stream, _| {
            let log = log.clone();
            async move {
                while let Some(request) = read_request(&mut stream).await {
                    log.push(request);
                    if stream.write_all(response).await.is_err() {
                        return;
                    }
                }
            }
        });
        (receiver.await, seen)
    }

    /// Connections accepted so far.
    pub(crate) fn accepted(&self) -> usize {
        self.served.load(Ordering::SeqCst)
    }
}

/// A listener that accepts nobody and has no room for more: a full accept
/// queue drops SYNs, so connecting hangs.
pub(crate) struct Full {
    pub(crate) address: SocketAddr,
    _listener: TcpListener,
    _fillers: Vec<TcpStream>,
}

impl Full {
    pub(crate) async fn start() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap();
        let listener = socket.listen(0).unwrap();
        let mut fillers = Vec::new();
        for _ in 0..4 {
            let filling = TcpStream::connect(address);
            match tokio::time::timeout(Duration::from_millis(100), filling).await {
                Ok(stream) => fillers.push(stream.unwrap()),
                Err(_full) => break,
            }
        }
        Self {
            address,
            _listener: listener,
            _fillers: fillers,
        }
    }
}

/// Waits until `met`, for what nobody tells: the kernel's state, and counts of
/// the sender. Between two looks the runtime has a turn, and hears of sockets.
pub(crate) async fn until(what: &str, mut met: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    while !met() {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::task::yield_now().await;
    }
}
