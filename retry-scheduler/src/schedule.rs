//! The scheduler's decisions, without IO.
//!
//! [`Schedule`] is told what happened (a record was read, a produce was
//! reported, time passed, partitions came or went) and says what to do:
//! [`Produce`] a record to a lane, a rung or the poison topic, and [`Control`]
//! the reading (pause, resume, commit). It holds no clock, thread or Kafka
//! type, so that a simulation drives exactly the code that runs in production.
//!
//! **Reading ahead.** Every record of a rung waits equally long after its
//! append, so a partition is first in, first out, and a head that must wait
//! holds back nothing that must not. Records behind the head are kept in a
//! short queue; a partition is paused when its queue is full and resumed when
//! it is nearly empty. Pausing at every head that is not due would throw the
//! client's prefetched records away once per gap; pausing at a full queue
//! throws them away once per [`QUEUE_RECORDS_MAX`] records, and partitions
//! with less than that are never paused.
//!
//! **Invariants**
//! - A record goes to a lane only when its due time has come on this
//!   process's clock: one function decides it, at the moment of sending.
//! - A rung's record that must still wait is written on, to another rung or to
//!   the tail, and never waits in memory: so what is done in a rung is
//!   committed at once, and a crash repeats only what was done since. The
//!   tail alone is finished out of order, within its 15 seconds.
//! - An offset is below the watermark only if every delivery of every record
//!   below it has been reported as written.
//! - Work carries the claim under which its record was read; what is reported
//!   after a partition was given away changes nothing.

mod action;
mod flights;
mod limits;
mod partition;
mod reading;
mod snapshot;
mod tail;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use hooklane_model::ladder::{Hop, Rung, next_hop};
use hooklane_model::lane::lane_of;
use hooklane_model::time::UnixMillis;

pub use self::action::{Control, DelayPartition, Destination, Failure, Note, Produce, RecordRead};
use self::flights::Flights;
use self::limits::{COMMIT_AFTER, COMMIT_EVERY, RETRY_PRODUCE_AFTER, SKEW_MAX};
pub use self::limits::{Layout, Limits, Now, QUEUE_BYTES_MAX, QUEUE_RECORDS_MAX};
use self::partition::Partition;
use self::reading::{Item, Reading};
pub use self::snapshot::{RungState, Snapshot};
use self::tail::Tail;

/// Rare events since the start, for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Records that took the 15 s rung because the tail was full.
    pub tail_overflows: u64,
    /// Records whose rung ended just before their due time, by the skew of
    /// the clocks: they wait on.
    pub rewaits: u64,
    /// Records read a second time under one claim, and ignored.
    pub repeats: u64,
}

/// Work that has left its queue and is not written yet.
#[derive(Clone, Debug)]
struct Work {
    at: DelayPartition,
    claim: u64,
    offset: i64,
    /// From when on it could be done.
    wake: UnixMillis,
    cargo: Cargo,
}

#[derive(Clone, Debug)]
enum Cargo {
    Delivery(Item),
    Note {
        first: i64,
        note: Note,
        value: Option<Bytes>,
    },
}

impl Work {
    fn bytes(&self) -> usize {
        match &self.cargo {
            Cargo::Delivery(item) => item.frame.len(),
            Cargo::Note { value, .. } => value.as_ref().map_or(0, Bytes::len),
        }
    }
}

/// The scheduler's state: see the module.
#[derive(Debug)]
pub struct Schedule {
    layout: Layout,
    limits: Limits,
    partitions: BTreeMap<DelayPartition, Partition>,
    tail: Tail,
    flights: Flights,
    /// Decided and not taken yet; each is in `flights`, which bounds it.
    produces: VecDeque<Produce>,
    /// Decided and not taken yet: at most three per partition and tick.
    controls: VecDeque<Control>,
    claims: u64,
    /// Partition that is served first next time, when not all can be.
    turn: usize,
    committed_at: Duration,
    written: usize,
    tally: Tally,
}

impl Schedule {
    /// A schedule that owns no partition.
    #[must_use]
    pub fn new(layout: Layout, limits: Limits) -> Self {
        Self {
            layout,
            tail: Tail::new(limits.tail_entries, limits.tail_bytes),
            flights: Flights::new(limits.flights, limits.flight_bytes),
            limits,
            partitions: BTreeMap::new(),
            produces: VecDeque::new(),
            controls: VecDeque::new(),
            claims: 0,
            turn: 0,
            committed_at: Duration::ZERO,
            written: 0,
            tally: Tally::default(),
        }
    }

    /// What it may hold in memory.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// A partition is ours; reading starts at `next`.
    pub fn assign(&mut self, at: DelayPartition, next: i64) {
        self.forget(at);
        self.claims += 1;
        self.partitions
            .insert(at, Partition::new(self.claims, next));
    }

    /// Retention took `from..until` before it was read: a note says so, and
    /// only when that is written the range counts as done.
    pub fn lost(&mut self, at: DelayPartition, from: i64, until: i64, now: Now) {
        let Some(partition) = self.partitions.get_mut(&at) else {
            return;
        };
        if partition.tracker.open(until - 1, 1).is_err() {
            // The range ends at or below what was read: nothing is missing.
            return;
        }
        let claim = partition.claim;
        let cargo = Cargo::Note {
            first: from,
            note: Note::Lost { until },
            value: None,
        };
        self.settle(
            Work {
                at,
                claim,
                offset: until - 1,
                wake: now.wall,
                cargo,
            },
            now,
        );
    }

    /// A record was read.
    pub fn record(&mut self, read: &RecordRead, now: Now) {
        let Some(partition) = self.partitions.get_mut(&read.at) else {
            return;
        };
        if partition.leaving || partition.blocked_at.is_some() {
            // Not tracked, so below no watermark: the next owner reads it.
            return;
        }
        let parsed = reading::read(read.value.as_ref());
        let parts = match &parsed {
            Reading::Deliveries(items) => u32::try_from(items.len()).unwrap_or(u32::MAX),
            Reading::Newer(_) | Reading::Unreadable(_) => 1,
        };
        if partition.tracker.open(read.offset, parts).is_err() {
            self.tally.repeats += 1;
            return;
        }
        let claim = partition.claim;
        match parsed {
            Reading::Deliveries(items) => partition.enqueue(read, items, now),
            // It stays open, so the watermark stays below it, and a release
            // that can read it starts here.
            Reading::Newer(reason) => {
                partition.blocked_at = Some(read.offset);
                let (at, offset) = (read.at, read.offset);
                self.controls
                    .push_back(Control::Blocked { at, offset, reason });
            }
            Reading::Unreadable(reason) => {
                let (at, offset, value) = (read.at, read.offset, read.value.clone());
                let cargo = Cargo::Note {
                    first: offset,
                    note: Note::Poison(reason),
                    value,
                };
                self.settle(
                    Work {
                        at,
                        claim,
                        offset,
                        wake: now.wall,
                        cargo,
                    },
                    now,
                );
            }
        }
        self.steer(read.at);
    }

    /// What became of a [`Produce`].
    pub fn reported(&mut self, token: usize, result: Result<(), Failure>, now: Now) {
        let Some(mut work) = self.flights.land(token) else {
            return;
        };
        let owned = self
            .partitions
            .get_mut(&work.at)
            .filter(|p| p.claim == work.claim);
        let Some(partition) = owned else { return };
        match result {
            Ok(()) => {
                partition.finish(work.offset);
                self.written += 1;
            }
            // Whoever owns the partition next reads it again.
            Err(_) if partition.leaving => {}
            Err(failure) => {
                if let (Failure::TooLarge, Cargo::Delivery(item)) = (failure, &work.cargo) {
                    let reason = "larger than the topic it must go to allows".to_owned();
                    let (note, value) = (Note::Poison(reason), Some(item.frame.clone()));
                    work.cargo = Cargo::Note {
                        first: work.offset,
                        note,
                        value,
                    };
                }
                self.flights.put_off(work, now.mono + RETRY_PRODUCE_AFTER);
            }
        }
    }

    /// Does what the time has come for. To be called after every batch of
    /// other calls, and when [`Schedule::next_wake`] has passed.
    pub fn tick(&mut self, now: Now) {
        while self.flights.has_room()
            && let Some(work) = self.flights.put_off_until(now.mono)
        {
            self.settle(work, now);
        }
        // Half of what may be sent is for the tail, so that neither it nor
        // the rungs can starve the other when there is more than can be sent.
        self.drain_tail(now, self.flights.room().div_ceil(2));
        self.drain_queues(now);
        self.drain_tail(now, usize::MAX);
        self.commit_when_due(now);
    }

    /// How long nothing has to be done, unless something happens.
    #[must_use]
    pub fn next_wake(&self, now: Now) -> Option<Duration> {
        let heads = self
            .partitions
            .values()
            .filter_map(|p| p.queue.front())
            .map(|w| w.wake);
        let due = heads.chain(self.tail.next_due()).min();
        let due = due
            .filter(|_| self.flights.has_room())
            .map(|due| due.since(now.wall));
        let again = self
            .flights
            .next_put_off()
            .filter(|_| self.flights.has_room())
            .map(|at| at.saturating_sub(now.mono));
        let commit =
            (self.written > 0).then(|| (self.committed_at + COMMIT_EVERY).saturating_sub(now.mono));
        [due, again, commit].into_iter().flatten().min()
    }

    /// The next record to write.
    pub fn take_produce(&mut self) -> Option<Produce> {
        self.produces.pop_front()
    }

    /// The next control of the reading.
    pub fn take_control(&mut self) -> Option<Control> {
        self.controls.pop_front()
    }

    /// A commit failed: the watermarks are committed again with the next one.
    pub fn commit_failed(&mut self) {
        for partition in self.partitions.values_mut() {
            partition.committed = partition.first;
        }
        self.written = self.written.max(1);
    }

    /// A partition must be given up: nothing more of it is started, and what
    /// waits in memory is forgotten. What is already sent may still be
    /// reported: see [`Schedule::open_flights`].
    pub fn leave(&mut self, at: DelayPartition) {
        let Some(partition) = self.partitions.get_mut(&at) else {
            return;
        };
        partition.leaving = true;
        partition.clear_queue();
        self.tail.remove(at);
        self.flights.forget_put_off(at);
        let flights = &mut self.flights;
        self.produces
            .retain(|produce| !flights.withdraw_from(at, produce.token));
    }

    /// Records of `at` that are sent and not reported yet.
    #[must_use]
    pub fn open_flights(&self, at: DelayPartition) -> usize {
        self.flights.count(at)
    }

    /// Whether any record is sent and not reported yet.
    #[must_use]
    pub fn has_flights(&self) -> bool {
        !self.flights.is_empty()
    }

    /// The partition is given up. Returns its watermark when it has moved
    /// since the last commit; reports that still come are inert.
    pub fn release(&mut self, at: DelayPartition) -> Option<i64> {
        self.leave(at);
        let partition = self.partitions.remove(&at)?;
        partition.uncommitted()
    }

    /// The partition was taken away: somebody else may own it already.
    pub fn forget(&mut self, at: DelayPartition) {
        self.leave(at);
        self.partitions.remove(&at);
    }

    /// The partitions owned.
    pub fn owned(&self) -> impl Iterator<Item = DelayPartition> + '_ {
        self.partitions.keys().copied()
    }

    /// Rare events since the start.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally
    }

    fn drain_tail(&mut self, now: Now, at_most: usize) {
        for _ in 0..at_most {
            if !self.flights.has_room() {
                return;
            }
            let Some(work) = self.tail.pop_due(now.wall) else {
                return;
            };
            self.settle(work, now);
        }
    }

    fn drain_queues(&mut self, now: Now) {
        let mut order: Vec<DelayPartition> = self.partitions.keys().copied().collect();
        if order.is_empty() {
            return;
        }
        let first = self.turn % order.len();
        order.rotate_left(first);
        for at in order {
            while self.flights.has_room() {
                let Some(partition) = self.partitions.get_mut(&at) else {
                    break;
                };
                let Some(work) = partition.pop_due(at, now.wall) else {
                    break;
                };
                self.settle(work, now);
            }
            self.steer(at);
        }
        self.turn = self.turn.wrapping_add(1);
    }

    /// Sends one delivery or note where it belongs now. The only place where
    /// a record is found due.
    fn settle(&mut self, work: Work, now: Now) {
        let item = match &work.cargo {
            Cargo::Delivery(item) => item,
            Cargo::Note { first, note, .. } => {
                let (at, offset, note) = (work.at, *first, note.clone());
                return self.send(work, Destination::Poison { at, offset, note });
            }
        };
        let from = work.at.rung;
        match next_hop(now.wall, item.delayed_at, item.due) {
            Hop::Release => {
                let lane = lane_of(item.endpoint, self.layout.lanes);
                let late = now.wall.since(item.due);
                self.send(work, Destination::Lane { lane, from, late });
            }
            Hop::Wait(Rung::Tail) if from == Rung::Tail => {
                let (due, to) = (item.due, self.rung(from, Rung::S15, item));
                if let Err(refused) = self.tail.push(due, work) {
                    self.tally.tail_overflows += 1;
                    self.send(refused, to);
                }
            }
            Hop::Wait(rung) => {
                if rung == Rung::Tail && item.due.since(now.wall) < SKEW_MAX {
                    self.tally.rewaits += 1;
                }
                let to = self.rung(from, rung, item);
                self.send(work, to);
            }
        }
    }

    fn rung(&self, from: Rung, to: Rung, item: &Item) -> Destination {
        let partitions = self.layout.rungs[to as usize];
        let partition = lane_of(item.endpoint, partitions).partition();
        Destination::Rung {
            from,
            to,
            partition,
        }
    }

    fn send(&mut self, work: Work, to: Destination) {
        let value = match &work.cargo {
            Cargo::Delivery(item) => Some(item.frame.clone()),
            Cargo::Note { value, .. } => value.clone(),
        };
        let token = self.flights.start(work);
        self.produces.push_back(Produce { token, to, value });
    }

    /// Pauses or resumes a partition by how full it is.
    fn steer(&mut self, at: DelayPartition) {
        if let Some(partition) = self.partitions.get_mut(&at) {
            self.controls.extend(partition.steer(at));
        }
    }

    fn commit_when_due(&mut self, now: Now) {
        let waited = now.mono.saturating_sub(self.committed_at) >= COMMIT_EVERY;
        if self.written == 0 || !(waited || self.written >= COMMIT_AFTER) {
            return;
        }
        self.written = 0;
        self.committed_at = now.mono;
        let mut moved = Vec::new();
        for (at, partition) in &mut self.partitions {
            if let Some(offset) = partition.uncommitted().filter(|_| !partition.leaving) {
                partition.committed = offset;
                moved.push((*at, offset));
            }
        }
        if !moved.is_empty() {
            self.controls.push_back(Control::Commit(moved));
        }
    }
}
