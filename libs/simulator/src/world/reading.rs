//! The consumer thread: reading, commits, the lease.

use std::time::Duration;

use hooklane_engine::{Epoch, Event};
use hooklane_model::lane::Lane;

use super::World;
use crate::agenda::{Happening, Noticed, Who};
use crate::broker::{Product, Record};

/// Records taken from a lane in one go.
const BATCH: usize = 16;
/// How often offsets are committed, moved or not.
const COMMIT_EVERY: Duration = Duration::from_millis(500);
/// How often when nothing is going on: still well within the lease.
const COMMIT_IDLE: Duration = Duration::from_secs(8);

impl World<'_> {
    /// One turn of the consumer thread.
    pub(super) fn poll(&mut self, who: Who) {
        let busy = if self.processes[who.place].drain.is_some() {
            // Its callback waits for the workers: no reading, no commits.
            true
        } else {
            let read = self.read_lanes(who);
            self.commit_if_due(who, read);
            read
        };
        let now = self.agenda.now();
        for worker in 0..self.plan.workers {
            let process = &self.processes[who.place];
            self.oracle.aged(process, &self.plan, worker, now);
        }
        let pause = if busy {
            self.millis(2, 40)
        } else {
            self.idle_for()
        };
        self.notice(who, pause, Noticed::Poll);
    }

    /// Reads on where there is something and room for it.
    fn read_lanes(&mut self, who: Who) -> bool {
        let lanes: Vec<Lane> = self.processes[who.place].lanes.keys().copied().collect();
        let mut read = false;
        for lane in lanes {
            let process = &mut self.processes[who.place];
            let worker = process.worker_of(lane);
            if !process.workers[worker].core.has_room() {
                read = true;
                continue;
            }
            let Some(owned) = process.lanes.get_mut(&lane) else {
                continue;
            };
            let log = self.broker.lane(lane);
            let mut batch = Vec::new();
            let mut bytes = 0;
            while batch.len() < BATCH && bytes < 256 << 10 {
                match log.get(owned.next) {
                    // The lane stands still until the upgrade.
                    None | Some(Record::Newer) => break,
                    Some(Record::Gap) => {}
                    Some(Record::Poison) => batch.push((lane, owned.epoch, owned.next)),
                    Some(Record::Envelope(envelope)) => {
                        bytes += envelope.payload.len();
                        batch.push((lane, owned.epoch, owned.next));
                    }
                }
                owned.next += 1;
            }
            if batch.is_empty() {
                continue;
            }
            read = true;
            self.batch(who, worker, batch);
        }
        read
    }

    /// A worker takes what was read for it.
    pub(super) fn batch(&mut self, who: Who, worker: usize, records: Vec<(Lane, Epoch, i64)>) {
        for (lane, epoch, offset) in records {
            let now = self.now_of(who);
            let record = self.broker.lane(lane).get(offset).cloned();
            let process = &self.processes[who.place];
            let current = process.owns(lane, epoch);
            match record {
                Some(Record::Envelope(record)) => {
                    if current {
                        let place = (lane, epoch, offset);
                        self.oracle.read(process, now, place, Some(&record));
                    }
                    self.feed(
                        who,
                        worker,
                        Event::Record {
                            lane,
                            epoch,
                            offset,
                            record,
                        },
                    );
                }
                Some(Record::Poison) => {
                    if current {
                        self.oracle.read(process, now, (lane, epoch, offset), None);
                    }
                    let what = Product::Poison {
                        lane,
                        epoch,
                        offset,
                    };
                    self.produce(who, worker, None, what);
                    self.feed(
                        who,
                        worker,
                        Event::Unreadable {
                            lane,
                            epoch,
                            offset,
                        },
                    );
                }
                _ => {}
            }
        }
    }

    fn commit_if_due(&mut self, who: Who, busy: bool) {
        let process = &self.processes[who.place];
        let since = self.agenda.now().since(process.committed_at);
        let working = process.workers.iter().any(|worker| worker.core.is_busy());
        let moved = process.workers.iter().any(|worker| {
            worker.core.watermarks().any(|(lane, _, watermark)| {
                process
                    .lanes
                    .get(&lane)
                    .is_some_and(|owned| owned.committed != watermark)
            })
        });
        let every = if busy || working || moved {
            COMMIT_EVERY
        } else {
            COMMIT_IDLE
        };
        if since >= every {
            self.commit(who);
        }
    }

    /// Commits every lane, moved or not.
    pub(super) fn commit(&mut self, who: Who) {
        let sent = self.agenda.now();
        let process = &mut self.processes[who.place];
        process.committed_at = sent;
        let Some(member) = process.member else { return };
        let mut back = None;
        for worker in &process.workers {
            for (lane, epoch, watermark) in worker.core.watermarks() {
                let Some(owned) = process.lanes.get_mut(&lane).filter(|o| o.epoch == epoch) else {
                    continue;
                };
                if watermark < owned.committed || watermark > owned.next {
                    back = Some((lane, watermark, *owned));
                }
                owned.committed = owned.committed.max(watermark);
            }
        }
        let offsets: Vec<(Lane, i64)> = process
            .lanes
            .iter()
            .map(|(lane, owned)| (*lane, owned.committed))
            .collect();
        if let Some((lane, watermark, owned)) = back {
            let what = format!("watermark {watermark} of lane {lane}, {owned:?}");
            self.oracle
                .broken(crate::Rule::Watermark, (None, None), what);
        }
        if !offsets.is_empty() {
            let late = self.plan.faults.late_commits && self.rng.u32(0..30) == 0;
            let way = if late {
                self.millis(100, 40_000)
            } else {
                self.millis(1, 30)
            };
            let landing = Happening::CommitLands(who, member, offsets, sent);
            self.agenda.after(way, landing);
        }
    }

    /// A commit reaches the coordinator, which checks the membership only.
    pub(super) fn commit_lands(
        &mut self,
        who: Who,
        member: crate::group::Member,
        offsets: &[(Lane, i64)],
        sent: hooklane_engine::Mono,
    ) {
        if self.is_alive(who) && self.processes[who.place].cut_off {
            return;
        }
        if !self.group.hear(member, self.agenda.now()) {
            return;
        }
        for (lane, offset) in offsets {
            self.set_committed(*lane, *offset);
        }
        let back = self.millis(1, 20);
        self.notice(who, back, Noticed::Committed(sent));
    }
}
