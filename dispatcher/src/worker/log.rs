//! The attempts log: many attempts in one record.
//!
//! A record costs the client and the broker about the same whatever is in it,
//! and an attempt is a few hundred bytes; written one by one, the log cost as
//! much as the requests. So attempts are gathered for each partition of the
//! topic, until a record is full or old. The record is acked as one, and with
//! it everything in it.

use std::collections::HashMap;
use std::num::NonZeroU16;
use std::time::Duration;

use hooklane_engine::{AttemptEntry, Mono, WorkId};
use hooklane_model::lane::stable_hash;

use crate::records;

/// The most attempts in a record: what fits into [`BYTES_MAX`] as a rule.
const ENTRIES_MAX: usize = 128;
/// Bytes beyond which a record takes no more attempts. One attempt alone may
/// be larger: an event's id and source are as long as its producer likes.
const BYTES_MAX: usize = 64 << 10;
/// How long an attempt waits for others. Deliveries are settled that much
/// later, which holds nobody back but the watermark: with the commit's 500 ms
/// and its ack it stays below the second that a crash may repeat. Shorter would
/// be dear: each record is a request of its own, for which the client looks
/// through all its partitions, and the endpoints of a busy process lie in all
/// partitions of the log.
const LINGER: Duration = Duration::from_millis(100);

/// A record of the log, ready to be sent.
pub(super) struct Batch {
    partition: u16,
    /// A JSON array.
    value: Vec<u8>,
    /// Under which its report is found; `None` if nobody waits for it.
    number: Option<u32>,
}

impl Batch {
    pub(super) fn partition(&self) -> u16 {
        self.partition
    }

    pub(super) fn value(&self) -> &[u8] {
        &self.value
    }

    pub(super) fn number(&self) -> Option<u32> {
        self.number
    }
}

/// A record that still takes attempts.
#[derive(Default)]
struct Open {
    /// The array without its end.
    value: Vec<u8>,
    entries: usize,
    /// The deliveries that are settled by it.
    settles: Vec<WorkId>,
}

/// The attempts log of one worker.
pub(super) struct AttemptsLog {
    /// By partition.
    open: Vec<Open>,
    /// When the oldest attempt in an open record was added.
    since: Option<Mono>,
    /// What is settled by the records on their way. Bounded by the deliveries
    /// in memory: each is in one record.
    on_their_way: HashMap<u32, Vec<WorkId>>,
    next_number: u32,
    /// Emptied buffers, to be filled again; at most one for each partition.
    spare: Vec<Vec<u8>>,
}

impl AttemptsLog {
    pub(super) fn new(partitions: NonZeroU16) -> Self {
        Self {
            open: (0..partitions.get()).map(|_| Open::default()).collect(),
            since: None,
            on_their_way: HashMap::new(),
            next_number: 0,
            spare: Vec::new(),
        }
    }

    /// Adds an attempt. Returns the records that are complete by that.
    pub(super) fn add(
        &mut self,
        entry: &AttemptEntry,
        now: Mono,
    ) -> impl Iterator<Item = Batch> + use<> {
        // The partition is the one that the endpoint's uid as a key would
        // have: one endpoint, one partition, one order.
        let key = stable_hash(entry.endpoint.uid().text().as_bytes());
        let partition = usize::try_from(key % self.open.len() as u64).unwrap_or(0);
        let open = &mut self.open[partition];
        if open.value.capacity() == 0 {
            open.value = self.spare.pop().unwrap_or_default();
        }
        let begun = open.value.len();
        open.value.push(if begun == 0 { b'[' } else { b',' });
        records::attempt(entry, &mut open.value);
        let mut complete = [None, None];
        if begun > 0 && open.value.len() > BYTES_MAX {
            // One too many: it begins the next record.
            let rest = open.value.split_off(begun + 1);
            open.value.truncate(begun);
            complete[0] = self.close_one(partition);
            let open = &mut self.open[partition];
            open.value.push(b'[');
            open.value.extend_from_slice(&rest);
        }
        let open = &mut self.open[partition];
        open.entries += 1;
        if entry.terminal {
            open.settles.push(entry.work);
        }
        if open.entries >= ENTRIES_MAX || open.value.len() > BYTES_MAX {
            complete[1] = self.close_one(partition);
        } else {
            self.since.get_or_insert(now);
        }
        complete.into_iter().flatten()
    }

    /// Whether attempts wait for others.
    pub(super) fn is_open(&self) -> bool {
        self.since.is_some()
    }

    /// Whether the oldest has waited long enough.
    pub(super) fn is_ripe(&self, now: Mono) -> bool {
        self.since.is_some_and(|since| now.since(since) >= LINGER)
    }

    /// Completes all open records.
    pub(super) fn close(&mut self) -> impl Iterator<Item = Batch> + '_ {
        self.since = None;
        (0..self.open.len()).filter_map(|partition| self.close_one(partition))
    }

    fn close_one(&mut self, partition: usize) -> Option<Batch> {
        let open = std::mem::take(&mut self.open[partition]);
        if open.value.is_empty() {
            return None;
        }
        let mut value = open.value;
        value.push(b']');
        let number = (!open.settles.is_empty()).then(|| {
            let number = self.next_number;
            self.next_number = number.wrapping_add(1);
            self.on_their_way.insert(number, open.settles);
            number
        });
        Some(Batch {
            partition: u16::try_from(partition).expect("made from a u16"),
            value,
            number,
        })
    }

    /// Takes the buffer of a record that the client has copied.
    pub(super) fn sent(&mut self, batch: Batch) {
        let mut value = batch.value;
        if self.spare.len() < self.open.len() && value.capacity() <= 2 * BYTES_MAX {
            value.clear();
            self.spare.push(value);
        }
    }

    /// The deliveries that a record settles, now that it is durable.
    pub(super) fn acked(&mut self, number: u32) -> Vec<WorkId> {
        self.on_their_way.remove(&number).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
