//! Why a demo failed, and with which exit code.

use std::error::Error;
use std::io;

use hooklane_kafka::config_writer::WriterError;
use hooklane_kafka::consumer::ConsumerError;
use hooklane_kafka::embedded::EmbeddedError;
use hooklane_kafka::producer::ProducerError;
use hooklane_kafka::scan::ScanError;
use hooklane_kafka::topics::TopicsError;
use hooklane_service::config::ConfigErrors;
use hooklane_service::metrics::MetricsError;
use thiserror::Error;

use crate::error::CliError;
use crate::exit;

/// Why a demo failed.
#[derive(Debug, Error)]
pub(super) enum DemoError {
    /// What was asked for is too much.
    #[error("{0}")]
    Usage(String),
    /// The events cannot be used.
    #[error("{0}")]
    Input(String),
    /// The embedded broker failed.
    #[error(transparent)]
    Broker(#[from] EmbeddedError),
    /// The cluster, its configuration or its books.
    #[error(transparent)]
    Cluster(#[from] CliError),
    /// Topics could not be created.
    #[error(transparent)]
    Topics(#[from] TopicsError),
    /// Topics could not be read.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// There is no place for the keys of secrets.
    #[error("no directory for the key file can be made")]
    Keys(#[source] io::Error),
    /// The settings of a service are wrong.
    #[error("the configuration of {service} is not usable\n{errors}")]
    Config {
        /// Which.
        service: &'static str,
        /// Why.
        errors: ConfigErrors,
    },
    /// A metric is registered twice.
    #[error("metrics")]
    Metrics(#[from] MetricsError),
    /// A service ended before it was told to, or badly.
    #[error("{service} failed: {reason}")]
    Service {
        /// Which.
        service: &'static str,
        /// What it said.
        reason: String,
    },
    /// Services did not start in time.
    #[error("services did not start in time; missing: {0}")]
    NotReady(String),
    /// The receiver could not be started.
    #[error("the receiver cannot be started on 127.0.0.1")]
    Receiver(#[source] io::Error),
    /// A thread or the signals.
    #[error("a thread cannot be started")]
    Thread(#[source] io::Error),
    /// The producer of the events.
    #[error(transparent)]
    Producer(#[from] ProducerError),
    /// The reader of the attempts.
    #[error(transparent)]
    Consumer(#[from] ConsumerError),
    /// The configuration of the demo could not be written.
    #[error("the demo's endpoints cannot be written")]
    Write(#[from] WriterError),
    /// The output could not be written.
    #[error("the output cannot be written")]
    Output(#[from] io::Error),
}

impl DemoError {
    pub(super) fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => exit::USAGE,
            Self::Config { .. } => exit::CONFIG,
            Self::Cluster(error) => error.code(),
            _ => exit::FAILURE,
        }
    }

    pub(super) fn is_broken_pipe(&self) -> bool {
        match self {
            Self::Output(error) => error.kind() == io::ErrorKind::BrokenPipe,
            Self::Cluster(error) => error.is_broken_pipe(),
            _ => false,
        }
    }

    /// The error and all its causes.
    pub(super) fn full(&self) -> String {
        if let Self::Cluster(error) = self {
            return error.full();
        }
        full(self)
    }
}

/// An error and all its causes, on one line.
pub(super) fn full(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let said = next.to_string();
        // A transparent error says what its cause says.
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = next.source();
    }
    text
}
