//! The interests of one source, tenant and event type, by value.

use std::collections::HashMap;

use serde_json::Value;

use super::Slot;
use crate::filter::{DATA, Document, Equality, Scalar};

/// Each interest under the values of one equality, the rest in a list.
///
/// The values form a tree by path, walked together with the event: of the two
/// the smaller one leads, so that neither a large event nor ten thousand
/// different paths make one event dear.
#[derive(Debug, Default)]
pub(super) struct Level {
    root: Step,
    rest: Vec<Slot>,
}

#[derive(Debug, Default)]
struct Step {
    children: HashMap<String, Step>,
    texts: HashMap<String, Vec<Slot>>,
    others: HashMap<Scalar, Vec<Slot>>,
}

impl Level {
    /// Files under the equality that the fewest interests share so far, so
    /// that the customer's number wins over the country.
    pub(super) fn insert(&mut self, slot: Slot, equalities: &[Equality<'_>]) {
        let best = equalities
            .iter()
            .min_by_key(|equality| self.crowd(equality));
        let Some(best) = best else {
            add_slot(&mut self.rest, slot);
            return;
        };
        let mut step = &mut self.root;
        for name in &best.path {
            step = step.children.entry((*name).to_owned()).or_default();
        }
        for value in &best.values {
            let list = match value {
                Scalar::Text(text) => step.texts.entry(text.clone()).or_default(),
                other => step.others.entry((*other).clone()).or_default(),
            };
            add_slot(list, slot);
        }
    }

    /// How many interests stand where this equality would put one more, and
    /// at how many places it would stand.
    fn crowd(&self, equality: &Equality<'_>) -> (usize, usize) {
        let step = self.root.find(&equality.path);
        let standing = |value: &&Scalar| step.and_then(|step| step.list(value)).map_or(0, Vec::len);
        (
            equality.values.iter().map(standing).sum(),
            equality.values.len(),
        )
    }

    /// Looks everywhere that `insert` may have chosen: which equality was the
    /// most selective then is not kept.
    pub(super) fn remove(&mut self, slot: Slot, equalities: &[Equality<'_>]) {
        for equality in equalities {
            self.root.remove(slot, &equality.path, &equality.values);
        }
        if equalities.is_empty() {
            remove_slot(&mut self.rest, slot);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty() && self.root.is_empty()
    }

    pub(super) fn collect(&self, document: &Document<'_>, into: &mut Vec<Slot>) {
        into.extend_from_slice(&self.rest);
        let children = &self.root.children;
        if children.len() > document.attribute_count() {
            for (name, text) in document.attributes() {
                if let Some(step) = children.get(name) {
                    step.collect_text(text, into);
                }
            }
        } else {
            for (name, step) in children {
                if let Some(text) = document.attribute(name) {
                    step.collect_text(text, into);
                }
            }
        }
        if let Some(step) = children.get(DATA)
            && let Some(data) = document.data()
        {
            step.collect(data, into);
        }
    }
}

impl Step {
    fn find(&self, path: &[&str]) -> Option<&Self> {
        path.iter()
            .try_fold(self, |step, name| step.children.get(*name))
    }

    fn list(&self, value: &Scalar) -> Option<&Vec<Slot>> {
        match value {
            Scalar::Text(text) => self.texts.get(text),
            other => self.others.get(other),
        }
    }

    fn is_empty(&self) -> bool {
        self.children.is_empty() && self.texts.is_empty() && self.others.is_empty()
    }

    /// Removes, and prunes what became empty on the way.
    fn remove(&mut self, slot: Slot, path: &[&str], values: &[&Scalar]) {
        if let [name, rest @ ..] = path {
            if let Some(child) = self.children.get_mut(*name) {
                child.remove(slot, rest, values);
                if child.is_empty() {
                    self.children.remove(*name);
                }
            }
            return;
        }
        for value in values {
            match value {
                Scalar::Text(text) => {
                    if self
                        .texts
                        .get_mut(text)
                        .is_some_and(|list| remove_slot(list, slot))
                    {
                        self.texts.remove(text);
                    }
                }
                other => {
                    if self
                        .others
                        .get_mut(*other)
                        .is_some_and(|list| remove_slot(list, slot))
                    {
                        self.others.remove(*other);
                    }
                }
            }
        }
    }

    fn collect(&self, value: &Value, into: &mut Vec<Slot>) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.collect(item, into)),
            Value::Object(map) if map.len() < self.children.len() => {
                for (name, value) in map {
                    if let Some(step) = self.children.get(name) {
                        step.collect(value, into);
                    }
                }
            }
            Value::Object(map) => {
                for (name, step) in &self.children {
                    if let Some(value) = map.get(name) {
                        step.collect(value, into);
                    }
                }
            }
            Value::String(text) => self.collect_text(text, into),
            scalar if !self.others.is_empty() => {
                let list = Scalar::of(scalar).and_then(|scalar| self.others.get(&scalar));
                into.extend(list.into_iter().flatten());
            }
            _ => {}
        }
    }

    fn collect_text(&self, text: &str, into: &mut Vec<Slot>) {
        into.extend(self.texts.get(text).into_iter().flatten());
    }
}

/// Adds a slot; a value named twice by one filter files it once. An interest
/// is filed in one go, so only the last one can be the same.
fn add_slot(list: &mut Vec<Slot>, slot: Slot) {
    if list.last() != Some(&slot) {
        list.push(slot);
    }
}

/// Removes a slot; the order of a list means nothing. Returns whether it is
/// empty now.
pub(super) fn remove_slot(list: &mut Vec<Slot>, slot: Slot) -> bool {
    if let Some(at) = list.iter().position(|other| *other == slot) {
        list.swap_remove(at);
    }
    list.is_empty()
}
