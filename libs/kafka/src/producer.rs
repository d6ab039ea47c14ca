//! An idempotent producer whose reports carry the caller's token.
//!
//! Sending never blocks and never sleeps: a full queue is an answer, and the
//! caller stops taking in. Reports are delivered by whoever calls
//! [`Producer::poll`], on that thread. The partition is the caller's choice,
//! or one stable hash of the key, never the library's partitioner, which is
//! not the one of other clients.

mod error;
mod partitions;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};

pub use error::{ProduceError, ProduceErrorKind, ProducerError, SendError};

use crate::client::{log_error, log_line};
use crate::settings::{ClientSettings, Profile};
use partitions::Partitions;

/// A record to send; the client copies it.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition; `None` chooses one by the key.
    pub partition: Option<i32>,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// The headers in order.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// Milliseconds since the epoch; `None` is the time of sending.
    pub timestamp: Option<i64>,
}

/// Where a record was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The partition.
    pub partition: i32,
    /// The offset there.
    pub offset: i64,
}

/// What became of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What the caller gave with the record.
    pub token: usize,
    /// Where it is, or why it is not.
    pub result: Result<Stored, ProduceError>,
}

/// A producer; clones share one client.
#[derive(Clone)]
pub struct Producer(Arc<Inner>);

struct Inner {
    client: BaseProducer<ReportContext>,
    partitions: Partitions,
}

struct ReportContext {
    on_report: Box<dyn Fn(Report) + Send + Sync>,
    /// Events served so far, log lines among them, by which a poll knows that
    /// there may be more.
    served: AtomicU64,
}

impl ReportContext {
    fn served(&self) {
        self.served.fetch_add(1, Ordering::Relaxed);
    }
}

impl ClientContext for ReportContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
        self.served();
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
        self.served();
    }

    fn stats_raw(&self, _: &[u8]) {}
}

impl ProducerContext for ReportContext {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, token: usize) {
        let result = match result {
            Ok(record) => Ok(Stored {
                partition: record.partition(),
                offset: record.offset(),
            }),
            Err((error, _)) => Err(ProduceError::from(error)),
        };
        (self.on_report)(Report { token, result });
        self.served();
    }
}

impl Producer {
    /// A producer that calls `on_report` once for each record that
    /// [`send`](Self::send) took, from within [`poll`](Self::poll) or
    /// [`flush`](Self::flush). It must be quick and must not panic.
    pub fn new(
        settings: &ClientSettings,
        profile: &Profile,
        on_report: impl Fn(Report) + Send + Sync + 'static,
    ) -> Result<Self, ProducerError> {
        let context = ReportContext {
            on_report: Box::new(on_report),
            served: AtomicU64::new(0),
        };
        let client = settings
            .producer_config(profile)
            .create_with_context(context)
            .map_err(|e| ProducerError::Create { source: e.into() })?;
        Ok(Self(Arc::new(Inner {
            client,
            partitions: Partitions::default(),
        })))
    }

    /// Puts a record into the client's queue; its report will carry `token`.
    ///
    /// A record without a partition needs a topic whose partition count is
    /// known: call [`partition_count`](Self::partition_count) for it once,
    /// at start.
    pub fn send(&self, record: &Outgoing<'_>, token: usize) -> Result<(), SendError> {
        let partition = match record.partition {
            Some(partition) => partition,
            None => self.0.partitions.choose(record.topic, record.key)?,
        };
        let mut out: BaseRecord<'_, [u8], [u8], usize> =
            BaseRecord::with_opaque_to(record.topic, token).partition(partition);
        out.key = record.key;
        out.payload = record.value;
        out.timestamp = record.timestamp;
        if !record.headers.is_empty() {
            out.headers = Some(headers_of(record.headers));
        }
        match self.0.client.send(out) {
            Ok(()) => Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                Err(SendError::QueueFull)
            }
            Err((error, _)) => Err(SendError::Refused(ProduceError::from(&error))),
        }
    }

    /// Gives the reports there are; with a timeout, when it has passed, also
    /// those that came meanwhile. Never returns before the timeout.
    pub fn poll(&self, timeout: Duration) {
        // Given the timeout, the library would spin through the last
        // millisecond of it: that was a third of a busy dispatcher's CPU.
        if !timeout.is_zero() {
            std::thread::sleep(timeout);
        }
        let served = &self.0.client.context().served;
        loop {
            let before = served.load(Ordering::Relaxed);
            self.0.client.poll(Duration::ZERO);
            if served.load(Ordering::Relaxed) == before {
                return;
            }
        }
    }

    /// Sends what waits and gives the reports until none is open; `false`
    /// when some still are at the deadline.
    ///
    /// The library's own flush takes at least 100 ms as soon as one record is
    /// open; this one takes as long as the brokers do, and a millisecond.
    pub fn flush(&self, deadline: Duration) -> bool {
        let end = Instant::now() + deadline;
        while self.in_flight() > 0 {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            // A timeout of zero only tells the client not to linger.
            let flushed = self.0.client.flush(Duration::ZERO);
            tracing::trace!(?flushed, "flushing");
            self.poll(left.min(Duration::from_millis(1)));
        }
        true
    }

    /// Records sent and not reported.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        usize::try_from(self.0.client.in_flight_count()).unwrap_or(0)
    }

    /// Why this producer is unusable, if it is: the process must end.
    #[must_use]
    pub fn fatal_error(&self) -> Option<ProduceError> {
        let (_, text) = self.0.client.client().fatal_error()?;
        let kind = ProduceErrorKind::Fatal;
        Some(ProduceError { kind, text })
    }

    /// The number of partitions of `topic`, asked once and remembered from
    /// then on. Blocks up to `timeout` the first time.
    pub fn partition_count(&self, topic: &str, timeout: Duration) -> Result<i32, ProducerError> {
        if let Some(count) = self.0.partitions.known(topic) {
            return Ok(count);
        }
        let failed = |source| ProducerError::Metadata {
            topic: topic.to_owned(),
            source,
        };
        let count = crate::client::partition_count(self.0.client.client(), topic, timeout)
            .map_err(failed)?;
        self.0.partitions.learn(topic, count);
        Ok(count)
    }

    /// Gives reports on a thread of its own until the returned value is
    /// dropped: for owners that have no loop to poll from.
    pub fn poll_on_thread(&self, name: &str) -> std::io::Result<PollThread> {
        let stop = Arc::new(AtomicBool::new(false));
        let (producer, stopped) = (self.clone(), stop.clone());
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                while !stopped.load(Ordering::Relaxed) {
                    producer.0.client.poll(PollThread::TURN);
                }
            })?;
        Ok(PollThread {
            stop,
            thread: Some(thread),
        })
    }
}

/// A thread that gives a producer's reports; dropping it ends the thread,
/// which takes up to [`PollThread::TURN`].
#[must_use = "dropping it ends the thread"]
pub struct PollThread {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl PollThread {
    /// How long the thread waits for a report before it looks for its end.
    pub const TURN: Duration = Duration::from_millis(50);
}

impl Drop for PollThread {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that gives produce reports panicked");
        }
    }
}

fn headers_of(headers: &[(&str, &[u8])]) -> OwnedHeaders {
    let mut out = OwnedHeaders::new_with_capacity(headers.len());
    for (key, value) in headers {
        out = out.insert(Header {
            key,
            value: Some(*value),
        });
    }
    out
}
