//! Stopping to read at a bound, going on below it; and the gauges.

use super::{Intake, OPEN_OFFSETS_MAX};
use crate::error::IngestError;

impl Intake {
    /// Pauses at a bound and resumes at half of it: a pause throws away what
    /// the client fetched ahead, so it must not flicker.
    pub(super) fn control_flow(&mut self) -> Result<(), IngestError> {
        let (offsets, bytes) = (self.progress.open_offsets(), self.progress.open_bytes());
        let max = self.parts.open_bytes_max;
        let at_bound = self.queue_full || offsets >= OPEN_OFFSETS_MAX || bytes >= max;
        let relaxed =
            !self.parts.outbox.is_waiting() && offsets <= OPEN_OFFSETS_MAX / 2 && bytes <= max / 2;
        if at_bound && !self.paused {
            self.set_paused(true)?;
        } else if self.paused && relaxed && !self.draining {
            self.set_paused(false)?;
        }
        Ok(())
    }

    pub(super) fn set_paused(&mut self, paused: bool) -> Result<(), IngestError> {
        let partitions: Vec<_> = self.parts.consumer.assigned().cloned().collect();
        if !partitions.is_empty() {
            if paused {
                self.parts.consumer.pause(&partitions)?;
            } else {
                self.parts.consumer.resume(&partitions)?;
            }
        }
        self.paused = paused;
        self.parts.metrics.paused.set(i64::from(paused));
        Ok(())
    }

    /// Sets the gauges, once a second.
    pub(super) fn show(&self) {
        let metrics = &self.parts.metrics;
        metrics.open_offsets.set_len(self.progress.open_offsets());
        metrics.open_bytes.set_len(self.progress.open_bytes());
        let now = self.parts.clock.now();
        for (tp, high) in self.parts.consumer.high_watermarks() {
            let Some((done, read_at)) = self.progress.done(&tp) else {
                continue;
            };
            let behind = (high - done).max(0);
            let age = if behind > 0 && read_at.0 > 0 {
                now.since(read_at)
            } else {
                Default::default()
            };
            // A lag of more than 2^53 records is no lag to tell apart.
            metrics
                .lag_records
                .set(&tp.topic, tp.partition, behind as f64);
            metrics
                .lag_seconds
                .set(&tp.topic, tp.partition, age.as_secs_f64());
        }
    }
}
