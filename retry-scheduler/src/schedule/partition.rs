//! One owned partition of a delay topic: what was read ahead, and what of it
//! is done.

use std::collections::VecDeque;

use hooklane_model::time::UnixMillis;
use hooklane_model::tracker::Tracker;

use super::limits::{QUEUE_BYTES_MAX, QUEUE_RECORDS_MAX, TRACKED_MAX};
use super::reading::Item;
use super::{Cargo, Control, DelayPartition, Now, RecordRead, Work};

/// A delivery that waits for its turn.
#[derive(Debug)]
pub(super) struct Waiting {
    offset: i64,
    /// From when on it can be done.
    pub(super) wake: UnixMillis,
    item: Item,
}

#[derive(Debug)]
pub(super) struct Partition {
    /// Tells work of this ownership from work of an earlier one.
    pub(super) claim: u64,
    pub(super) tracker: Tracker,
    /// Bounded by pausing at [`QUEUE_RECORDS_MAX`] and [`QUEUE_BYTES_MAX`];
    /// what the client hands out after that is one batch at most.
    pub(super) queue: VecDeque<Waiting>,
    queue_bytes: usize,
    pub(super) paused: bool,
    /// The record of a newer release that reading stopped at.
    pub(super) blocked_at: Option<i64>,
    /// Being given up: nothing more is started.
    pub(super) leaving: bool,
    /// Where reading started.
    pub(super) first: i64,
    /// The last watermark handed out to be committed.
    pub(super) committed: i64,
}

impl Partition {
    pub(super) fn new(claim: u64, next: i64) -> Self {
        Self {
            claim,
            tracker: Tracker::new(next),
            queue: VecDeque::new(),
            queue_bytes: 0,
            paused: false,
            blocked_at: None,
            leaving: false,
            first: next,
            committed: next,
        }
    }

    /// Queues the deliveries of a record.
    ///
    /// A delivery can be done when its rung has ended, or earlier when it is
    /// due before that: a rung may end a little late, and a broker's clock
    /// may be ahead. Neither makes those behind it wait longer. An append
    /// time in the future is a clock's error and counts as now.
    pub(super) fn enqueue(&mut self, read: &RecordRead, items: Vec<Item>, now: Now) {
        let ends = read.appended.min(now.wall).after(read.at.rung.wait());
        for item in items {
            self.queue_bytes += item.frame.len();
            let wake = ends.min(item.due);
            self.queue.push_back(Waiting {
                offset: read.offset,
                wake,
                item,
            });
        }
    }

    /// The head, if it can be done.
    pub(super) fn pop_due(&mut self, at: DelayPartition, wall: UnixMillis) -> Option<Work> {
        let Waiting { offset, wake, item } = self.queue.pop_front_if(|w| w.wake <= wall)?;
        self.queue_bytes -= item.frame.len();
        Some(Work {
            at,
            claim: self.claim,
            offset,
            wake,
            cargo: Cargo::Delivery(item),
        })
    }

    pub(super) fn clear_queue(&mut self) {
        self.queue.clear();
        self.queue_bytes = 0;
    }

    /// One delivery of `offset` is written.
    pub(super) fn finish(&mut self, offset: i64) {
        self.tracker
            .finish(offset)
            .expect("work is reported once, under the claim that opened its offset");
    }

    /// The watermark, if it was not handed out to be committed.
    pub(super) fn uncommitted(&self) -> Option<i64> {
        let watermark = self.tracker.watermark();
        (watermark > self.committed).then_some(watermark)
    }

    /// Whether reading must stop or may go on.
    pub(super) fn steer(&mut self, at: DelayPartition) -> Option<Control> {
        if self.leaving {
            return None;
        }
        let full = self.blocked_at.is_some()
            || self.queue.len() >= QUEUE_RECORDS_MAX
            || self.queue_bytes >= QUEUE_BYTES_MAX
            || self.tracker.len() >= TRACKED_MAX;
        // A quarter, so that a partition is not paused and resumed for every
        // record, and the next fetch is back before the queue runs dry.
        let low = self.queue.len() <= QUEUE_RECORDS_MAX / 4
            && self.queue_bytes <= QUEUE_BYTES_MAX / 4
            && self.tracker.len() <= TRACKED_MAX / 4 * 3;
        // A client that starts a partition anew forgets that it was paused.
        let far_over = self.queue.len() >= 2 * QUEUE_RECORDS_MAX;
        if full && (!self.paused || far_over) {
            self.paused = true;
            Some(Control::Pause(at))
        } else if self.paused && low && !full {
            self.paused = false;
            Some(Control::Resume(at))
        } else {
            None
        }
    }
}
