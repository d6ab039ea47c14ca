//! The cluster a command works with.

use std::path::PathBuf;
use std::time::Duration;

use hooklane_dispatcher::config::egress::{EGRESS, read_policy};
use hooklane_kafka::settings::{ClientSettings, check_properties};
use hooklane_model::topic::TopicNames;
use hooklane_sender::EgressPolicy;
use hooklane_service::config::{ConfigErrors, KAFKA, KafkaSection, Keys, PROPERTIES};
use hooklane_service::secrets::{SECRETS, SecretsSection};

use crate::args::KafkaArgs;
use crate::error::CliError;

/// Sections of the services, whose file or environment the command may share.
const FOREIGN: &[&str] = &[
    "metrics",
    "log",
    "shutdown",
    "ingest",
    "dispatcher",
    "retry_scheduler",
];

/// How long one answer of the brokers may take.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A cluster and the names of Hooklane's topics in it.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// How to reach it.
    pub settings: ClientSettings,
    /// The internal topics.
    pub names: TopicNames,
    /// Where the services may send, as far as this command is told: by the
    /// `egress` section of the same file or environment.
    pub egress: EgressPolicy,
    /// The file with the keys of secrets.
    pub kek_file: Option<PathBuf>,
}

impl Cluster {
    /// Reads file, environment and arguments, in this order.
    ///
    /// # Errors
    /// All problems of the configuration.
    pub fn find(args: &KafkaArgs, environment: &[(String, String)]) -> Result<Self, CliError> {
        let mut keys = Keys::new(&[&KAFKA, &EGRESS, &SECRETS]).ignoring(FOREIGN);
        if let Some(file) = &args.config {
            keys = keys.file(file);
        }
        keys = keys.env(environment.iter().cloned());
        if let Some(brokers) = &args.brokers {
            keys = keys.given("kafka.brokers", brokers.clone());
        }
        let section = KafkaSection::read(&mut keys);
        let egress = read_policy(&mut keys);
        let secrets = SecretsSection::read(&mut keys);
        let properties = section.properties.expose().clone();
        for problem in check_properties(&properties) {
            keys.entry_problem(&PROPERTIES, &problem.key, problem.reason);
        }
        keys.finish().map_err(with_hint)?;
        let client_id = section.client_id.as_deref().unwrap_or("hooklane");
        let mut settings = ClientSettings::new(section.brokers, client_id);
        settings.properties = properties;
        Ok(Self {
            settings,
            names: TopicNames::new(section.topic_prefix),
            egress,
            kek_file: secrets.kek_file,
        })
    }
}

/// Errors of the services' configuration, in the words of a command.
fn with_hint(mut errors: ConfigErrors) -> CliError {
    for error in &mut errors.0 {
        if error.path == "kafka.brokers" && error.origin.is_none() {
            error.reason = "is required: --brokers HOST:PORT, or HOOKLANE__KAFKA__BROKERS, or \
                            the file that --config names"
                .to_owned();
        }
    }
    CliError::Config(errors)
}
