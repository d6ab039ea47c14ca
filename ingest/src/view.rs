//! The configuration as ingest needs it: sources by topic, subscriptions by
//! what they want, endpoints by whether they take deliveries.
//!
//! Changes are applied one by one, between two records, so an event is always
//! matched against one state. Nothing here is looked up by name.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use hooklane_model::catalog::{Change, EndpointStatus};
use hooklane_model::envelope::ConfigStamp;
use hooklane_model::filter::Document;
use hooklane_model::id::{EndpointUid, SourceUid};
use hooklane_model::matching::{Interest, InterestIndex};
use hooklane_model::resource::{Source, Subscription};

/// The configuration in force.
#[derive(Debug, Default)]
pub struct View {
    sources: HashMap<SourceUid, Arc<Source>>,
    /// More than one source may read a topic, each by its own rules.
    by_topic: HashMap<String, Vec<Arc<Source>>>,
    /// Generation of each live endpoint's spec.
    endpoints: HashMap<EndpointUid, u64>,
    statuses: HashMap<EndpointUid, Arc<EndpointStatus>>,
    index: InterestIndex,
    /// How far the config topic was applied.
    pub stamp: ConfigStamp,
}

/// Who gets an event.
#[derive(Debug)]
pub struct Matched<'a> {
    /// Subscriptions with an endpoint that takes deliveries.
    pub interests: Vec<&'a Interest>,
    /// Subscriptions that match and whose endpoint is disabled or deleted.
    pub disabled: usize,
    /// Subscriptions that were looked at.
    pub candidates: usize,
}

impl View {
    /// Applies one change. Returns whether the topics to read may differ.
    pub fn apply(&mut self, change: Change) -> bool {
        match change {
            Change::Source(source) => {
                self.sources.insert(source.uid(), source);
                self.group_by_topic();
                return true;
            }
            Change::SourceGone(uid) => {
                self.sources.remove(&uid);
                self.group_by_topic();
                return true;
            }
            Change::Endpoint(endpoint) => {
                self.endpoints
                    .insert(endpoint.uid(), endpoint.meta.generation);
            }
            Change::EndpointGone(uid) => {
                self.endpoints.remove(&uid);
            }
            Change::Subscription(subscription) => match interest_of(&subscription) {
                Some(interest) => self.index.insert(interest),
                // The catalog lets no unbound subscription pass.
                None => tracing::error!(subscription = %subscription.uid(), "has no binding"),
            },
            Change::SubscriptionGone(uid) => {
                self.index.remove(uid);
            }
            Change::Status(uid, status) => {
                self.statuses.insert(uid, status);
            }
            Change::StatusGone(uid) => {
                self.statuses.remove(&uid);
            }
            Change::Snapshot(..) | Change::Consent(..) | Change::Unverified(..) => {}
        }
        false
    }

    fn group_by_topic(&mut self) {
        self.by_topic.clear();
        let mut sources: Vec<_> = self.sources.values().cloned().collect();
        sources.sort_by_key(|source| source.uid());
        for source in sources {
            self.by_topic
                .entry(source.spec.topic.clone())
                .or_default()
                .push(source);
        }
    }

    /// The topics that some source reads.
    #[must_use]
    pub fn topics(&self) -> BTreeSet<String> {
        self.by_topic.keys().cloned().collect()
    }

    /// The sources that read `topic`, by rising uid.
    #[must_use]
    pub fn sources_of(&self, topic: &str) -> &[Arc<Source>] {
        self.by_topic.get(topic).map_or(&[], Vec::as_slice)
    }

    /// How many subscriptions there are.
    #[must_use]
    pub fn subscriptions(&self) -> usize {
        self.index.len()
    }

    /// Who gets this event of `source`.
    pub fn find(&mut self, source: SourceUid, document: &Document<'_>) -> Matched<'_> {
        let found = self.index.find(source, document);
        let (endpoints, statuses) = (&self.endpoints, &self.statuses);
        let takes = |endpoint: EndpointUid| {
            endpoints.get(&endpoint).is_some_and(|generation| {
                let status = statuses.get(&endpoint);
                status.is_none_or(|status| status.disabled_for(*generation).is_none())
            })
        };
        let all = found.interests.len();
        let mut interests = found.interests;
        interests.retain(|interest| takes(interest.endpoint));
        let disabled = all - interests.len();
        Matched {
            interests,
            disabled,
            candidates: found.candidates,
        }
    }
}

fn interest_of(subscription: &Subscription) -> Option<Interest> {
    let bound = subscription.bound?;
    Some(Interest {
        subscription: subscription.uid(),
        endpoint: bound.endpoint,
        source: bound.source,
        tenant: subscription.meta.tenant.clone(),
        event_types: subscription.spec.event_types.clone(),
        filter: subscription.spec.filter.clone(),
    })
}

/// The run of reading a source: source marks are compared within one run only.
///
/// It is made of the source's uid and generation. A source topic that was
/// created anew, or offsets that an operator set back, go on under the same
/// run until the source is edited; so whoever does that edits the source, too.
#[must_use]
pub fn run_of(source: &Source) -> u64 {
    let mut bytes = source.meta.uid.to_be_bytes().to_vec();
    bytes.extend(source.meta.generation.to_be_bytes());
    hooklane_model::lane::stable_hash(&bytes)
}

#[cfg(test)]
mod tests;
