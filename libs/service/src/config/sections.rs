//! The sections that every service has.

use std::net::SocketAddr;
use std::time::Duration;

use super::keys::Keys;
use super::secret::SecretMap;
use super::spec::{KeySpec, Kind, Section};
use crate::logs;

const BROKERS: KeySpec = KeySpec::required(
    "kafka.brokers",
    Kind::TextList,
    "Brokers to find the cluster by, as host:port.",
);
const TOPIC_PREFIX: KeySpec = KeySpec::new(
    "kafka.topic_prefix",
    Kind::Text,
    "hooklane.",
    "What the names of all internal topics begin with.",
);
const CLIENT_ID: KeySpec = KeySpec::optional(
    "kafka.client_id",
    Kind::Text,
    "Client id shown by the brokers. Unset: the name of the binary.",
);
/// `kafka.properties`. Which options are allowed is checked by the binaries:
/// only the Kafka library knows.
pub const PROPERTIES: KeySpec = KeySpec::optional(
    "kafka.properties",
    Kind::TextMap,
    "Options handed to librdkafka as they are, for example `security.protocol`. In the \
     environment one variable per option, `_` for its dots: \
     `HOOKLANE__KAFKA__PROPERTIES__SASL_PASSWORD`, or `..._SASL_PASSWORD_FILE` to read it from a file.",
)
.secret();

/// How to reach Kafka.
pub const KAFKA: Section = Section {
    name: "kafka",
    doc: "The Kafka cluster.",
    keys: &[BROKERS, TOPIC_PREFIX, CLIENT_ID, PROPERTIES],
};

/// How to reach Kafka.
#[derive(Clone, Debug)]
pub struct KafkaSection {
    /// `bootstrap.servers`: host:port, separated by commas.
    pub brokers: String,
    /// Prefix of all internal topics.
    pub topic_prefix: String,
    /// `client.id`; the binary's name where unset.
    pub client_id: Option<String>,
    /// Options for librdkafka by their own names; may hold secrets.
    pub properties: SecretMap,
}

impl KafkaSection {
    /// Reads the section.
    pub fn read(keys: &mut Keys) -> Self {
        Self {
            brokers: keys.string_list(&BROKERS).join(","),
            topic_prefix: keys.string(&TOPIC_PREFIX),
            client_id: keys.opt_string(&CLIENT_ID),
            properties: keys.string_map(&PROPERTIES),
        }
    }
}

const METRICS_LISTEN: KeySpec = KeySpec::new(
    "metrics.listen",
    Kind::Address,
    "0.0.0.0:9464",
    "Where /metrics, /healthz and /readyz are served. Port 0 takes a free one.",
);

/// Where the admin server listens.
pub const METRICS: Section = Section {
    name: "metrics",
    doc: "Metrics and probes over HTTP.",
    keys: &[METRICS_LISTEN],
};

/// Where the admin server listens.
#[derive(Clone, Copy, Debug)]
pub struct MetricsSection {
    /// Address and port.
    pub listen: SocketAddr,
}

impl MetricsSection {
    /// Reads the section.
    pub fn read(keys: &mut Keys) -> Self {
        Self {
            listen: keys.socket_addr(&METRICS_LISTEN),
        }
    }
}

const LOG_LEVEL: KeySpec = KeySpec::new(
    "log.level",
    Kind::Text,
    "info",
    "`error`, `warn`, `info`, `debug`, `trace` or `off`, and after commas levels for parts of \
     the program: `info,hooklane_dispatcher=debug`.",
);
const LOG_FORMAT: KeySpec = KeySpec::new(
    "log.format",
    Kind::Choice(&["auto", "json", "text"]),
    "auto",
    "`auto` is `text` on a terminal and `json` elsewhere.",
);

/// What is logged, and how.
pub const LOG: Section = Section {
    name: "log",
    doc: "Logs, written to standard error.",
    keys: &[LOG_LEVEL, LOG_FORMAT],
};

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// What is logged, and how.
#[derive(Clone, Debug)]
pub struct LogSection {
    /// Filter directives, valid ones.
    pub level: String,
    /// The form of a line.
    pub format: LogFormat,
}

impl LogSection {
    /// Reads the section.
    pub fn read(keys: &mut Keys) -> Self {
        let level = keys.string(&LOG_LEVEL);
        if let Err(error) = logs::check_level(&level) {
            keys.problem(&LOG_LEVEL, error.to_string());
        }
        let formats = [
            ("auto", LogFormat::Auto),
            ("json", LogFormat::Json),
            ("text", LogFormat::Text),
        ];
        let format = keys
            .choice(&LOG_FORMAT, &formats)
            .unwrap_or(LogFormat::Auto);
        Self { level, format }
    }
}

const DEADLINE: KeySpec = KeySpec::new(
    "shutdown.deadline",
    Kind::Duration,
    "25s",
    "How long a shutdown may take before the process ends itself, naming what was still open. \
     Keep it below the pod's terminationGracePeriodSeconds (30 by default).",
);

/// How the process ends.
pub const SHUTDOWN: Section = Section {
    name: "shutdown",
    doc: "Stopping on SIGTERM or SIGINT.",
    keys: &[DEADLINE],
};

/// How the process ends.
#[derive(Clone, Copy, Debug)]
pub struct ShutdownSection {
    /// From the first signal to the watchdog's end of the process.
    pub deadline: Duration,
}

impl ShutdownSection {
    /// Reads the section.
    pub fn read(keys: &mut Keys) -> Self {
        let range = Duration::from_secs(1)..=Duration::from_secs(3600);
        Self {
            deadline: keys.duration_within(&DEADLINE, range),
        }
    }
}

/// The sections that every service has, read.
#[derive(Clone, Debug)]
pub struct CommonConfig {
    /// How to reach Kafka.
    pub kafka: KafkaSection,
    /// Where the admin server listens.
    pub metrics: MetricsSection,
    /// What is logged, and how.
    pub log: LogSection,
    /// How the process ends.
    pub shutdown: ShutdownSection,
}

impl CommonConfig {
    /// The declarations, in the order of the reference.
    pub const SECTIONS: &[&Section] = &[&KAFKA, &METRICS, &LOG, &SHUTDOWN];

    /// Reads all of them.
    pub fn read(keys: &mut Keys) -> Self {
        Self {
            kafka: KafkaSection::read(keys),
            metrics: MetricsSection::read(keys),
            log: LogSection::read(keys),
            shutdown: ShutdownSection::read(keys),
        }
    }
}
