//! Why a command failed, and with which exit code.

use std::error::Error;
use std::io;
use std::time::Duration;

use hooklane_kafka::config_writer::WriterError;
use hooklane_kafka::scan::ScanError;
use hooklane_kafka::table::TableError;
use hooklane_kafka::topics::TopicsError;
use hooklane_model::plan::{PlanError, ProblemKind};
use hooklane_secrets::EntropyError;
use hooklane_service::config::ConfigErrors;
use hooklane_service::secrets::KeyFileError;
use thiserror::Error;

use crate::exit;

/// Why a command failed.
#[derive(Debug, Error)]
pub enum CliError {
    /// The command line is well-formed and makes no sense.
    #[error("{0}")]
    Usage(String),
    /// The settings of the cluster are wrong.
    #[error("the configuration is not usable\n{0}")]
    Config(ConfigErrors),
    /// Files could not be read, or hold what is no manifest; one line each.
    #[error("nothing was done\n{}", .0.join("\n"))]
    Files(Vec<String>),
    /// What was asked for is refused.
    #[error("nothing was done\n{0}")]
    Plan(PlanError),
    /// There is no such resource.
    #[error("{0} does not exist")]
    NotFound(String),
    /// Stored records that this release cannot read are not written over.
    #[error("nothing was done, for what is stored cannot be read by this release\n{}", .0.join("\n"))]
    Unreadable(Vec<String>),
    /// The config topic is not there.
    #[error("topic {topic} is missing, run `hooklane topics create`")]
    NoConfigTopic {
        /// Its name.
        topic: String,
    },
    /// The configuration could not be read.
    #[error("the configuration cannot be read from {brokers}")]
    Read {
        /// The brokers asked.
        brokers: String,
        /// Why.
        #[source]
        source: TableError,
    },
    /// A record of the status topic was not written.
    #[error("{topic} was not written: {reason}")]
    Status {
        /// Its name.
        topic: String,
        /// Why.
        reason: String,
    },
    /// The configuration was not read to its end in time.
    #[error("the configuration was not read to its end within {waited:?}")]
    Slow {
        /// How long it was tried.
        waited: Duration,
    },
    /// The configuration could not be written.
    #[error("the configuration cannot be written to {brokers}")]
    Write {
        /// The brokers asked.
        brokers: String,
        /// Why.
        #[source]
        source: WriterError,
    },
    /// Others kept writing.
    #[error("other writers took over {tries} times in a row; nothing was done, try again")]
    Busy {
        /// How often it was tried.
        tries: usize,
    },
    /// Topics could not be looked at or created.
    #[error(transparent)]
    Topics(#[from] TopicsError),
    /// Topics could not be read.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// The key file is of no use.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// There is no key file.
    #[error(
        "secrets are stored encrypted, and there is no key file here: set \
         HOOKLANE__SECRETS__KEK_FILE (`hooklane secrets keygen` makes one)"
    )]
    NoKeys,
    /// No random bytes can be had.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// The key file could not be created.
    #[error("key file {} cannot be created; one that is there is never written over", path.display())]
    KeyOut {
        /// Which.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Some secrets stay under other keys.
    #[error("{0} secrets were not re-wrapped, see above; the keys that they need must stay")]
    NotRekeyed(usize),
    /// The output could not be written.
    #[error("the output cannot be written")]
    Output(#[from] io::Error),
    /// A document could not be shown as YAML.
    #[error("a document cannot be shown as YAML")]
    Yaml(#[from] serde_norway::Error),
}

impl CliError {
    /// The exit code.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => exit::USAGE,
            Self::Config(_) | Self::Keys(_) | Self::NoKeys => exit::CONFIG,
            Self::NotFound(_) => exit::NOT_FOUND,
            Self::Plan(error) => match error.kind() {
                ProblemKind::Conflict => exit::CONFLICT,
                ProblemKind::NotFound => exit::NOT_FOUND,
                ProblemKind::Invalid => exit::FAILURE,
            },
            _ => exit::FAILURE,
        }
    }

    /// Whether it is only that nobody reads the output any more.
    #[must_use]
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The error and all its causes, on one line where it is one.
    #[must_use]
    pub fn full(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(next) = cause {
            text.push_str(": ");
            text.push_str(&next.to_string());
            cause = next.source();
        }
        text
    }
}
