//! The Kafka under a demo: embedded, or a real one in which the demo keeps to
//! topics of its own.

use std::num::NonZeroU16;
use std::path::PathBuf;

use hooklane_kafka::embedded::EmbeddedBroker;
use hooklane_kafka::scan::broker_count;
use hooklane_kafka::topics::{
    SOURCE_RECORD_BYTES, TopicCheck, TopicPlan, TopicRole, TopicSpec, create_missing,
    internal_topics, record_bytes_max,
};
use hooklane_model::topic::TopicNames;
use hooklane_secrets::KeyId;
use hooklane_sender::EgressPolicy;
use tempfile::TempDir;

use super::error::DemoError;
use super::size::Limit;
use crate::args::KafkaArgs;
use crate::cluster::{Cluster, PATIENCE};
use crate::{Io, Surroundings, secrets};

/// Partitions of the topic with the events.
pub(super) const EVENT_PARTITIONS: i32 = 4;

/// A Kafka with the demo's topics.
pub(super) struct Kafka {
    pub(super) cluster: Cluster,
    /// Where the events go. Not under the prefix: sources must not read
    /// internal topics.
    pub(super) events: String,
    pub(super) lanes: NonZeroU16,
    pub(super) check: TopicCheck,
    /// What the demo's secrets are encrypted under: gone with the demo, so that
    /// what it leaves in a real Kafka opens for nobody.
    _keys: Keys,
    /// Ends with the demo.
    _embedded: Option<EmbeddedBroker>,
}

impl Kafka {
    /// Starts a broker, or creates topics in the cluster asked for.
    ///
    /// # Errors
    /// When it does not start, answer or take the topics.
    pub(super) fn start(
        lanes: u16,
        args: &KafkaArgs,
        around: &Surroundings<'_>,
        io: &mut Io<'_>,
    ) -> Result<Self, DemoError> {
        let lanes = NonZeroU16::new(lanes).unwrap_or(NonZeroU16::MIN);
        if args.brokers.is_none() {
            return Self::embedded(lanes);
        }
        let mut cluster = Cluster::find(args, &around.environment)?;
        let keys = Keys::make()?;
        cluster.kek_file = Some(keys.file());
        let time: String = around.clock.now().to_rfc3339();
        let digits: String = time.chars().filter(char::is_ascii_digit).collect();
        let own = format!("hooklane-demo-{digits}");
        cluster.names = TopicNames::new(format!("{own}."));
        let events = format!("{own}-events");
        writeln!(io.out, "Creating topics {own}* ...")?;
        io.out.flush()?;
        let brokers = broker_count(&cluster.settings, PATIENCE)?;
        let replication = i16::try_from(brokers.clamp(1, 3)).unwrap_or(1);
        let specs = specs(&cluster.names, &events, lanes, replication);
        create_missing(&cluster.settings, &specs, PATIENCE)?;
        Ok(Self {
            cluster,
            events,
            lanes,
            check: TopicCheck::Full,
            _keys: keys,
            _embedded: None,
        })
    }

    fn embedded(lanes: NonZeroU16) -> Result<Self, DemoError> {
        let names = TopicNames::default();
        let events = "demo-events".to_owned();
        let broker = EmbeddedBroker::start(&specs(&names, &events, lanes, 1))?;
        let settings = broker.settings("hooklane-demo")?;
        let keys = Keys::make()?;
        Ok(Self {
            cluster: Cluster {
                settings,
                names,
                egress: EgressPolicy::default(),
                kek_file: Some(keys.file()),
            },
            events,
            lanes,
            check: TopicCheck::PartitionsOnly,
            _keys: keys,
            _embedded: Some(broker),
        })
    }

    fn is_embedded(&self) -> bool {
        self._embedded.is_some()
    }

    /// What the view is headed with.
    pub(super) fn title(&self) -> String {
        if self.is_embedded() {
            "embedded broker (in memory, not durable)".to_owned()
        } else {
            format!("Kafka at {}", self.cluster.settings.brokers)
        }
    }

    /// Says what is going on.
    ///
    /// # Errors
    /// Those of the output.
    pub(super) fn announce(&self, io: &mut Io<'_>, limit: &Limit) -> Result<(), DemoError> {
        let prefix = self.cluster.names.prefix();
        if self.is_embedded() {
            writeln!(
                io.out,
                "Everything runs in this process: an embedded broker (in memory, not durable),\n\
                 ingest, dispatcher, retry-scheduler, and a receiver with five endpoints on\n127.0.0.1."
            )?;
        } else {
            writeln!(
                io.out,
                "Services and receiver run in this process, on topics of their own in {}:\n{prefix}* \
                 and {}; they stay there until somebody deletes them.",
                self.cluster.settings.brokers, self.events
            )?;
        }
        if limit.tell {
            writeln!(io.out, "Ctrl-C ends it; so do {} events.", limit.events)?;
        }
        writeln!(io.out)?;
        io.out.flush()?;
        Ok(())
    }

    /// How to look at what a run left behind; `None` where nothing is left.
    pub(super) fn afterwards(&self) -> Option<String> {
        let prefix = self.cluster.names.prefix();
        let brokers = &self.cluster.settings.brokers;
        (!self.is_embedded()).then(|| {
            format!("HOOKLANE__KAFKA__TOPIC_PREFIX={prefix} hooklane --brokers {brokers} books")
        })
    }
}

/// A key file in a directory of its own.
struct Keys(TempDir);

impl Keys {
    fn make() -> Result<Self, DemoError> {
        let keys = Self(tempfile::tempdir().map_err(DemoError::Keys)?);
        let id = KeyId::parse("demo").expect("four letters are an id");
        secrets::make_key_file(&id, &keys.file())?;
        Ok(keys)
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("kek")
    }
}

fn specs(names: &TopicNames, events: &str, lanes: NonZeroU16, replication: i16) -> Vec<TopicSpec> {
    let plan = TopicPlan {
        lanes,
        replication,
        record_bytes_max: record_bytes_max(SOURCE_RECORD_BYTES),
    };
    let mut specs = internal_topics(names, &plan);
    specs.push(TopicSpec {
        name: events.to_owned(),
        // Only counts when topics are compared, which this one never is.
        role: TopicRole::Attempts,
        partitions: EVENT_PARTITIONS,
        replication,
        settings: Vec::new(),
    });
    specs
}
