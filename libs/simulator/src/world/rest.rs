//! No more events, edits and faults: everything must come to its end.

use std::time::Duration;

use hooklane_engine::Mono;

use super::World;
use crate::agenda::Happening;
use crate::process::State;

/// The longest maxAge of these worlds, and some rounds of the longest park.
const REST: Duration = Duration::from_secs(3 * 3_600);

impl World<'_> {
    /// Begins to rest: receivers recover, nothing is paused, everybody lives.
    pub(super) fn rest(&mut self) {
        self.resting = true;
        self.broker.slow = false;
        for lane in &mut self.broker.lanes {
            lane.upgrade();
        }
        let uids: Vec<_> = self.catalog.now.keys().copied().collect();
        for uid in uids {
            self.receivers
                .entry(uid)
                .or_insert_with(super::Receiver::new)
                .recover();
        }
        self.catalog.calm_down();
        self.tell_config();
        for place in 0..self.processes.len() {
            self.processes[place].cut_off = false;
            self.processes[place].wall_offset = 0;
            let who = self.processes[place].who;
            match self.processes[place].state {
                State::Running => {}
                State::Frozen => self.agenda.after(Duration::ZERO, Happening::Thaw(who)),
                State::Dead => self.agenda.after(Duration::ZERO, Happening::Restart(place)),
            }
        }
        let now = self.agenda.now();
        self.oracle.excused_until = now.after(Duration::from_secs(180));
        self.oracle.resting_since = Some(now);
    }

    fn ends_at(&self) -> Mono {
        self.oracle.resting_since.unwrap_or_default().after(REST)
    }

    /// Whether everything has ended, or has had the time to.
    pub(super) fn is_at_rest(&self) -> bool {
        if self.agenda.now() > self.ends_at() {
            return true;
        }
        self.oracle.lives.is_empty() && self.steps.is_multiple_of(256) && self.is_idle()
    }

    fn is_idle(&self) -> bool {
        let logs_are_read = self
            .broker
            .lanes
            .iter()
            .all(|lane| lane.committed == lane.end() || self.ends_with_gaps(lane));
        let cores_are_empty = self.processes.iter().all(|process| {
            process.state == State::Running
                && process.workers.iter().all(|worker| {
                    !worker.core.is_busy() && worker.core.gauges().endpoints_active == 0
                })
        });
        logs_are_read && self.broker.delayed.is_empty() && cores_are_empty
    }

    fn ends_with_gaps(&self, lane: &crate::broker::LaneLog) -> bool {
        (lane.committed..lane.end())
            .all(|offset| matches!(lane.get(offset), Some(crate::broker::Record::Gap)))
    }

    pub(super) fn check_rest(&mut self) {
        self.oracle.settled(&self.broker, self.poisoned);
        for process in &self.processes {
            for worker in &process.workers {
                self.oracle.empty(&worker.core);
            }
        }
    }
}
