//! Following the configuration: what to match, and which topics to read.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use hooklane_kafka::config_feed::FeedEvent;
use hooklane_kafka::topics::{Found, TopicCheck, TopicRole, TopicSpec, TopicsError, inspect};

use super::Intake;
use crate::error::IngestError;
use crate::view::View;

/// How long the brokers may take to say which topics there are.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a topic that is missing is looked for.
const MISSING_AGAIN: Duration = Duration::from_secs(15);

/// What one event of the feed came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Followed {
    /// The whole configuration has been read.
    pub(crate) loaded: bool,
    /// The topics to read may differ.
    pub(crate) topics: bool,
    /// Something was not applied.
    pub(crate) problem: bool,
}

/// Applies one event of the feed.
pub(crate) fn follow(view: &mut View, event: FeedEvent) -> Followed {
    let mut followed = Followed::default();
    match event {
        FeedEvent::Loaded { changes, stamp } | FeedEvent::Changed { changes, stamp } => {
            for change in changes {
                followed.topics |= view.apply(change);
            }
            view.stamp = stamp;
            followed.loaded = true;
        }
        FeedEvent::Problem(problem) => {
            tracing::error!(%problem, "configuration record not applied; the last good value stays");
            followed.problem = true;
        }
        FeedEvent::Note(note) => {
            tracing::warn!(%note, "configuration field of a newer release passed over");
        }
    }
    followed
}

impl Intake {
    /// Takes all that the feed has brought; between two records, so that each
    /// event is matched against one state.
    pub(super) fn follow_config(&mut self) {
        let mut changed = false;
        while let Ok(event) = self.parts.feed.try_recv() {
            let followed = follow(&mut self.parts.view, event);
            if followed.topics {
                self.check_topics_at = Some(Instant::now());
            }
            if followed.problem {
                self.parts.metrics.config_problems.inc();
            }
            changed = true;
        }
        if changed {
            let metrics = &self.parts.metrics;
            metrics
                .subscriptions
                .set_len(self.parts.view.subscriptions());
            metrics.config_offset.set(self.parts.view.stamp.offset);
        }
    }

    /// Subscribes to the topics of all sources that exist: in this version of
    /// the client a subscription to a missing topic costs a third of the CPU.
    ///
    /// With no topic left the last subscription stays, since the client knows
    /// no empty one; records without a source are done as soon as read.
    pub(super) fn follow_topics(&mut self) -> Result<(), IngestError> {
        if self.check_topics_at.is_none_or(|at| Instant::now() < at) || self.draining {
            return Ok(());
        }
        self.check_topics_at = None;
        let wanted: Vec<String> = self.parts.view.topics().into_iter().collect();
        if wanted.is_empty() {
            self.parts.metrics.missing_topics.set(0);
            return Ok(());
        }
        let missing = match self.missing(&wanted) {
            Ok(missing) => missing,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(
                    error,
                    "cannot look for source topics; reading goes on as it was"
                );
                self.check_topics_at = Some(Instant::now() + ASK_TIMEOUT);
                return Ok(());
            }
        };
        self.parts.metrics.missing_topics.set_len(missing.len());
        if !missing.is_empty() {
            tracing::warn!(
                ?missing,
                "source topics do not exist; create them, they are looked for again"
            );
            self.check_topics_at = Some(Instant::now() + MISSING_AGAIN);
        }
        let there: BTreeSet<String> = wanted
            .into_iter()
            .filter(|topic| !missing.contains(topic))
            .collect();
        if there == self.topics || there.is_empty() {
            return Ok(());
        }
        let topics: Vec<String> = there.iter().cloned().collect();
        self.parts.consumer.subscribe(&topics)?;
        tracing::info!(?topics, "reading");
        self.topics = there;
        Ok(())
    }

    fn missing(&self, topics: &[String]) -> Result<Vec<String>, TopicsError> {
        // Only the names count; existence is all that is asked.
        let spec = |name: &String| TopicSpec {
            name: name.clone(),
            role: TopicRole::Poison,
            partitions: 1,
            replication: 1,
            settings: Vec::new(),
        };
        let specs: Vec<_> = topics.iter().map(spec).collect();
        let states = inspect(
            &self.parts.settings,
            &specs,
            TopicCheck::PartitionsOnly,
            ASK_TIMEOUT,
        )?;
        let missing = states
            .into_iter()
            .filter(|state| state.found == Found::Missing);
        Ok(missing.map(|state| state.spec.name).collect())
    }
}
