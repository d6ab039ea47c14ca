//! Which partition a record without one goes to.

use std::collections::HashMap;
use std::sync::RwLock;
use std::sync::atomic::{AtomicU64, Ordering};

use hooklane_model::lane::stable_hash;

use super::{ProduceError, ProduceErrorKind, SendError};

/// Partition counts by topic. Bounded by the topics the owner asked about.
#[derive(Debug, Default)]
pub(super) struct Partitions {
    counts: RwLock<HashMap<String, i32>>,
    turn: AtomicU64,
}

impl Partitions {
    pub(super) fn known(&self, topic: &str) -> Option<i32> {
        self.counts.read().expect(NO_PANIC).get(topic).copied()
    }

    pub(super) fn learn(&self, topic: &str, count: i32) {
        let mut counts = self.counts.write().expect(NO_PANIC);
        counts.insert(topic.to_owned(), count);
    }

    /// By the key, or in turn where there is none.
    pub(super) fn choose(&self, topic: &str, key: Option<&[u8]>) -> Result<i32, SendError> {
        let count = self.known(topic).and_then(|c| u64::try_from(c).ok());
        let Some(count) = count.filter(|c| *c > 0) else {
            return Err(SendError::Refused(ProduceError {
                kind: ProduceErrorKind::UnknownTopic,
                text: format!("the partition count of {topic} was not asked for"),
            }));
        };
        let number = key.map_or_else(|| self.turn.fetch_add(1, Ordering::Relaxed), stable_hash);
        Ok(i32::try_from(number % count).expect("a remainder by an i32 fits an i32"))
    }
}

const NO_PANIC: &str = "no code that can panic runs under this lock";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice_is_the_stable_hash_and_golden() {
        let partitions = Partitions::default();
        partitions.learn("t", 12);
        let chosen: Vec<i32> = ["a", "b", "acme/erp"]
            .iter()
            .map(|key| partitions.choose("t", Some(key.as_bytes())).unwrap())
            .collect();
        assert_eq!(chosen, [7, 11, 8]);
    }

    #[test]
    fn records_without_a_key_take_turns() {
        let partitions = Partitions::default();
        partitions.learn("t", 3);
        let chosen: Vec<i32> = (0..4)
            .map(|_| partitions.choose("t", None).unwrap())
            .collect();
        assert_eq!(chosen, [0, 1, 2, 0]);
    }

    #[test]
    fn a_topic_nobody_asked_about_is_refused() {
        let refused = Partitions::default().choose("t", None);
        assert!(
            matches!(refused, Err(SendError::Refused(e)) if e.kind == ProduceErrorKind::UnknownTopic)
        );
    }
}
