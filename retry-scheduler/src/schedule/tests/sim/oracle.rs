//! What must hold in every world.

use super::*;

impl World {
    pub(super) fn check_release(&mut self, produce: &Produce) {
        let (envelope, _) = Envelope::decode(produce.value.as_ref().unwrap()).unwrap();
        let id = usize::try_from(envelope.targets[0].delivery.0).unwrap();
        let Delivery {
            frame,
            target,
            landed,
        } = &self.deliveries[id];
        if produce.value.as_ref() != Some(frame) {
            self.fail("the record was changed on its way");
        }
        let Destination::Lane { lane, late, .. } = produce.to else {
            return;
        };
        if lane != lane_of(target.endpoint, layout().lanes) {
            self.fail("the wrong lane");
        }
        let wall = self.now().wall;
        if wall < target.due {
            self.fail(&format!("{id} early by {:?}", target.due.since(wall)));
        }
        if late != wall.since(target.due) {
            self.fail("lateness told wrongly");
        }
        // A crash, a revoke, a failed produce or a full tail make records
        // late; by how much is bounded too.
        let mut slack = 2 * SKEW + LATENCY_MAX + 2 * POLL_MAX + self.downtime;
        slack += if self.faults.produce_fails {
            8 * (1_000 + LATENCY_MAX)
        } else {
            0
        };
        slack += if self.faults.tiny { 45_000 } else { 0 };
        let bound = tolerance(target.delayed_at, target.due) + Duration::from_millis(slack);
        // A repeat of what has arrived in time may come any time later.
        if late > bound && *landed == 0 {
            self.fail(&format!("{id} late by {late:?}, bound {bound:?}"));
        }
    }

    /// Up to where everything was reported as written to the present owner.
    fn watermark(log: &Log) -> i64 {
        let read = log.entries.iter().filter(|e| e.offset >= log.committed);
        read.take_while(|e| e.acked)
            .last()
            .map_or(log.committed, |e| e.offset + 1)
    }

    pub(super) fn commit(&mut self, at: DelayPartition, offset: i64) {
        let log = self.logs.get_mut(&at).unwrap();
        if offset > Self::watermark(log) {
            self.fail(&format!(
                "{at:?} committed {offset} with open records below"
            ));
        }
        if offset < log.committed {
            self.fail(&format!("{at:?} commit moved back to {offset}"));
        }
        log.committed = offset;
        log.behind_since = None;
    }

    pub(super) fn check_commits(&mut self) {
        let patience = 200 + 2 * POLL_MAX + if self.faults.commit_fails { 3_000 } else { 0 };
        for (at, log) in &mut self.logs {
            if !log.owned || Self::watermark(log) == log.committed {
                log.behind_since = None;
                continue;
            }
            let since = *log.behind_since.get_or_insert(self.t);
            if self.leaving.is_none() && self.t - since > patience {
                panic!(
                    "{at:?} not committed since {since}\nseed {} at {}",
                    self.seed, self.t
                );
            }
        }
    }

    pub(super) fn check_end(&self) {
        let lost = self.deliveries.iter().position(|d| d.landed == 0);
        if let Some(id) = lost {
            self.fail(&format!("{id} lost"));
        }
        let landed: u32 = self.deliveries.iter().map(|d| d.landed).sum();
        let repeats = landed - u32::try_from(self.deliveries.len()).unwrap();
        if repeats > self.repeats_allowed {
            let allowed = self.repeats_allowed;
            self.fail(&format!("{repeats} repeats, {allowed} allowed"));
        }
        for (at, log) in &self.logs {
            if log
                .entries
                .last()
                .is_some_and(|e| e.offset >= log.committed)
            {
                self.fail(&format!("{at:?} never committed to its end"));
            }
        }
    }
}
