//! A Kafka for demonstrations and tests, inside this process.
//!
//! It is librdkafka's mock cluster: real sockets and a real protocol, and
//! none of Kafka's durability. Each partition keeps 5 MiB and then drops its
//! oldest records in silence; nothing is compacted; records carry the
//! producer's time; an aborted transaction is delivered; topics can't be
//! created or described through it. One broker by default: each broker costs
//! every client a thread and a connection, and more of them would only mean
//! something if one could fail.

mod tuning;

use std::collections::BTreeMap;
use std::num::NonZeroU8;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::Client;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::types::RDKafkaType;
use thiserror::Error;

use crate::client::LogContext;
use crate::error::{ClientError, ErrorKind};
use crate::settings::ClientSettings;
use crate::topics::TopicSpec;

/// Why an embedded broker failed.
#[derive(Debug, Error)]
pub enum EmbeddedError {
    /// It did not start.
    #[error("embedded broker cannot be started")]
    Start(#[source] ClientError),
    /// A topic was not created.
    #[error("topic {topic} cannot be created in the embedded broker")]
    Topic {
        /// The topic.
        topic: String,
        /// Why.
        #[source]
        source: ClientError,
    },
}

/// A mock cluster; it ends when this is dropped.
pub struct EmbeddedBroker {
    client: Client<LogContext>,
    brokers: u8,
}

impl EmbeddedBroker {
    /// One broker with these topics.
    pub fn start(topics: &[TopicSpec]) -> Result<Self, EmbeddedError> {
        Self::start_cluster(NonZeroU8::MIN, topics)
    }

    /// Several brokers with these topics, each partition on up to three.
    pub fn start_cluster(brokers: NonZeroU8, topics: &[TopicSpec]) -> Result<Self, EmbeddedError> {
        let mut config = ClientConfig::new();
        config.set("test.mock.num.brokers", brokers.to_string());
        // Nobody polls this client, so it must not collect log lines.
        config.set_log_level(RDKafkaLogLevel::Emerg);
        let started = config.create_native_config().and_then(|native| {
            Client::new(&config, native, RDKafkaType::RD_KAFKA_PRODUCER, LogContext)
        });
        let client = started.map_err(|e| EmbeddedError::Start(e.into()))?;
        tuning::quick_joins(&client);
        let cluster = Self {
            client,
            brokers: brokers.get(),
        };
        for topic in topics {
            cluster.create_topic(&topic.name, topic.partitions)?;
        }
        Ok(cluster)
    }

    /// Creates a topic, which clients of this broker can't do.
    pub fn create_topic(&self, topic: &str, partitions: i32) -> Result<(), EmbeddedError> {
        let failed = |source| EmbeddedError::Topic {
            topic: topic.to_owned(),
            source,
        };
        self.cluster()
            .map_err(failed)?
            .create_topic(topic, partitions, i32::from(self.brokers.min(3)))
            .map_err(|e| failed(e.into()))
    }

    /// `host:port` of each broker, comma separated.
    pub fn bootstrap(&self) -> Result<String, EmbeddedError> {
        let cluster = self.cluster().map_err(EmbeddedError::Start)?;
        Ok(cluster.bootstrap_servers())
    }

    /// The properties that clients should use with it.
    #[must_use]
    pub fn properties() -> BTreeMap<String, String> {
        [
            // An empty fetch waits this long also when a record arrives, so
            // it is the latency of every hop.
            ("fetch.wait.max.ms", "10"),
            // A rebalance among several members waits one heartbeat, and then
            // the session timeout less a second for members that are gone.
            ("heartbeat.interval.ms", "100"),
            ("session.timeout.ms", "2000"),
            ("topic.metadata.refresh.interval.ms", "5000"),
        ]
        .into_iter()
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect()
    }

    /// Settings of a client of this broker.
    pub fn settings(&self, client_id: &str) -> Result<ClientSettings, EmbeddedError> {
        let mut settings = ClientSettings::new(self.bootstrap()?, client_id);
        settings.properties = Self::properties();
        Ok(settings)
    }

    /// Stops or starts to take connections on all brokers.
    pub fn set_up(&self, up: bool) -> Result<(), EmbeddedError> {
        let cluster = self.cluster().map_err(EmbeddedError::Start)?;
        let done = if up {
            cluster.broker_up(-1)
        } else {
            cluster.broker_down(-1)
        };
        done.map_err(|e| EmbeddedError::Start(e.into()))
    }

    /// Delays every answer of all brokers.
    pub fn set_round_trip(&self, delay: Duration) -> Result<(), EmbeddedError> {
        let cluster = self.cluster().map_err(EmbeddedError::Start)?;
        let done = cluster.broker_round_trip_time(-1, delay);
        done.map_err(|e| EmbeddedError::Start(e.into()))
    }

    fn cluster(&self) -> Result<rdkafka::mocking::MockCluster<'_, LogContext>, ClientError> {
        let missing = || ClientError::new(ErrorKind::Other, "the client has no mock cluster");
        self.client.mock_cluster().ok_or_else(missing)
    }
}
