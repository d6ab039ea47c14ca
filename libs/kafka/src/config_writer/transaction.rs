//! One transaction at a time, with the three ways it can end.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use super::Entry;
use crate::client::{log_error, log_line};
use crate::error::{ClientError, ErrorKind};
use crate::settings::{ClientSettings, Compression, Profile};

/// How long the brokers keep a transaction whose writer is gone. Readers of
/// the config topic wait that long behind it.
const TRANSACTION_TIMEOUT_MS: &str = "10000";
/// How long one wait for reports takes.
const TURN: Duration = Duration::from_millis(1);

/// How a transaction failed.
#[derive(Debug)]
pub(super) enum Failed {
    /// The client was not created.
    Create(ClientError),
    /// Another writer has taken over.
    Fenced,
    /// Nothing was written.
    Refused(ClientError),
    /// It may have been written.
    Unknown(ClientError),
}

impl Failed {
    fn refused(error: KafkaError) -> Self {
        Self::of(error.into(), Self::Refused)
    }

    fn of(error: ClientError, otherwise: impl FnOnce(ClientError) -> Self) -> Self {
        match error.kind {
            ErrorKind::Fenced => Self::Fenced,
            _ => otherwise(error),
        }
    }
}

/// Offsets and errors of the records of the open transaction.
#[derive(Debug, Default)]
struct Reports {
    last: Option<i64>,
    error: Option<ClientError>,
}

#[derive(Debug, Default)]
struct Context(Mutex<Reports>);

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
    }

    fn stats_raw(&self, _: &[u8]) {}
}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let mut reports = self.0.lock().expect(NO_PANIC);
        match result {
            Ok(record) => reports.last = reports.last.max(Some(record.offset())),
            Err((error, _)) => reports.error = Some(error.clone().into()),
        }
    }
}

const NO_PANIC: &str = "no code that can panic runs under this lock";

pub(super) struct Transactions {
    producer: BaseProducer<Context>,
}

impl Transactions {
    /// Fences every earlier writer with this id.
    pub(super) fn open(
        settings: &ClientSettings,
        id: &str,
        timeout: Duration,
    ) -> Result<Self, Failed> {
        let profile = Profile {
            linger: Duration::ZERO,
            message_timeout: Some(timeout),
            compression: Compression::Lz4,
            ..Profile::default()
        };
        let mut config = settings.producer_config(&profile);
        config.set("transactional.id", id);
        config.set("transaction.timeout.ms", TRANSACTION_TIMEOUT_MS);
        // Not longer than the transaction: the library insists.
        let limit = timeout.min(Duration::from_secs(9)).as_millis();
        config.set("message.timeout.ms", limit.to_string());
        let producer: BaseProducer<Context> = config
            .create_with_context(Context::default())
            .map_err(|e| Failed::Create(e.into()))?;
        let end = Instant::now() + timeout;
        retry(end, || producer.init_transactions(left(end))).map_err(Failed::refused)?;
        Ok(Self { producer })
    }

    /// Writes all entries in one transaction; the offset of the last one.
    pub(super) fn write(
        &self,
        topic: &str,
        entries: &[Entry],
        timeout: Duration,
    ) -> Result<i64, Failed> {
        let end = Instant::now() + timeout;
        *self.reports() = Reports::default();
        self.producer.begin_transaction().map_err(Failed::refused)?;
        let stored = self.store(topic, entries, end);
        let last = match stored {
            Ok(last) => last,
            Err(failed) => {
                self.abort(timeout);
                return Err(failed);
            }
        };
        // All reports are in, so this does not wait for the library's flush.
        let committed = retry(end, || self.producer.commit_transaction(left(end)));
        committed.map_err(|error| {
            let nothing = requires_abort(&error);
            self.abort(timeout);
            Failed::of(error.into(), |e| {
                if nothing {
                    Failed::Refused(e)
                } else {
                    Failed::Unknown(e)
                }
            })
        })?;
        Ok(last)
    }

    fn store(&self, topic: &str, entries: &[Entry], end: Instant) -> Result<i64, Failed> {
        for (key, value) in entries {
            let mut record: BaseRecord<'_, [u8], [u8], ()> =
                BaseRecord::to(topic).partition(0).key(key);
            record.payload = value.as_deref();
            while let Err((error, again)) = self.producer.send(record) {
                let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
                if !full || Instant::now() >= end {
                    return Err(self.reason(error));
                }
                self.producer.poll(TURN);
                record = again;
            }
        }
        while self.producer.in_flight_count() > 0 {
            // Not the library's flush, which takes 100 ms at least.
            self.producer.poll(TURN);
            if Instant::now() >= end {
                let late =
                    ClientError::new(ErrorKind::TimedOut, "no report of the records in time");
                return Err(Failed::Refused(late));
            }
        }
        let reports = self.reports();
        match (&reports.error, reports.last) {
            (None, Some(last)) => Ok(last),
            (Some(error), _) => {
                let error = error.clone();
                drop(reports);
                Err(self
                    .fenced()
                    .unwrap_or_else(|| Failed::of(error, Failed::Refused)))
            }
            (None, None) => Err(Failed::Refused(ClientError::new(
                ErrorKind::Other,
                "the records were never reported",
            ))),
        }
    }

    fn reason(&self, error: KafkaError) -> Failed {
        self.fenced().unwrap_or_else(|| Failed::refused(error))
    }

    /// A fenced producer says on every call that it is dead, and only its
    /// first error says why.
    fn fenced(&self) -> Option<Failed> {
        let (code, _) = self.producer.client().fatal_error()?;
        Some(Failed::of(ClientError::of_code(code), Failed::Refused))
    }

    /// What can't be aborted ends by the brokers' timeout, or by the next
    /// writer that opens.
    fn abort(&self, timeout: Duration) {
        let end = Instant::now() + timeout;
        if let Err(error) = retry(end, || self.producer.abort_transaction(left(end))) {
            tracing::debug!(error = %ClientError::from(error), "transaction not aborted");
        }
    }

    fn reports(&self) -> std::sync::MutexGuard<'_, Reports> {
        self.producer.context().0.lock().expect(NO_PANIC)
    }
}

fn left(end: Instant) -> Duration {
    end.saturating_duration_since(Instant::now())
}

fn requires_abort(error: &KafkaError) -> bool {
    matches!(error, KafkaError::Transaction(e) if e.txn_requires_abort())
}

/// Calls again what the library says can be called again, until `end`.
fn retry(end: Instant, call: impl Fn() -> Result<(), KafkaError>) -> Result<(), KafkaError> {
    loop {
        match call() {
            Err(KafkaError::Transaction(error)) if error.is_retriable() && Instant::now() < end => {
            }
            done => return done,
        }
    }
}
