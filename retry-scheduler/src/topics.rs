//! The topics that the scheduler reads and writes, by name.

use std::num::NonZeroU16;
use std::time::Duration;

use hooklane_kafka::producer::{Producer, ProducerError};
use hooklane_kafka::record::TopicPartition;
use hooklane_kafka::settings::ClientSettings;
use hooklane_kafka::topics::{
    SOURCE_RECORD_BYTES, TopicCheck, TopicPlan, TopicRole, TopicSpec, TopicsError, internal_topics,
    record_bytes_max, verify,
};
use hooklane_model::ladder::Rung;
use hooklane_model::topic::TopicNames;

use crate::schedule::{DelayPartition, Layout};

/// How long questions to the brokers may take at start.
const START_WAIT: Duration = Duration::from_secs(30);

/// The names, made once.
#[derive(Clone, Debug)]
pub(crate) struct Topics {
    pub(crate) deliveries: String,
    /// In the order of [`Rung::ALL`].
    pub(crate) delays: [String; Rung::ALL.len()],
    pub(crate) poison: String,
}

impl Topics {
    pub(crate) fn new(names: &TopicNames) -> Self {
        Self {
            deliveries: names.deliveries(),
            delays: Rung::ALL.map(|rung| names.delay(rung)),
            poison: names.poison(),
        }
    }

    pub(crate) fn delay(&self, rung: Rung) -> &str {
        &self.delays[rung as usize]
    }

    /// The partition as the client names it.
    pub(crate) fn topic_partition(&self, at: DelayPartition) -> TopicPartition {
        TopicPartition::new(self.delay(at.rung), at.partition)
    }

    /// The partition as the schedule names it; `None` for a foreign topic.
    pub(crate) fn delay_partition(&self, topic: &str, partition: i32) -> Option<DelayPartition> {
        let index = self.delays.iter().position(|name| name == topic)?;
        Some(DelayPartition {
            rung: Rung::ALL[index],
            partition,
        })
    }
}

/// What the topics that the scheduler works with must look like.
pub(crate) fn specs(names: &TopicNames) -> Vec<TopicSpec> {
    let plan = TopicPlan {
        // Lower bounds only: whoever created the topics chose.
        lanes: NonZeroU16::MIN,
        replication: 1,
        record_bytes_max: record_bytes_max(SOURCE_RECORD_BYTES),
    };
    let mut specs = internal_topics(names, &plan);
    specs.retain(|spec| {
        matches!(
            spec.role,
            TopicRole::Deliveries | TopicRole::Delay(_) | TopicRole::Poison
        )
    });
    specs
}

/// Checks the topics and finds how many lanes there are.
pub(crate) fn check(
    settings: &ClientSettings,
    names: &TopicNames,
    check: TopicCheck,
) -> Result<NonZeroU16, TopicsError> {
    let verified = verify(settings, &specs(names), check, START_WAIT)?;
    for (topic, difference) in &verified.warnings {
        // How many partitions there are is the topics' own choice.
        if difference.setting != "partitions" {
            tracing::warn!(%topic, %difference, "topic differs from what is advised");
        }
    }
    Ok(verified.lanes)
}

/// How many partitions each topic has. The producer remembers the poison
/// topic's, among which it chooses by itself.
pub(crate) fn layout(
    lanes: NonZeroU16,
    topics: &Topics,
    producer: &Producer,
) -> Result<Layout, ProducerError> {
    producer.partition_count(&topics.poison, START_WAIT)?;
    let mut rungs = [NonZeroU16::MIN; Rung::ALL.len()];
    for (count, topic) in rungs.iter_mut().zip(&topics.delays) {
        let found = producer.partition_count(topic, START_WAIT)?;
        let found = u16::try_from(found).ok().and_then(NonZeroU16::new);
        *count = found.unwrap_or(NonZeroU16::MIN);
    }
    Ok(Layout { lanes, rungs })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rung_has_its_topic_and_finds_back() {
        let topics = Topics::new(&TopicNames::new("x."));
        for rung in Rung::ALL {
            let at = DelayPartition { rung, partition: 3 };
            let tp = topics.topic_partition(at);
            assert_eq!(&*tp.topic, TopicNames::new("x.").delay(rung));
            assert_eq!(topics.delay_partition(&tp.topic, tp.partition), Some(at));
        }
        assert_eq!(topics.delay_partition("x.deliveries", 0), None);
    }
}
