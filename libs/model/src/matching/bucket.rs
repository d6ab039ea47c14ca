//! The interests of one source and tenant, by event type.

use std::collections::HashMap;

use super::level::Level;
use super::{Interest, Slot};
use crate::filter::limit::TEXT_MAX;
use crate::filter::{Document, EventTypePattern, EventTypeShape};

/// Exact types, prefixes that end at a `.`, and what takes every type. An
/// event looks up its type, each prefix of it that ends at a `.`, and the
/// last: as many look-ups as it has segments, whatever is filed here.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    exact: HashMap<String, Level>,
    below: HashMap<String, Level>,
    any: Level,
}

impl Bucket {
    /// Files under each of the interest's patterns.
    pub(super) fn insert(&mut self, slot: Slot, interest: &Interest) {
        let equalities = interest
            .filter
            .as_ref()
            .map_or_else(Vec::new, |f| f.equalities());
        for pattern in &interest.event_types {
            let level = match pattern.shape() {
                EventTypeShape::Exact(own) => self.exact.entry(own.clone()).or_default(),
                EventTypeShape::Below(prefix) => self.below.entry(prefix.clone()).or_default(),
                EventTypeShape::Any => &mut self.any,
            };
            level.insert(slot, &equalities);
        }
    }

    /// Takes out of wherever `insert` filed it.
    pub(super) fn remove(&mut self, slot: Slot, interest: &Interest) {
        let equalities = interest
            .filter
            .as_ref()
            .map_or_else(Vec::new, |f| f.equalities());
        for pattern in &interest.event_types {
            if let Some(level) = self.level(pattern) {
                level.remove(slot, &equalities);
                if level.is_empty() {
                    self.drop_level(pattern);
                }
            }
        }
    }

    fn level(&mut self, pattern: &EventTypePattern) -> Option<&mut Level> {
        match pattern.shape() {
            EventTypeShape::Exact(own) => self.exact.get_mut(own),
            EventTypeShape::Below(prefix) => self.below.get_mut(prefix),
            EventTypeShape::Any => Some(&mut self.any),
        }
    }

    fn drop_level(&mut self, pattern: &EventTypePattern) {
        match pattern.shape() {
            EventTypeShape::Exact(own) => self.exact.remove(own),
            EventTypeShape::Below(prefix) => self.below.remove(prefix),
            EventTypeShape::Any => None,
        };
    }

    pub(super) fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.below.is_empty() && self.any.is_empty()
    }

    /// Adds all slots whose access predicate the event meets; some may come
    /// more than once.
    pub(super) fn collect(&self, document: &Document<'_>, into: &mut Vec<Slot>) {
        let event_type = document.head().event_type.as_str();
        if let Some(level) = self.exact.get(event_type) {
            level.collect(document, into);
        }
        if !self.below.is_empty() {
            // No prefix is longer, so a hostile type cannot make us hash more.
            let dots = event_type
                .bytes()
                .take(TEXT_MAX)
                .enumerate()
                .filter(|(_, b)| *b == b'.');
            for (at, _) in dots {
                if let Some(level) = self.below.get(&event_type[..=at]) {
                    level.collect(document, into);
                }
            }
        }
        self.any.collect(document, into);
    }
}
