//! What a receiver saw, and the scripts it answers by.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::script::{Answer, OnConnect, Script, Seen};

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Request {
    /// When its first byte was read.
    pub at: Instant,
    /// Method.
    pub method: String,
    /// Path and query, as sent.
    pub path: String,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub version: http::Version,
    /// Names as sent (lower-case over HTTP/2), in order.
    pub headers: Vec<(String, String)>,
    /// Body, if the script had it read.
    pub body: Vec<u8>,
    /// Which connection of the receiver, from 1.
    pub connection: usize,
    /// Requests open on this path when this one arrived, itself included.
    pub open: usize,
    /// The status that was chosen; `None` when no whole answer was to be sent.
    pub status: Option<u16>,
}

impl Request {
    /// The first header of this name, whatever its case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter();
        all.find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The `webhook-id`, or nothing.
    #[must_use]
    pub fn webhook_id(&self) -> &str {
        self.header("webhook-id").unwrap_or_default()
    }

    /// The path without its query.
    #[must_use]
    pub fn route(&self) -> &str {
        self.path.split('?').next().unwrap_or_default()
    }
}

#[derive(Debug)]
pub(super) struct Log {
    state: Mutex<State>,
    connections: AtomicUsize,
    open_connections: AtomicUsize,
    bytes_sent: AtomicU64,
    stall_micros: AtomicU64,
    /// When the thread is to run next.
    due: Mutex<Option<Instant>>,
}

// Grows with the test: a receiver forgets nothing until it is told to.
#[derive(Debug)]
struct State {
    requests: Vec<Request>,
    scripts: HashMap<String, Script>,
    of_path: HashMap<String, usize>,
    of_id: HashMap<(String, String), usize>,
    open: HashMap<String, usize>,
    on_connect: OnConnect,
}

impl Log {
    pub(super) fn new() -> Log {
        Log {
            state: Mutex::new(State {
                requests: Vec::new(),
                scripts: HashMap::new(),
                of_path: HashMap::new(),
                of_id: HashMap::new(),
                open: HashMap::new(),
                on_connect: OnConnect::Serve,
            }),
            connections: AtomicUsize::new(0),
            open_connections: AtomicUsize::new(0),
            bytes_sent: AtomicU64::new(0),
            stall_micros: AtomicU64::new(0),
            due: Mutex::new(None),
        }
    }

    pub(super) fn read<T>(&self, look: impl FnOnce(&[Request]) -> T) -> T {
        look(&self.lock().requests)
    }

    pub(super) fn clear(&self) {
        let mut state = self.lock();
        state.requests.clear();
        state.of_path.clear();
        state.of_id.clear();
    }

    pub(super) fn script(&self, path: &str, script: Script) {
        self.lock().scripts.insert(path.to_owned(), script);
    }

    pub(super) fn on_connect(&self) -> OnConnect {
        self.lock().on_connect
    }

    pub(super) fn set_on_connect(&self, on_connect: OnConnect) {
        self.lock().on_connect = on_connect;
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub(super) fn open_connections(&self) -> usize {
        self.open_connections.load(Ordering::Relaxed)
    }

    pub(super) fn bytes_sent(&self) -> u64 {
        self.bytes_sent.load(Ordering::Relaxed)
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.bytes_sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The thread runs now, and is to run again at `next`.
    pub(super) fn running(&self, next: Instant) {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let late = due.map_or(Duration::ZERO, |due| due.elapsed());
        let micros = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
        self.stall_micros.fetch_max(micros, Ordering::Relaxed);
        *due = Some(next);
    }

    pub(super) fn longest_stall(&self) -> Duration {
        let due = *self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let lasting = due.map_or(Duration::ZERO, |due| due.elapsed());
        lasting.max(Duration::from_micros(
            self.stall_micros.load(Ordering::Relaxed),
        ))
    }

    /// Counts a connection until the guard is dropped.
    pub(super) fn connected(self: &Arc<Self>) -> ConnectionGuard {
        self.open_connections.fetch_add(1, Ordering::Relaxed);
        let number = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
        ConnectionGuard {
            log: Arc::clone(self),
            number,
        }
    }

    /// Counts a request whose head was read, and asks the script. The request is
    /// open until the guard is dropped.
    pub(super) fn arrived(self: &Arc<Self>, request: &mut Request) -> (Answer, OpenGuard) {
        let mut state = self.lock();
        let route = request.route().to_owned();
        let id = (route.clone(), request.webhook_id().to_owned());
        let open = state.open.entry(route.clone()).or_default();
        *open += 1;
        request.open = *open;
        let nth_of_path = next(state.of_path.entry(route.clone()).or_default());
        let nth_of_id = next(state.of_id.entry(id).or_default());
        let script = state.scripts.get(&route).cloned();
        // The script may be slow or panic: not under the lock.
        drop(state);
        let guard = OpenGuard {
            log: Arc::clone(self),
            route,
        };
        let seen = Seen {
            request,
            nth_of_id,
            nth_of_path,
        };
        let answer = script.map_or_else(|| Answer::status(200), |script| script.answer(&seen));
        (answer, guard)
    }

    /// Keeps a request: from now on tests see it.
    pub(super) fn keep(&self, request: Request) {
        self.lock().requests.push(request);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn next(count: &mut usize) -> usize {
    *count += 1;
    *count
}

pub(super) struct ConnectionGuard {
    log: Arc<Log>,
    pub(super) number: usize,
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.log.open_connections.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(super) struct OpenGuard {
    log: Arc<Log>,
    route: String,
}

impl Drop for OpenGuard {
    fn drop(&mut self) {
        if let Some(open) = self.log.lock().open.get_mut(&self.route) {
            *open = open.saturating_sub(1);
        }
    }
}
