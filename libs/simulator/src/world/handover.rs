//! Lanes coming and going.

use std::collections::BTreeSet;
use std::time::Duration;

use hooklane_engine::{Epoch, Event, Mono};
use hooklane_model::lane::Lane;

use super::World;
use crate::agenda::{Happening, Noticed, Who};
use crate::process::{Drain, Owned};

/// How long a lane that is taken may finish its requests.
const DRAIN: Duration = Duration::from_secs(3);
/// How long after that the workers' answers may take.
const SETTLE: Duration = Duration::from_secs(2);

impl World<'_> {
    pub(super) fn join(&mut self, who: Who) {
        if !self.is_alive(who) {
            return;
        }
        if self.processes[who.place].cut_off || self.processes[who.place].member.is_some() {
            return self
                .agenda
                .after(Duration::from_secs(1), Happening::Join(who));
        }
        let member = self.group.join(self.agenda.now());
        self.processes[who.place].member = Some(member);
        self.note(Some(who), "joins", (None, None), 0);
        self.notice(who, Duration::from_millis(10), Noticed::Heartbeat);
    }

    /// A heartbeat's answer tells what the group wants.
    pub(super) fn heartbeat(&mut self, who: Who) {
        let now = self.agenda.now();
        let process = &self.processes[who.place];
        let Some(member) = process.member else { return };
        let pause = self.millis(200, 3_000);
        self.notice(who, pause, Noticed::Heartbeat);
        let process = &self.processes[who.place];
        if process.cut_off {
            return;
        }
        let is_member = self.group.hear(member, now);
        if process.drain.is_some() {
            return;
        }
        if !is_member {
            return self.lose(who);
        }
        let (keep, leave) = self.group.of(member);
        let process = &self.processes[who.place];
        let leaving: Vec<Lane> = if process.stopping {
            process.lanes.keys().copied().collect()
        } else {
            leave
                .iter()
                .copied()
                .filter(|lane| process.lanes.contains_key(lane))
                .collect()
        };
        let unheard: Vec<Lane> = leave
            .iter()
            .copied()
            .filter(|lane| !process.lanes.contains_key(lane))
            .collect();
        let stopping = process.stopping;
        for lane in unheard {
            self.group.free(member, lane);
        }
        if !leaving.is_empty() || stopping {
            return self.drain(who, leaving, false);
        }
        for lane in keep {
            if !self.processes[who.place].lanes.contains_key(&lane) {
                self.assign(who, lane);
            }
        }
    }

    /// The group gave its lanes away: it lets them go at once, and joins anew.
    fn lose(&mut self, who: Who) {
        self.note(Some(who), "finds itself expelled", (None, None), 0);
        let process = &mut self.processes[who.place];
        process.member = None;
        process.lease_until = Mono(0);
        let lanes = process.lanes.keys().copied().collect();
        self.drain(who, lanes, true);
        self.agenda
            .after(Duration::from_millis(100), Happening::Join(who));
    }

    /// A lane was given to a process: it reads from the committed offset.
    pub(super) fn assign(&mut self, who: Who, lane: Lane) {
        let next = self.broker.lane(lane).committed;
        let process = &mut self.processes[who.place];
        let epoch = Epoch(process.next_epoch);
        process.next_epoch += 1;
        process.lanes.insert(
            lane,
            Owned {
                epoch,
                next,
                committed: next,
            },
        );
        let worker = process.worker_of(lane);
        self.oracle
            .let_go(&self.processes[who.place], &self.plan, lane);
        self.note(Some(who), "owns lane", (None, None), i64::from(lane.0));
        self.feed(who, worker, Event::LaneAssigned { lane, epoch, next });
        // The answer begins the lease: nothing is sent before it.
        self.commit(who);
    }

    /// Gives lanes up: workers stop starting and finish what is open.
    pub(super) fn drain(&mut self, who: Who, lanes: Vec<Lane>, lost: bool) {
        let now = self.agenda.now();
        let wait = if lost { Duration::ZERO } else { DRAIN };
        let deadline = now.after(wait);
        let process = &mut self.processes[who.place];
        process.drains += 1;
        let number = process.drains;
        let open: BTreeSet<Lane> = lanes.iter().copied().collect();
        process.lanes.retain(|lane, _| !open.contains(lane));
        process.drain = Some(Drain {
            number,
            open,
            released: Vec::new(),
            lanes: lanes.clone(),
            lost,
            committing: false,
        });
        self.notice(who, wait + SETTLE, Noticed::DrainEnds(number));
        if lanes.is_empty() {
            self.notice(who, Duration::ZERO, Noticed::DrainEnds(number));
        }
        for lane in lanes {
            self.note(Some(who), "gives up lane", (None, None), i64::from(lane.0));
            let worker = self.processes[who.place].worker_of(lane);
            self.feed(who, worker, Event::LaneRevoked { lane, deadline });
        }
    }

    /// All is let go, or it was waited long enough: the offsets are committed.
    pub(super) fn drain_ends(&mut self, who: Who, number: u64) {
        let sent = self.agenda.now();
        let process = &mut self.processes[who.place];
        let member = process.member;
        let Some(drain) = process
            .drain
            .as_mut()
            .filter(|d| d.number == number && !d.committing)
        else {
            return;
        };
        drain.committing = true;
        let offsets = drain.released.clone();
        let lost = drain.lost;
        if let (false, false, Some(member)) = (lost, offsets.is_empty(), member) {
            let late = self.plan.faults.late_commits && self.rng.u32(0..5) == 0;
            let (way, wait) = if late {
                (self.millis(1_000, 30_000), Duration::from_secs(2))
            } else {
                (self.millis(1, 30), Duration::from_millis(40))
            };
            self.agenda
                .after(way, Happening::CommitLands(who, member, offsets, sent));
            self.notice(who, wait, Noticed::HandedOver);
        } else {
            self.notice(who, Duration::ZERO, Noticed::HandedOver);
        }
    }

    /// The group may give the lanes to others now.
    pub(super) fn handed_over(&mut self, who: Who) {
        let process = &mut self.processes[who.place];
        let Some(drain) = process.drain.take() else {
            return;
        };
        if process.lanes.is_empty() {
            process.lease_until = Mono(0);
        }
        let (stopping, member) = (process.stopping, process.member);
        let Some(member) = member.filter(|_| !drain.lost) else {
            return;
        };
        if stopping {
            self.group.leave(member);
            self.kill(who);
            return;
        }
        for lane in drain.lanes {
            self.group.free(member, lane);
        }
    }
}
