//! The state of the schedule as the metrics show it.

use std::time::Duration;

use hooklane_model::ladder::Rung;
use hooklane_model::time::UnixMillis;

use super::Schedule;

/// What one rung holds of the partitions owned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RungState {
    /// Partitions owned.
    pub partitions: usize,
    /// Partitions paused because enough was read ahead.
    pub paused: usize,
    /// Partitions stopped at a record of a newer release.
    pub blocked: usize,
    /// Deliveries read ahead, the tail's heap not included.
    pub held: usize,
    /// Deliveries whose time has come and that are not written yet.
    pub overdue: usize,
    /// How long the oldest of them has been so.
    pub overdue_age: Duration,
}

/// The state at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// In the order of [`Rung::ALL`].
    pub rungs: [RungState; Rung::ALL.len()],
    /// Deliveries in the tail's heap.
    pub tail_entries: usize,
    /// Their bytes.
    pub tail_bytes: usize,
    /// Records sent and not reported yet.
    pub flights: usize,
    /// Their bytes.
    pub flight_bytes: usize,
}

impl Schedule {
    /// The state at `wall`. Walks all that is held: for once a second.
    #[must_use]
    pub fn snapshot(&self, wall: UnixMillis) -> Snapshot {
        let mut rungs = [RungState::default(); Rung::ALL.len()];
        let overdue = |state: &mut RungState, since: UnixMillis| {
            state.overdue += 1;
            state.overdue_age = state.overdue_age.max(wall.since(since));
        };
        for (at, partition) in &self.partitions {
            let state = &mut rungs[at.rung as usize];
            state.partitions += 1;
            state.paused += usize::from(partition.paused);
            state.blocked += usize::from(partition.blocked_at.is_some());
            state.held += partition.queue.len();
            let heads = partition.queue.iter().map(|w| w.wake);
            heads
                .take_while(|wake| *wake <= wall)
                .for_each(|wake| overdue(state, wake));
        }
        self.tail
            .due(wall)
            .for_each(|due| overdue(&mut rungs[Rung::Tail as usize], due));
        for work in self.flights.all() {
            overdue(&mut rungs[work.at.rung as usize], work.wake);
        }
        Snapshot {
            rungs,
            tail_entries: self.tail.len(),
            tail_bytes: self.tail.bytes(),
            flights: self.flights.len(),
            flight_bytes: self.flights.bytes(),
        }
    }
}
