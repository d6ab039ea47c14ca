//! The one thing Hooklane reads from the client's statistics: log ends.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

/// Topic to partition to the offset after the last one.
pub(super) type HighWatermarks = HashMap<String, BTreeMap<i32, i64>>;

#[derive(Deserialize)]
struct Statistics {
    #[serde(default)]
    topics: HashMap<String, Topic>,
}

#[derive(Deserialize)]
struct Topic {
    #[serde(default)]
    partitions: BTreeMap<i32, Partition>,
}

#[derive(Deserialize)]
struct Partition {
    hi_offset: i64,
}

/// The log ends that `json` knows; unknown ones (negative) are left out.
pub(super) fn high_watermarks(json: &[u8]) -> serde_json::Result<HighWatermarks> {
    let statistics: Statistics = serde_json::from_slice(json)?;
    let ends = |topic: Topic| {
        topic
            .partitions
            .into_iter()
            .filter(|(number, p)| *number >= 0 && p.hi_offset >= 0)
            .map(|(number, p)| (number, p.hi_offset))
            .collect()
    };
    Ok(statistics
        .topics
        .into_iter()
        .map(|(name, topic)| (name, ends(topic)))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_ends_and_the_unassigned_partition_are_left_out() {
        let json = br#"{"name":"x","topics":{"t":{"topic":"t","partitions":{
            "-1":{"hi_offset":7},"0":{"hi_offset":12},"3":{"hi_offset":-1001}}}}}"#;
        let high = high_watermarks(json).unwrap();
        assert_eq!(high["t"], BTreeMap::from([(0, 12)]));
        assert!(high_watermarks(b"{}").unwrap().is_empty());
    }
}
