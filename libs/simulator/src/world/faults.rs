//! What breaks.

use std::time::Duration;

use super::World;
use crate::agenda::{Happening, Noticed, Who};
use crate::process::{Process, State};

impl World<'_> {
    /// Something breaks, if this world has that fault.
    pub(super) fn strike(&mut self) {
        if self.resting {
            return;
        }
        let pause = self.millis(300, 40_000);
        self.agenda.after(pause, Happening::Fault);
        let place = self.rng.usize(0..self.processes.len());
        let who = self.processes[place].who;
        let running = self.processes[place].is_running();
        let faults = self.plan.faults;
        let before = self.faults;
        self.faults += 1;
        match self.rng.u32(0..9) {
            0 if faults.crashes && running => {
                self.note(Some(who), "is killed", (None, None), 0);
                self.kill(who);
            }
            1 if faults.stops && running => {
                self.note(Some(who), "is stopped", (None, None), 0);
                self.processes[place].stopping = true;
            }
            2 if faults.freezes && running => self.freeze(who),
            3 if faults.cuts && running => {
                let wait = self.millis(1_000, 100_000);
                self.note(Some(who), "is cut off", (None, None), 0);
                self.processes[place].cut_off = true;
                self.agenda.after(wait, Happening::Heal(who));
            }
            4 if faults.wall && running => {
                let step = self.rng.i64(-120_000..120_000);
                self.note(Some(who), "clock steps by ms", (None, None), step);
                self.processes[place].wall_offset += step;
            }
            5 if faults.slow_broker => {
                let wait = self.millis(1_000, 20_000);
                self.broker.slow = true;
                self.excuse(wait + Duration::from_secs(60));
                self.agenda.after(wait, Happening::BrokerRecovers);
            }
            6 | 7 => {
                let lane = self.rng.u16(0..self.plan.lanes.get());
                self.group.shake(hooklane_model::lane::Lane(lane));
            }
            8 if faults.restarted_lanes && running => self.restart_lane(who),
            _ => self.faults = before,
        }
    }

    fn excuse(&mut self, wait: Duration) {
        let until = self.agenda.now().after(wait);
        self.oracle.excused_until = self.oracle.excused_until.max(until);
    }

    /// A lane starts over under a new claim; what was read under the old one
    /// still arrives.
    fn restart_lane(&mut self, who: Who) {
        let process = &self.processes[who.place];
        if process.drain.is_some() {
            return;
        }
        let Some((lane, owned)) = process.lanes.iter().next() else {
            return;
        };
        let (lane, owned) = (*lane, *owned);
        let worker = process.worker_of(lane);
        let stale: Vec<_> = (owned.next..self.broker.lane(lane).end())
            .take(3)
            .map(|offset| (lane, owned.epoch, offset))
            .collect();
        self.assign(who, lane);
        let late = self.millis(0, 300);
        self.notice(who, late, Noticed::Batch(worker, stale));
    }

    fn freeze(&mut self, who: Who) {
        let wait = self.millis(500, 110_000);
        self.note(Some(who), "is frozen", (None, None), 0);
        self.excuse(wait + Duration::from_secs(60));
        let now = self.agenda.now();
        let process = &mut self.processes[who.place];
        process.state = State::Frozen;
        // At worst each thread stands between the checks and the write.
        let leased = now < process.lease_until;
        for worker in 0..process.workers.len() {
            let waiting = process
                .requests
                .values_mut()
                .find(|request| request.worker == worker && !request.started);
            if let Some(request) = waiting.filter(|_| leased) {
                request.passed = request.pass.start(now);
            }
        }
        self.agenda.after(wait, Happening::Thaw(who));
    }

    pub(super) fn thaw(&mut self, who: Who) {
        let process = &mut self.processes[who.place];
        if process.who != who || process.state != State::Frozen {
            return;
        }
        process.state = State::Running;
        let missed = std::mem::take(&mut process.missed);
        self.note(Some(who), "goes on", (None, None), 0);
        for noticed in missed {
            self.noticed(who, noticed);
        }
    }

    /// The process is gone, with everything in its memory.
    pub(super) fn kill(&mut self, who: Who) {
        let process = &mut self.processes[who.place];
        process.state = State::Dead;
        process.requests.clear();
        process.missed.clear();
        self.oracle.gone(who);
        let uids: Vec<_> = self.processes[who.place].view.keys().copied().collect();
        for uid in uids {
            self.limits_changed(uid, self.agenda.now());
        }
        let wait = self.millis(200, 60_000);
        self.agenda.after(wait, Happening::Restart(who.place));
    }

    pub(super) fn restart(&mut self, place: usize) {
        if self.processes[place].state != State::Dead {
            return;
        }
        let life = self.processes[place].who.life + 1;
        let offset = self.processes[place].wall_offset;
        let cores = self.cores();
        self.processes[place] = Process::new(place, cores, life);
        self.processes[place].wall_offset = offset;
        self.begin_life(place);
    }
}
