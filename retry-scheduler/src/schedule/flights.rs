//! What was sent and not reported yet, or failed and waits for another try.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::{DelayPartition, Work};

/// Everything between a decision to write and the report of it. Bounded in
/// records and bytes by [`Flights::has_room`], which is asked before each.
#[derive(Debug)]
pub(super) struct Flights {
    /// By token; tokens are never used twice.
    sent: HashMap<usize, Work>,
    /// Failed, with the time of the next try: in its order, because all wait
    /// equally long.
    put_off: VecDeque<(Duration, Work)>,
    next_token: usize,
    bytes: usize,
    records_max: usize,
    bytes_max: usize,
}

impl Flights {
    pub(super) fn new(records_max: usize, bytes_max: usize) -> Self {
        Self {
            sent: HashMap::new(),
            put_off: VecDeque::new(),
            next_token: 0,
            bytes: 0,
            records_max,
            bytes_max,
        }
    }

    pub(super) fn start(&mut self, work: Work) -> usize {
        self.bytes += work.bytes();
        let token = self.next_token;
        self.next_token += 1;
        self.sent.insert(token, work);
        token
    }

    pub(super) fn land(&mut self, token: usize) -> Option<Work> {
        let work = self.sent.remove(&token)?;
        self.bytes -= work.bytes();
        Some(work)
    }

    #[cfg(test)]
    pub(super) fn of(&self, token: usize) -> Option<&Work> {
        self.sent.get(&token)
    }

    /// Records that may still be sent; bytes may stop it earlier.
    pub(super) fn room(&self) -> usize {
        let records = self.records_max.saturating_sub(self.sent.len());
        if self.bytes < self.bytes_max {
            records
        } else {
            0
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.room() > 0
    }

    pub(super) fn put_off(&mut self, work: Work, until: Duration) {
        self.put_off.push_back((until, work));
    }

    pub(super) fn put_off_until(&mut self, mono: Duration) -> Option<Work> {
        self.put_off
            .pop_front_if(|(at, _)| *at <= mono)
            .map(|(_, work)| work)
    }

    pub(super) fn next_put_off(&self) -> Option<Duration> {
        self.put_off.front().map(|(at, _)| *at)
    }

    pub(super) fn forget_put_off(&mut self, of: DelayPartition) {
        self.put_off.retain(|(_, work)| work.at != of);
    }

    /// Takes back what was not handed out yet; whether `token` was of `of`.
    pub(super) fn withdraw_from(&mut self, of: DelayPartition, token: usize) -> bool {
        let withdrawn = self.sent.get(&token).is_some_and(|work| work.at == of);
        if withdrawn {
            self.land(token);
        }
        withdrawn
    }

    pub(super) fn count(&self, of: DelayPartition) -> usize {
        self.sent.values().filter(|work| work.at == of).count()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.sent.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// All work that is not written: sent, and put off.
    pub(super) fn all(&self) -> impl Iterator<Item = &Work> {
        self.sent
            .values()
            .chain(self.put_off.iter().map(|(_, work)| work))
    }
}
