//! Looking into Hooklane's topics.

use std::collections::BTreeMap;

use hooklane_kafka::producer::{Outgoing, Producer};
use hooklane_kafka::record::{Record, TopicPartition};
use hooklane_kafka::scan::{end_offsets, group_offsets, scan};
use hooklane_kafka::settings::Profile;
use hooklane_model::ladder::Rung;
use hooklane_model::record::{DeadNote, NOTE_HEADER};

use super::{DEADLINE, Pipeline};

impl Pipeline {
    /// Writes a record that no part of Hooklane would write.
    pub(crate) fn write(&self, topic: &str, key: &str, value: &[u8]) {
        let producer = Producer::new(&self.settings, &Profile::default(), |_| {}).unwrap();
        let record = Outgoing {
            topic,
            partition: Some(0),
            key: Some(key.as_bytes()),
            value: Some(value),
            headers: &[],
            timestamp: None,
        };
        producer.send(&record, 0).unwrap();
        assert!(producer.flush(DEADLINE));
    }

    /// All records of a topic, now.
    pub(crate) fn records(&self, topic: &str) -> Vec<Record> {
        let mut records = Vec::new();
        let topics = [topic.to_owned()];
        scan(&self.settings, &topics, DEADLINE, &mut |record| {
            records.push(record)
        })
        .unwrap();
        records
    }

    /// How many records a topic has.
    pub(crate) fn count(&self, topic: &str) -> i64 {
        let ends = end_offsets(&self.settings, topic, DEADLINE).unwrap();
        ends.unwrap_or_else(|| panic!("there is no topic {topic}"))
            .values()
            .sum()
    }

    /// The ends of all topics that deliveries go through.
    pub(crate) fn ends(&self) -> BTreeMap<String, BTreeMap<i32, i64>> {
        let names = &self.names;
        let mut topics = vec![
            names.deliveries(),
            names.attempts(),
            names.dead(),
            names.poison(),
        ];
        topics.extend(Rung::ALL.map(|rung| names.delay(rung)));
        let ends = |topic: String| {
            let ends = end_offsets(&self.settings, &topic, DEADLINE)
                .unwrap()
                .unwrap();
            (topic, ends)
        };
        topics.into_iter().map(ends).collect()
    }

    /// The dead letters: note and bytes.
    pub(crate) fn dead(&self) -> Vec<(DeadNote, Vec<u8>)> {
        let records = self.records(&self.names.dead());
        let read = |record: Record| {
            let note = record
                .header(NOTE_HEADER)
                .unwrap_or_else(|| panic!("no note: {record:?}"));
            let note = serde_json::from_slice(note).unwrap();
            (note, record.value.unwrap_or_default().to_vec())
        };
        records.into_iter().map(read).collect()
    }

    /// The committed offset of each lane.
    pub(crate) fn committed_lanes(&self) -> BTreeMap<TopicPartition, i64> {
        let group = format!("{}dispatcher", self.names.prefix());
        let topics = [self.names.deliveries()];
        group_offsets(&self.settings, &group, &topics, DEADLINE).unwrap()
    }
}
