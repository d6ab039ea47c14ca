//! Lines on their way to standard error.
//!
//! Whoever reads a container's log may stop reading, and then a write to the
//! full pipe does not return: every thread that logs would stand still with
//! it, workers first. So a thread of its own writes. Lines beyond the bound
//! are dropped and counted: a log that nobody reads must not stop deliveries.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

use crate::metrics::Counter;

/// Lines that wait: some seconds of a noisy start, about 3 MiB.
pub(super) const LINES_MAX: usize = 8_192;

/// Where lines are put. Clones share it.
#[derive(Clone)]
pub(super) struct Lines {
    inner: Arc<Inner>,
}

struct Inner {
    waiting: SyncSender<Vec<u8>>,
    put: AtomicU64,
    written: Mutex<u64>,
    wrote: Condvar,
    dropped: AtomicU64,
    counter: OnceLock<Counter>,
}

impl Lines {
    /// Starts the thread that writes to `sink`.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub(super) fn start(sink: impl Write + Send + 'static, lines_max: usize) -> io::Result<Self> {
        let (waiting, lines) = sync_channel(lines_max);
        let inner = Arc::new(Inner {
            waiting,
            put: AtomicU64::new(0),
            written: Mutex::new(0),
            wrote: Condvar::new(),
            dropped: AtomicU64::new(0),
            counter: OnceLock::new(),
        });
        let writer = inner.clone();
        thread::Builder::new()
            .name("hooklane-log".to_owned())
            .spawn(move || write_all(&writer, &lines, sink))?;
        Ok(Self { inner })
    }

    /// Counts what is dropped here from now on, and what was so far.
    pub(super) fn count_dropped(&self, counter: Counter) {
        counter.add(self.inner.dropped.load(Ordering::Relaxed));
        // The first one stays: a process has one service.
        self.inner.counter.set(counter).ok();
    }

    /// Waits until what was put before is written; `false` at the deadline.
    pub(super) fn flush(&self, deadline: Duration) -> bool {
        let put = self.inner.put.load(Ordering::Acquire);
        let written = self.inner.written();
        let waited = self
            .inner
            .wrote
            .wait_timeout_while(written, deadline, |written| *written < put);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    fn put(&self, line: &[u8]) {
        if self.inner.waiting.try_send(line.to_vec()).is_ok() {
            self.inner.put.fetch_add(1, Ordering::Release);
            return;
        }
        match self.inner.counter.get() {
            Some(counter) => counter.inc(),
            None => drop(self.inner.dropped.fetch_add(1, Ordering::Relaxed)),
        }
    }
}

impl Inner {
    fn written(&self) -> MutexGuard<'_, u64> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends when nobody can put lines any more.
fn write_all(inner: &Inner, lines: &Receiver<Vec<u8>>, mut sink: impl Write) {
    while let Ok(line) = lines.recv() {
        // A closed stream: there is nobody to tell.
        sink.write_all(&line).ok();
        *inner.written() += 1;
        inner.wrote.notify_all();
    }
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Registry;

    const DEADLINE: Duration = Duration::from_secs(20);

    /// Standard error as a pipe that nobody reads while the gate is shut.
    #[derive(Clone, Default)]
    struct Pipe(Arc<Shared>);

    #[derive(Default)]
    struct Shared {
        written: Mutex<Vec<u8>>,
        is_open: Mutex<bool>,
        opened: Condvar,
    }

    impl Pipe {
        fn open(&self) {
            *self.0.is_open.lock().unwrap() = true;
            self.0.opened.notify_all();
        }

        fn text(&self) -> String {
            String::from_utf8(self.0.written.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let is_open = self.0.is_open.lock().unwrap();
            drop(self.0.opened.wait_while(is_open, |open| !*open).unwrap());
            self.0.written.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Goal: who logs does not wait for who reads. Method: more lines than
    /// there is room for, to a pipe that nobody reads, then to one that
    /// somebody does.
    #[test]
    fn a_log_that_nobody_reads_holds_up_nobody() {
        let pipe = Pipe::default();
        let lines = Lines::start(pipe.clone(), 4).unwrap();
        let registry = Registry::new("test");
        let counter = registry.counter("hooklane_lines_total", "Lines.").unwrap();
        let (done_in, done) = sync_channel(1);
        let (mut logging, counted) = (lines.clone(), counter.clone());
        thread::spawn(move || {
            for n in 0..10 {
                if n == 9 {
                    logging.count_dropped(counted.clone());
                }
                logging.write_all(format!("{n}\n").as_bytes()).unwrap();
            }
            done_in.send(()).unwrap();
        });
        done.recv_timeout(DEADLINE)
            .expect("the thread that logs was held up");
        assert!(
            !lines.flush(Duration::from_millis(1)),
            "nothing is written yet"
        );
        pipe.open();
        assert!(lines.flush(DEADLINE));
        let written = pipe.text();
        let kept = written.lines().count() as u64;
        // Four wait, and one may be with the writer already.
        assert!((4..=5).contains(&kept), "{written}");
        assert!("0\n1\n2\n3\n4\n".starts_with(&written), "{written}");
        assert_eq!(counter.get(), 10 - kept);
        let mut line = lines.make_writer();
        line.write_all(b"again\n").unwrap();
        assert!(lines.flush(DEADLINE));
        assert!(pipe.text().ends_with("\nagain\n"));
    }
}
