//! The names of the internal topics.

use crate::ladder::Rung;

/// Names of the internal topics under one prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicNames {
    prefix: String,
}

impl TopicNames {
    /// Names under `prefix`, which ends in its own separator (`hooklane.`).
    #[must_use]
    pub fn new(prefix: impl Into<String>) -> Self {
        Self {
            prefix: prefix.into(),
        }
    }

    /// The prefix all names begin with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Envelopes by lane: what the dispatchers own and send.
    #[must_use]
    pub fn deliveries(&self) -> String {
        format!("{}deliveries", self.prefix)
    }

    /// One delay topic of the retry ladder.
    #[must_use]
    pub fn delay(&self, rung: Rung) -> String {
        format!("{}delay.{}", self.prefix, rung.name())
    }

    /// Every attempt's outcome, JSON, keyed by endpoint.
    #[must_use]
    pub fn attempts(&self) -> String {
        format!("{}attempts", self.prefix)
    }

    /// Terminal records: the original bytes, the story in headers.
    #[must_use]
    pub fn dead(&self) -> String {
        format!("{}dead", self.prefix)
    }

    /// Endpoints, subscriptions, sources and the format version, compacted.
    #[must_use]
    pub fn config(&self) -> String {
        format!("{}config", self.prefix)
    }

    /// What the pipeline found out about an endpoint, compacted.
    #[must_use]
    pub fn status(&self) -> String {
        format!("{}status", self.prefix)
    }

    /// Records that could not be read, and notes of records that were lost.
    #[must_use]
    pub fn poison(&self) -> String {
        format!("{}poison", self.prefix)
    }
}

impl Default for TopicNames {
    fn default() -> Self {
        Self::new("hooklane.")
    }
}
