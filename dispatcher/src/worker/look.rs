//! Looking at the endpoints from time to time: snapshots for people, and the
//! metrics by endpoint.
//!
//! A worker may have a hundred thousand endpoints with work, and no request
//! may wait until all of them are looked at: each turn looks at a few, and a
//! sweep over all of them takes as long as it takes.

use std::ops::Range;
use std::time::Duration;

use hooklane_engine::{EndpointView, Mono, Now};

use super::Worker;
use crate::metrics::endpoints::Sum;

/// How long a sweep takes, if that costs little.
const SWEEP: Duration = Duration::from_secs(2);
/// At most this part of a worker's time goes into looking.
const SHARE: u32 = 100;
/// Slots looked at in one turn: well below a millisecond.
const SLOTS: usize = 500;

/// How far the sweep is, and when it goes on.
#[derive(Default)]
pub(super) struct Look {
    next: Mono,
    slot: usize,
    sum: Sum,
}

impl Look {
    pub(super) fn new(sum: Sum) -> Self {
        Self {
            sum,
            ..Self::default()
        }
    }

    /// What to look at now, if it is time to.
    fn part(&self, now: Mono, slots: usize) -> Option<Range<usize>> {
        (now >= self.next).then(|| self.slot..slots.min(self.slot + SLOTS))
    }

    /// A part was looked at. Returns whether the sweep is done.
    fn looked(&mut self, part: &Range<usize>, slots: usize, (began, ended): (Mono, Mono)) -> bool {
        let done = part.end >= slots;
        let every = if part.len() >= slots {
            SWEEP
        } else {
            SWEEP.mul_f64(to_f64(part.len()) / to_f64(slots))
        };
        self.next = ended.after(every.max(ended.since(began) * SHARE));
        self.slot = if done { 0 } else { part.end };
        done
    }
}

#[allow(clippy::cast_precision_loss, reason = "a part of a duration")]
fn to_f64(count: usize) -> f64 {
    count as f64
}

impl Worker {
    /// Looks at some endpoints with work, if it is time to and the client has
    /// room for what comes of it.
    pub(super) fn look(&mut self, now: Now) {
        let slots = self.core.slots();
        let Some(part) = self.look.part(now.mono, slots) else {
            return;
        };
        if self.stores.is_blocked() {
            return;
        }
        let metrics = &self.parts.metrics.endpoints;
        let views: Vec<EndpointView> = self.core.views(now, part.clone()).collect();
        let pass = self.snapshots.look_at(now, &views);
        metrics.deferred.add(pass.deferred as u64);
        for (endpoint, snapshot) in pass.writes {
            self.stores.push_snapshot(endpoint, snapshot.as_ref());
        }
        for view in &views {
            self.look.sum.add(view, now.wall);
        }
        let ended = self.attempts.clocks.mono();
        if self.look.looked(&part, slots, (now.mono, ended)) {
            self.snapshots.swept();
            let sum = std::mem::replace(&mut self.look.sum, metrics.sum());
            metrics.publish(self.parts.index, sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// The parts of one sweep, each taking `cost`, and when the last began.
    fn sweep(look: &mut Look, start: u64, slots: usize, cost: u64) -> (Vec<(usize, usize)>, u64) {
        let (mut now, mut parts) = (start, Vec::new());
        loop {
            let Some(part) = look.part(Mono(now), slots) else {
                now = look.next.0;
                continue;
            };
            let done = look.looked(&part, slots, (Mono(now), Mono(now + cost)));
            parts.push((part.start, part.end));
            if done {
                return (parts, now);
            }
        }
    }

    #[test]
    fn few_endpoints_are_looked_at_in_one_go_every_two_seconds() {
        let mut look = Look::default();
        assert_eq!(sweep(&mut look, 0, 0, 1), (vec![(0, 0)], 0));
        assert_eq!(look.next, Mono(2 * SECOND + 1));
        assert_eq!(
            sweep(&mut look, 0, 100, 1),
            (vec![(0, 100)], 2 * SECOND + 1)
        );
    }

    #[test]
    fn many_are_looked_at_in_parts_that_leave_none_out() {
        let mut look = Look::default();
        let (parts, last) = sweep(&mut look, 0, 1_999, 0);
        assert_eq!(
            parts,
            [(0, 500), (500, 1_000), (1_000, 1_500), (1_500, 1_999)]
        );
        assert!((SECOND..2 * SECOND).contains(&last), "spread: {last}");
        // Fewer than before: the sweep ends, and the next begins anew.
        look.slot = 1_500;
        assert_eq!(sweep(&mut look, 0, 1_000, 0).0, [(1_500, 1_000)]);
        assert_eq!(look.slot, 0);
    }

    #[test]
    fn looking_takes_a_hundredth_of_the_time_at_most() {
        let mut look = Look::default();
        let (_, last) = sweep(&mut look, 0, 1_000, SECOND);
        assert_eq!(last, 101 * SECOND);
    }
}
