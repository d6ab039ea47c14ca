//! What a scenario runs on: brokers, internal topics, resources.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::time::Duration;

use anyhow::Context;
use hooklane_kafka::config_writer::ConfigWriter;
use hooklane_kafka::consumer::GroupConsumer;
use hooklane_kafka::record::TopicPartition;
use hooklane_kafka::scan::{broker_count, end_offsets, group_offsets};
use hooklane_kafka::settings::ClientSettings;
use hooklane_kafka::topics::{
    SOURCE_RECORD_BYTES, TopicPlan, TopicRole, TopicSpec, create_missing, internal_topics,
    record_bytes_max,
};
use hooklane_model::id::EndpointUid;
use hooklane_model::plan::{self, Given, Plan};
use hooklane_model::resource::{Kind, parse_yaml};
use hooklane_model::time::Clock;
use hooklane_model::topic::TopicNames;
use hooklane_service::clock::SystemClock;
use hooklane_test_support::{KafkaCluster, unique};
use serde_json::{Value, json};

use crate::floors::consume::assign_from_start;
use crate::load::TENANT;
use crate::output;

const PATIENCE: Duration = Duration::from_secs(60);

/// Brokers given by the user, or a node of our own.
pub(crate) enum Brokers {
    Own(KafkaCluster),
    Given(String),
}

impl Brokers {
    pub(crate) fn start(given: Option<&str>) -> anyhow::Result<Self> {
        if let Some(given) = given {
            return Ok(Self::Given(given.to_owned()));
        }
        output::progress("starting a Kafka of one node");
        KafkaCluster::start(1).map(Self::Own)
    }

    pub(crate) fn bootstrap(&self) -> &str {
        match self {
            Self::Own(cluster) => cluster.bootstrap(),
            Self::Given(brokers) => brokers,
        }
    }

    pub(crate) fn describe(&self) -> &'static str {
        match self {
            Self::Own(_) => "own Apache Kafka, one node, on this machine",
            Self::Given(_) => "the Kafka given by --brokers",
        }
    }
}

/// Internal topics under a prefix of their own. They stay behind on brokers
/// that were given: Hooklane deletes no topics.
pub(crate) struct Bed {
    pub(crate) settings: ClientSettings,
    pub(crate) names: TopicNames,
    pub(crate) lanes: NonZeroU16,
}

impl Bed {
    pub(crate) fn create(brokers: &Brokers, lanes: NonZeroU16) -> anyhow::Result<Self> {
        let bed = Self {
            settings: ClientSettings::new(brokers.bootstrap(), "benches"),
            names: TopicNames::new(format!("{}.", unique("bench"))),
            lanes,
        };
        let replicas = broker_count(&bed.settings, PATIENCE)?.min(3);
        let plan = TopicPlan {
            lanes,
            replication: i16::try_from(replicas)?,
            record_bytes_max: record_bytes_max(SOURCE_RECORD_BYTES),
        };
        create_missing(&bed.settings, &internal_topics(&bed.names, &plan), PATIENCE)?;
        Ok(bed)
    }

    /// A topic that is not one of Hooklane's; the brokers' settings.
    pub(crate) fn create_topic(&self, name: &str, partitions: i32) -> anyhow::Result<()> {
        let spec = TopicSpec {
            name: name.to_owned(),
            role: TopicRole::Attempts,
            partitions,
            replication: 1,
            settings: Vec::new(),
        };
        create_missing(&self.settings, &[spec], PATIENCE)?;
        Ok(())
    }

    /// Writes resources as `hooklane apply` does; returns the endpoints in the
    /// order given. Uids are counted, so that lanes are the same in every run.
    pub(crate) fn apply(&self, documents: &[Value]) -> anyhow::Result<Vec<EndpointUid>> {
        let plan = self.write(documents)?;
        let endpoints = plan.changes.iter().filter(|c| c.key.kind == Kind::Endpoint);
        Ok(endpoints
            .map(|c| EndpointUid(c.document.manifest.meta().uid))
            .collect())
    }

    /// Writes one resource, and returns the record that was written.
    pub(crate) fn apply_one(&self, document: &Value) -> anyhow::Result<(String, Vec<u8>)> {
        let plan = self.write(std::slice::from_ref(document))?;
        let mut writes = plan.writes.into_iter();
        let (key, value) = writes.next_back().context("nothing was written")?;
        Ok((key, value.context("a tombstone was written")?))
    }

    fn write(&self, documents: &[Value]) -> anyhow::Result<Plan> {
        let documents: Vec<String> = documents.iter().map(Value::to_string).collect();
        let documents = parse_yaml(&documents.join("\n---\n"))?;
        let mut writer = ConfigWriter::open(&self.settings, &self.names, PATIENCE)?;
        let mut uid = 0;
        let mut given = Given {
            now: SystemClock.now(),
            topic_prefix: self.names.prefix(),
            start_offsets: &BTreeMap::new(),
            new_uid: &mut || {
                uid += 1;
                uid
            },
        };
        let plan = plan::apply(writer.catalog(), documents, &mut given)?;
        let writes = plan.writes.iter().cloned();
        let writes: Vec<_> = writes
            .map(|(key, value)| (key.into_bytes(), value))
            .collect();
        writer.write(&writes)?;
        Ok(plan)
    }

    /// The name of the dispatchers' group.
    pub(crate) fn dispatcher_group(&self) -> String {
        format!("{}dispatcher", self.names.prefix())
    }

    /// Has a group that has no members begin at the start of a topic again.
    pub(crate) fn rewind(&self, group: &str, topic: &str, partitions: usize) -> anyhow::Result<()> {
        let mut consumer = GroupConsumer::new(&self.settings, group)?;
        consumer.subscribe(&[topic.to_owned()])?;
        assign_from_start(&mut consumer, partitions).with_context(|| format!("rewind {group}"))?;
        let start: Vec<(TopicPartition, i64)> =
            consumer.assigned().map(|tp| (tp.clone(), 0)).collect();
        consumer.commit_sync(&start)?;
        consumer.close(PATIENCE);
        Ok(())
    }

    /// Whether a group has committed everything that a topic holds.
    pub(crate) fn is_done(&self, group: &str, topic: &str) -> anyhow::Result<bool> {
        let ends = end_offsets(&self.settings, topic, PATIENCE)?;
        let ends = ends.with_context(|| format!("there is no topic {topic}"))?;
        let done = group_offsets(&self.settings, group, &[topic.to_owned()], PATIENCE)?;
        Ok(ends.into_iter().all(|(partition, end)| {
            let at = TopicPartition::new(topic, partition);
            done.get(&at).copied().unwrap_or(0) >= end
        }))
    }

    /// How many records a topic holds.
    pub(crate) fn records(&self, topic: &str) -> anyhow::Result<u64> {
        let ends = end_offsets(&self.settings, topic, PATIENCE)?;
        let ends = ends.with_context(|| format!("there is no topic {topic}"))?;
        Ok(u64::try_from(ends.values().sum::<i64>())?)
    }
}

/// Endpoints `/e0`, `/e1`, ... of one receiver, without a rate limit and, as
/// the floors, without a signature.
pub(crate) fn endpoints(
    receiver: std::net::SocketAddr,
    count: usize,
    concurrency: u32,
) -> Vec<Value> {
    (0..count)
        .map(|n| {
            json!({
                "apiVersion": "hooklane/v1", "kind": "Endpoint",
                "metadata": {"tenant": TENANT, "name": format!("e{n}")},
                "spec": {
                    "url": format!("http://{receiver}/e{n}"),
                    "maxConcurrency": concurrency,
                    "signing": {"scheme": "none"},
                },
            })
        })
        .collect()
}
