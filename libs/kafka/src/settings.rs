//! How to reach a cluster, and the options each role of client runs with.
//!
//! Three layers, later ones win: what a role needs to be fast, the operator's
//! `kafka.properties`, and what Hooklane's promises rest on. The last are
//! refused in the properties instead of being overridden in silence. Where a
//! number has a reason, it stands beside it.

mod properties;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rdkafka::ClientConfig;

pub use properties::{PropertyProblem, check_properties};

/// How to reach a cluster and what to tell the client library.
#[derive(Clone)]
pub struct ClientSettings {
    /// `host:port`, comma separated.
    pub brokers: String,
    /// Options of the client library by their own names.
    pub properties: BTreeMap<String, String>,
    /// The name this process goes by in broker logs, quotas and metrics.
    pub client_id: String,
}

impl ClientSettings {
    /// Settings without properties.
    pub fn new(brokers: impl Into<String>, client_id: impl Into<String>) -> Self {
        Self {
            brokers: brokers.into(),
            properties: BTreeMap::new(),
            client_id: client_id.into(),
        }
    }
}

// Property values may be passwords and keys: only their names are shown.
impl fmt::Debug for ClientSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientSettings")
            .field("brokers", &self.brokers)
            .field("client_id", &self.client_id)
            .field("properties", &self.properties.keys().collect::<Vec<_>>())
            .finish()
    }
}

/// How records are compressed on the wire and on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// Fast: for what is read again within seconds.
    Lz4,
    /// Small: for what is kept for hours or days.
    Zstd,
}

impl Compression {
    const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// What one producer is for.
#[derive(Clone, Debug)]
pub struct Profile {
    /// How long a record may wait for others to share its batch.
    pub linger: Duration,
    /// After what time the client gives a record up; `None` is never, because
    /// a record given up is a gap that later ones overtake.
    pub message_timeout: Option<Duration>,
    /// How batches are compressed.
    pub compression: Compression,
    /// Bytes that may wait in the client; beyond them `send` says that the
    /// queue is full.
    pub queue_bytes_max: usize,
    /// The largest record the client takes, which must fit the topics'
    /// `max.message.bytes`.
    pub record_bytes_max: usize,
}

impl Default for Profile {
    /// For deliveries: 2 ms of linger, never given up, lz4, 64 MiB.
    fn default() -> Self {
        Self {
            linger: Duration::from_millis(2),
            message_timeout: None,
            compression: Compression::Lz4,
            queue_bytes_max: 64 << 20,
            record_bytes_max: crate::topics::record_bytes_max(crate::topics::SOURCE_RECORD_BYTES),
        }
    }
}

/// How long the coordinator waits for a sign of life of a group member.
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(45);
/// How long a group member may go without a poll.
pub const MAX_POLL_INTERVAL: Duration = Duration::from_secs(60);
/// How often the client reports what it knows, high watermarks among it.
const STATISTICS_INTERVAL_MS: &str = "5000";

type Options<'a> = &'a [(&'a str, &'a str)];

/// What every client has.
const COMMON: Options<'static> = &[
    ("socket.keepalive.enable", "true"),
    // Idle connections are closed by brokers all the time.
    ("log.connection.close", "false"),
    // The default of 10 s is a quarter of a session: who comes back that much
    // later than the brokers has lost its membership, and the group waits
    // another session for the member it was before.
    ("reconnect.backoff.max.ms", "1000"),
];

/// What every reader has.
const READING: Options<'static> = &[
    // The default of 1000 halves the throughput: it is how long a partition
    // pauses once its queue is full.
    ("fetch.queue.backoff.ms", "20"),
    ("fetch.wait.max.ms", "50"),
    ("fetch.message.max.bytes", "1048576"),
    ("queued.max.messages.kbytes", "32768"),
];

/// What a group member has in either group protocol.
const GROUP: Options<'static> = &[
    ("max.poll.interval.ms", "60000"),
    ("statistics.interval.ms", STATISTICS_INTERVAL_MS),
];

/// What KIP-848 leaves to the broker and refuses to be told.
const CLASSIC_GROUP: Options<'static> = &[("session.timeout.ms", "45000")];

/// What a producer has.
const WRITING: Options<'static> = &[
    // Small enough that no batch passes a topic's max.message.bytes: a batch
    // is refused as a whole.
    ("batch.size", "262144"),
    ("queue.buffering.max.messages", "200000"),
];

impl ClientSettings {
    /// Whether the new group protocol (KIP-848) was asked for.
    fn new_group_protocol(&self) -> bool {
        self.properties
            .get("group.protocol")
            .is_some_and(|p| p.eq_ignore_ascii_case("consumer"))
    }

    /// How long a group member may go without a poll with these properties.
    pub(crate) fn max_poll_interval(&self) -> Duration {
        let set = self.properties.get("max.poll.interval.ms");
        set.and_then(|ms| ms.parse().ok())
            .map_or(MAX_POLL_INTERVAL, Duration::from_millis)
    }

    /// A member of `group` that is handed partitions.
    pub(crate) fn group_config(&self, group: &str) -> ClientConfig {
        let classic = !self.new_group_protocol();
        let mut defaults = vec![COMMON, READING, GROUP];
        let mut owned = vec![
            ("group.id", group),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("auto.offset.reset", "error"),
            ("isolation.level", "read_committed"),
            ("enable.partition.eof", "false"),
            ("allow.auto.create.topics", "false"),
        ];
        if classic {
            defaults.push(CLASSIC_GROUP);
            owned.push(("partition.assignment.strategy", "cooperative-sticky"));
        }
        self.config(&defaults, &owned)
    }

    /// A reader of whole partitions, in no group: `name` only shows up in
    /// errors.
    pub(crate) fn reader_config(&self, name: &str) -> ClientConfig {
        let mut config = self.config(
            &[COMMON, READING],
            &[
                ("group.id", name),
                ("enable.auto.commit", "false"),
                ("enable.auto.offset.store", "false"),
                ("auto.offset.reset", "earliest"),
                ("isolation.level", "read_committed"),
                ("enable.partition.eof", "true"),
                ("allow.auto.create.topics", "false"),
            ],
        );
        // It assigns itself, so the protocol of the groups does not concern it.
        config.remove("group.protocol");
        config.remove("group.remote.assignor");
        config
    }

    /// An idempotent producer.
    pub(crate) fn producer_config(&self, profile: &Profile) -> ClientConfig {
        let linger = format!("{:.3}", profile.linger.as_secs_f64() * 1e3);
        let timeout = profile.message_timeout.map_or(0, |t| t.as_millis().max(1));
        let timeout = timeout.to_string();
        let queue = (profile.queue_bytes_max / 1024).max(1).to_string();
        let record_max = profile.record_bytes_max.to_string();
        let role: Options<'_> = &[
            ("linger.ms", &linger),
            ("compression.type", profile.compression.name()),
            ("queue.buffering.max.kbytes", &queue),
            ("message.max.bytes", &record_max),
        ];
        self.config(
            &[COMMON, WRITING, role],
            &[
                ("enable.idempotence", "true"),
                ("acks", "all"),
                ("message.timeout.ms", &timeout),
            ],
        )
    }

    /// A client for metadata, watermarks and administration.
    pub(crate) fn admin_config(&self) -> ClientConfig {
        self.config(&[COMMON], &[])
    }

    fn config(&self, defaults: &[Options<'_>], owned: Options<'_>) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (key, value) in defaults.iter().copied().flatten() {
            config.set(*key, *value);
        }
        for (key, value) in &self.properties {
            config.set(properties::canonical(key), value.as_str());
        }
        for (key, value) in owned {
            config.set(*key, *value);
        }
        config.set("bootstrap.servers", &self.brokers);
        config.set("client.id", &self.client_id);
        config
    }
}

#[cfg(test)]
mod tests;
