//! Records on their way to Kafka, and the reports that come back.
//!
//! One producer for all: workers gather the attempts log into few records
//! before it comes here, so nothing is left that would have to linger. It is
//! polled by the consumer thread. Reports are put into one box per worker,
//! which the worker empties at its next turn; nobody is woken for them.

use std::num::NonZeroU16;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hooklane_kafka::producer::{
    Outgoing, ProduceErrorKind, Producer, ProducerError, Report, SendError,
};
use hooklane_kafka::settings::{ClientSettings, Compression, Profile};
use hooklane_model::record::NOTE_HEADER;
use hooklane_model::topic::TopicNames;
use hooklane_service::metrics::Counter;

use crate::token::{self, About};
use hooklane_engine::StoreError;

/// Reports for one worker, in order of arrival.
///
/// Bounded by what the producers hold: a report exists for each record sent
/// and not yet taken, and their queues are bounded.
type Box_ = Arc<Mutex<Vec<(About, Result<(), StoreError>)>>>;

/// Why the process cannot go on producing.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OutboxError {
    /// The broker refuses for good what must not be lost.
    #[error("the broker refuses records of {topic}: {reason}; the offsets stay uncommitted")]
    Refused {
        /// Which topic.
        topic: String,
        /// What it says.
        reason: String,
    },
    /// A producer is unusable.
    #[error("the producer failed for good: {reason}")]
    Fatal {
        /// What it says.
        reason: String,
    },
}

/// The producers and the boxes of all workers.
#[derive(Clone)]
pub(crate) struct Outbox {
    producer: Producer,
    boxes: Vec<Box_>,
    failure: Arc<Mutex<Option<OutboxError>>>,
    topics: Arc<Topics>,
    /// Partitions of the attempts topic.
    log_partitions: NonZeroU16,
}

/// Topic names, made once.
pub(crate) struct Topics {
    pub(crate) deliveries: String,
    attempts: String,
    dead: String,
    status: String,
    poison: String,
    delay: [String; 8],
}

impl Topics {
    fn new(names: &TopicNames) -> Self {
        Self {
            deliveries: names.deliveries(),
            attempts: names.attempts(),
            dead: names.dead(),
            status: names.status(),
            poison: names.poison(),
            delay: hooklane_model::ladder::Rung::ALL.map(|rung| names.delay(rung)),
        }
    }
}

/// Just long enough to batch what one turn of a worker writes.
const LINGER: Duration = Duration::from_millis(5);
/// How long the start waits for a topic's partition count.
const METADATA_WAIT: Duration = Duration::from_secs(30);

impl Outbox {
    /// Producers whose reports go to as many workers.
    pub(crate) fn new(
        settings: &ClientSettings,
        names: &TopicNames,
        workers: usize,
        errors: &Counter,
    ) -> Result<Self, ProducerError> {
        let boxes: Vec<Box_> = (0..workers).map(|_| Box_::default()).collect();
        let failure = Arc::new(Mutex::new(None));
        let topics = Arc::new(Topics::new(names));
        let profile = Profile {
            linger: LINGER,
            message_timeout: None,
            compression: Compression::Lz4,
            ..Profile::default()
        };
        let producer = {
            let (boxes, failure, errors) = (boxes.clone(), failure.clone(), errors.clone());
            Producer::new(settings, &profile, move |report| {
                if report.result.is_err() {
                    errors.inc();
                }
                deliver(&boxes, &failure, report)
            })
        }?;
        let log_partitions = producer.partition_count(&topics.attempts, METADATA_WAIT)?;
        for topic in topics.delay.iter().chain([&topics.dead, &topics.poison]) {
            producer.partition_count(topic, METADATA_WAIT)?;
        }
        Ok(Self {
            producer,
            boxes,
            failure,
            topics,
            // A topic that is there has at least one.
            log_partitions: u16::try_from(log_partitions)
                .ok()
                .and_then(NonZeroU16::new)
                .unwrap_or(NonZeroU16::MIN),
        })
    }

    pub(crate) fn topics(&self) -> &Topics {
        &self.topics
    }

    /// Gives the reports there are; called by the consumer thread only.
    pub(crate) fn poll(&self, timeout: Duration) {
        self.producer.poll(timeout);
    }

    /// Why the process must end, if it must.
    pub(crate) fn failure(&self) -> Option<OutboxError> {
        let failed = lock(&self.failure).clone();
        failed.or_else(|| {
            let fatal = self.producer.fatal_error()?;
            Some(OutboxError::Fatal {
                reason: fatal.to_string(),
            })
        })
    }

    /// Records sent and not reported yet.
    pub(crate) fn in_flight(&self) -> usize {
        self.producer.in_flight()
    }

    /// Waits until everything sent is reported; `false` at the deadline.
    pub(crate) fn flush(&self, deadline: Duration) -> bool {
        self.producer.flush(deadline)
    }

    /// Takes the reports for one worker.
    pub(crate) fn take_reports(
        &self,
        worker: u16,
        into: &mut Vec<(About, Result<(), StoreError>)>,
    ) {
        into.append(&mut lock(&self.boxes[usize::from(worker)]));
    }

    /// How many partitions the attempts log has.
    pub(crate) fn log_partitions(&self) -> NonZeroU16 {
        self.log_partitions
    }

    /// Sends a record of the attempts log. `Err` means that the queue is full.
    ///
    /// Without a key: it may hold attempts at several endpoints. What matters
    /// is that all attempts at one endpoint lie in one partition.
    pub(crate) fn attempts(&self, partition: u16, value: &[u8], token: usize) -> Result<(), Full> {
        let attempts = Outgoing {
            topic: &self.topics.attempts,
            partition: Some(i32::from(partition)),
            key: None,
            value: Some(value),
            headers: &[],
            timestamp: None,
        };
        self.send(&attempts, token)
    }

    pub(crate) fn delay(
        &self,
        rung: hooklane_model::ladder::Rung,
        key: &str,
        value: &[u8],
        token: usize,
    ) -> Result<(), Full> {
        let at = hooklane_model::ladder::Rung::ALL
            .iter()
            .position(|r| *r == rung);
        let topic = &self.topics.delay[at.expect("every rung is in ALL")];
        self.send(&record(topic, key, value, &[]), token)
    }

    pub(crate) fn dead(
        &self,
        key: &str,
        value: &[u8],
        note: &[u8],
        token: usize,
    ) -> Result<(), Full> {
        let headers = [(NOTE_HEADER, note)];
        self.send(&record(&self.topics.dead, key, value, &headers), token)
    }

    /// Without a value it deletes what stands under the key.
    pub(crate) fn status(&self, key: &str, value: Option<&[u8]>, token: usize) -> Result<(), Full> {
        let status = Outgoing {
            partition: Some(0),
            value,
            ..record(&self.topics.status, key, &[], &[])
        };
        self.send(&status, token)
    }

    pub(crate) fn poison(
        &self,
        key: &str,
        value: Option<&[u8]>,
        note: &[u8],
        token: usize,
    ) -> Result<(), Full> {
        let headers = [(NOTE_HEADER, note)];
        let poison = Outgoing {
            value,
            ..record(&self.topics.poison, key, &[], &headers)
        };
        self.send(&poison, token)
    }

    fn send(&self, out: &Outgoing<'_>, token: usize) -> Result<(), Full> {
        match self.producer.send(out, token) {
            Ok(()) => Ok(()),
            Err(SendError::QueueFull) => Err(Full),
            Err(SendError::Refused(error)) => {
                // Never taken, so no report comes: make it here.
                let (worker, about) = token::unpack(token);
                let report = classify(out.topic, about, Err(error));
                settle(&self.boxes, &self.failure, worker, about, report);
                Ok(())
            }
        }
    }
}

/// The client's queue is full: come again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Full;

fn record<'a>(
    topic: &'a str,
    key: &'a str,
    value: &'a [u8],
    headers: &'a [(&'a str, &'a [u8])],
) -> Outgoing<'a> {
    Outgoing {
        topic,
        partition: None,
        key: Some(key.as_bytes()),
        value: Some(value),
        headers,
        timestamp: None,
    }
}

type Classified = Result<Result<(), StoreError>, OutboxError>;

/// Runs within the client's poll: what became of one record.
fn deliver(boxes: &[Box_], failure: &Mutex<Option<OutboxError>>, report: Report) {
    let (worker, about) = token::unpack(report.token);
    let result = classify("an internal topic", about, report.result.map(|_| ()));
    settle(boxes, failure, worker, about, result);
}

fn classify(
    topic: &str,
    about: About,
    result: Result<(), hooklane_kafka::producer::ProduceError>,
) -> Classified {
    match result {
        Ok(()) => Ok(Ok(())),
        Err(error) if error.kind == ProduceErrorKind::TooLarge => Ok(Err(StoreError::TooLarge)),
        // Nobody's fate hangs on it.
        Err(_) if about == About::Nobody => Ok(Ok(())),
        Err(error) => Err(OutboxError::Refused {
            topic: topic.to_owned(),
            reason: error.to_string(),
        }),
    }
}

fn settle(
    boxes: &[Box_],
    failure: &Mutex<Option<OutboxError>>,
    worker: u16,
    about: About,
    result: Classified,
) {
    match result {
        Ok(_) if about == About::Nobody => {}
        Ok(result) => {
            if let Some(reports) = boxes.get(usize::from(worker)) {
                lock(reports).push((about, result));
            }
        }
        Err(error) => {
            lock(failure).get_or_insert(error);
        }
    }
}

/// A panic elsewhere ends the process; until then the data is still whole.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
