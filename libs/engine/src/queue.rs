//! What an endpoint has waiting in memory, in order of arrival.

use std::collections::VecDeque;

/// Which turns a delivery takes part in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Its event went to few endpoints.
    Narrow,
    /// Its event went to many endpoints at once.
    Wide,
}

/// Slots of deliveries that may start as soon as the limits allow.
///
/// Bounded by the endpoint's room: see `EndpointState::queue_room`.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    entries: VecDeque<(u32, Class)>,
    narrow: usize,
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn front(&self) -> Option<usize> {
        self.entries.front().map(|(slot, _)| *slot as usize)
    }

    /// The turns the endpoint takes part in: those of wide events only while
    /// nothing else waits.
    pub(crate) fn class(&self) -> Class {
        if self.narrow > 0 {
            Class::Narrow
        } else {
            Class::Wide
        }
    }

    /// Puts a delivery behind all but those that are `later`: one that waited
    /// for its next attempt in memory has less time left than what came
    /// meanwhile, and the time of the first in line is the one that is watched.
    pub(crate) fn push(&mut self, slot: usize, class: Class, later: impl Fn(usize) -> bool) {
        let before = (self.entries.iter()).rposition(|(other, _)| !later(*other as usize));
        let at = before.map_or(0, |at| at + 1);
        self.entries.insert(at, (short(slot), class));
        self.narrow += usize::from(class == Class::Narrow);
    }

    pub(crate) fn push_front(&mut self, slot: usize, class: Class) {
        self.entries.push_front((short(slot), class));
        self.narrow += usize::from(class == Class::Narrow);
    }

    pub(crate) fn pop_front(&mut self) -> Option<usize> {
        let (slot, class) = self.entries.pop_front()?;
        self.narrow -= usize::from(class == Class::Narrow);
        Some(slot as usize)
    }

    /// The one that came last.
    pub(crate) fn back(&self) -> Option<usize> {
        self.entries.back().map(|(slot, _)| *slot as usize)
    }

    pub(crate) fn pop_back(&mut self) -> Option<usize> {
        let (slot, class) = self.entries.pop_back()?;
        self.narrow -= usize::from(class == Class::Narrow);
        Some(slot as usize)
    }

    /// Empties it.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = usize> + use<> {
        let entries = std::mem::take(self).entries;
        entries.into_iter().map(|(slot, _)| slot as usize)
    }
}

fn short(slot: usize) -> u32 {
    u32::try_from(slot).expect("the byte budget bounds the table far below 2^32")
}
