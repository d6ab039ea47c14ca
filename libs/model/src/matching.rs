//! Which subscriptions want an event, found without asking each of them.
//!
//! Every subscription is filed under one *access predicate* that each of its
//! events must meet: source and tenant first, then the event type (exact or
//! prefix), then the most selective equality of its filter. An event looks up
//! only the values it has, and the rest of a subscription's conditions are
//! checked on the candidates found. What has no equality stands in a list of
//! its tenant and type that is tried one by one; [`Found::candidates`] tells
//! how many were.
//!
//! The payload is parsed when the first candidate, or the first equality filed
//! for that tenant and type, looks into it, and once at most.
//!
//! An event of a shared source has no tenant and concerns subscriptions of
//! all. For these a second set of lists is kept, built when the first such
//! event comes; so each source pays only for the way it is used.

mod bucket;
mod level;

use std::collections::HashMap;

use crate::filter::{Document, EventTypePattern, Filter};
use crate::id::{EndpointUid, SourceUid, SubscriptionUid};
use bucket::Bucket;

/// What a subscription wants and where it goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Interest {
    /// The subscription.
    pub subscription: SubscriptionUid,
    /// Where its deliveries go.
    pub endpoint: EndpointUid,
    /// Which source it listens to.
    pub source: SourceUid,
    /// Whose it is.
    pub tenant: String,
    /// Any of these; none of them takes nothing.
    pub event_types: Vec<EventTypePattern>,
    /// And this, if there is one.
    pub filter: Option<Filter>,
}

impl Interest {
    /// Whether this subscription wants this event of `source`; the meaning
    /// that the index must agree with.
    #[must_use]
    pub fn wants(&self, source: SourceUid, document: &Document<'_>) -> bool {
        let head = document.head();
        self.source == source
            && head
                .tenant
                .as_ref()
                .is_none_or(|tenant| *tenant == self.tenant)
            && self
                .event_types
                .iter()
                .any(|pattern| pattern.matches(&head.event_type))
            && self
                .filter
                .as_ref()
                .is_none_or(|filter| filter.matches(document))
    }
}

/// Place of an interest in the index.
type Slot = u32;

/// All interests, filed by access predicates.
#[derive(Debug, Default)]
pub struct InterestIndex {
    interests: Vec<Option<Interest>>,
    free: Vec<Slot>,
    by_uid: HashMap<SubscriptionUid, Slot>,
    sources: HashMap<SourceUid, SourceIndex>,
    /// Candidates of the event in hand; kept for its memory.
    candidates: Vec<Slot>,
}

/// The interests in one source. The two ways of filing are built when first
/// used, and kept up from then on.
#[derive(Debug, Default)]
struct SourceIndex {
    members: Vec<Slot>,
    by_tenant: Option<HashMap<String, Bucket>>,
    shared: Option<Bucket>,
}

/// What one event found.
#[derive(Debug)]
pub struct Found<'a> {
    /// Who wants it, by rising subscription uid.
    pub interests: Vec<&'a Interest>,
    /// How many subscriptions were looked at to find them.
    pub candidates: usize,
}

impl InterestIndex {
    /// Adds an interest, in place of the same subscription's former one.
    pub fn insert(&mut self, interest: Interest) {
        self.remove(interest.subscription);
        let slot = self.free.pop().unwrap_or_else(|| {
            self.interests.push(None);
            Slot::try_from(self.interests.len() - 1)
                .expect("fewer than 2^32 subscriptions fit in memory")
        });
        self.by_uid.insert(interest.subscription, slot);
        self.sources
            .entry(interest.source)
            .or_default()
            .insert(slot, &interest);
        self.interests[slot as usize] = Some(interest);
    }

    /// Takes a subscription out. Returns what it wanted, if it was there.
    pub fn remove(&mut self, subscription: SubscriptionUid) -> Option<Interest> {
        let slot = self.by_uid.remove(&subscription)?;
        let interest = self.interests[slot as usize].take()?;
        self.free.push(slot);
        if let Some(source) = self.sources.get_mut(&interest.source) {
            source.remove(slot, &interest);
            if source.members.is_empty() {
                self.sources.remove(&interest.source);
            }
        }
        Some(interest)
    }

    /// How many subscriptions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_uid.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_uid.is_empty()
    }

    /// Who wants this event of `source`: exactly those whose
    /// [`Interest::wants`] says so.
    pub fn find(&mut self, source: SourceUid, document: &Document<'_>) -> Found<'_> {
        let candidates = &mut self.candidates;
        candidates.clear();
        if let Some(index) = self.sources.get_mut(&source) {
            index.collect(&self.interests, document, candidates);
        }
        candidates.sort_unstable();
        candidates.dedup();
        let mut interests: Vec<&Interest> = candidates
            .iter()
            .filter_map(|slot| self.interests[*slot as usize].as_ref())
            .filter(|interest| interest.wants(source, document))
            .collect();
        interests.sort_unstable_by_key(|interest| interest.subscription);
        Found {
            interests,
            candidates: candidates.len(),
        }
    }
}

impl SourceIndex {
    fn insert(&mut self, slot: Slot, interest: &Interest) {
        self.members.push(slot);
        if let Some(by_tenant) = &mut self.by_tenant {
            by_tenant
                .entry(interest.tenant.clone())
                .or_default()
                .insert(slot, interest);
        }
        if let Some(shared) = &mut self.shared {
            shared.insert(slot, interest);
        }
    }

    fn remove(&mut self, slot: Slot, interest: &Interest) {
        level::remove_slot(&mut self.members, slot);
        if let Some(by_tenant) = &mut self.by_tenant
            && let Some(bucket) = by_tenant.get_mut(&interest.tenant)
        {
            bucket.remove(slot, interest);
            if bucket.is_empty() {
                by_tenant.remove(&interest.tenant);
            }
        }
        if let Some(shared) = &mut self.shared {
            shared.remove(slot, interest);
        }
    }

    fn collect(&mut self, all: &[Option<Interest>], document: &Document<'_>, into: &mut Vec<Slot>) {
        let members = &self.members;
        let each = || {
            members
                .iter()
                .filter_map(|slot| Some((*slot, all[*slot as usize].as_ref()?)))
        };
        if let Some(tenant) = &document.head().tenant {
            let by_tenant = self.by_tenant.get_or_insert_with(|| {
                let mut built: HashMap<String, Bucket> = HashMap::new();
                for (slot, interest) in each() {
                    built
                        .entry(interest.tenant.clone())
                        .or_default()
                        .insert(slot, interest);
                }
                built
            });
            if let Some(bucket) = by_tenant.get(tenant) {
                bucket.collect(document, into);
            }
        } else {
            let shared = self.shared.get_or_insert_with(|| {
                let mut built = Bucket::default();
                each().for_each(|(slot, interest)| built.insert(slot, interest));
                built
            });
            shared.collect(document, into);
        }
    }
}

#[cfg(test)]
mod tests;
