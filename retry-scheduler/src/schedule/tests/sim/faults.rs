//! What goes wrong in a world: crashes and revokes.

use super::*;

impl World {
    /// What its next owner may do again.
    fn allow_repeats(&mut self, at: DelayPartition) {
        let log = &self.logs[&at];
        let open = log
            .entries
            .iter()
            .filter(|e| e.started && e.offset >= log.committed);
        self.repeats_allowed += u32::try_from(open.count()).unwrap();
    }

    pub(super) fn crash(&mut self) {
        let all: Vec<_> = self.logs.keys().copied().collect();
        all.into_iter().for_each(|at| self.allow_repeats(at));
        // What is on the wire lands, late, or does not.
        for air in &mut self.air {
            if self.rng.bool() {
                air.lands = None;
            }
        }
        self.air.retain(|air| air.lands.is_some());
        let down = self.rng.u64(0..DOWN_MAX);
        self.downtime += down + DRAIN_MAX;
        let until = self.t + down;
        while let Some(next) = self.next_landing().filter(|next| *next <= until) {
            self.t = next.max(self.t);
            self.land();
        }
        self.t = until;
        (self.leaving, self.returning) = (None, None);
        let skew = i64::try_from(SKEW).unwrap();
        self.clock_off = self.rng.i64(-skew..=skew);
        self.boot();
    }

    pub(super) fn start_revoke(&mut self) {
        if self.leaving.is_some() || self.returning.is_some() {
            return;
        }
        let partition = self.rng.i32(0..2);
        let at = DelayPartition {
            rung: *self.rng.choice(&Rung::ALL).unwrap(),
            partition,
        };
        self.schedule.leave(at);
        self.leaving = Some((at, self.t + self.rng.u64(0..DRAIN_MAX)));
        self.downtime += 2 * DRAIN_MAX;
    }

    pub(super) fn go_on_with_revoke(&mut self) {
        if let Some((at, until)) = self.leaving
            && (self.t >= until || self.schedule.open_flights(at) == 0)
        {
            if let Some(offset) = self.schedule.release(at) {
                self.commit(at, offset);
            }
            self.allow_repeats(at);
            self.logs.get_mut(&at).unwrap().owned = false;
            self.leaving = None;
            self.returning = Some((at, self.t + self.rng.u64(0..DRAIN_MAX)));
        }
        if let Some((at, when)) = self.returning
            && self.t >= when
        {
            self.returning = None;
            // A report for the former claim may still be under way: the
            // world must not count it for this one either.
            for air in &mut self.air {
                air.source = air.source.filter(|(source, _)| *source != at);
            }
            self.assign(at);
        }
    }
}
