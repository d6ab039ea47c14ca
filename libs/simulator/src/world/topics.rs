//! Records reaching topics, and the retry scheduler.

use std::rc::Rc;
use std::time::Duration;

use hooklane_engine::{OpenEnvelope, StoreError};
use hooklane_model::ladder::{Hop, Rung, next_hop};
use hooklane_model::lane::{Lane, lane_of};

use super::World;
use crate::agenda::{Happening, Noticed};
use crate::broker::{DelayId, Delayed, Produce, Product, Record, VALUE_MAX};

impl World<'_> {
    /// A record reaches the broker; what a dead process had queued may, too.
    pub(super) fn land(&mut self, produce: Produce) {
        if !self.is_alive(produce.who) {
            match self.rng.u32(0..4) {
                0 | 1 => return,
                2 => {
                    let late = self.millis(10, 20_000);
                    return self.agenda.after(late, Happening::Land(Box::new(produce)));
                }
                _ => {}
            }
        }
        let Produce {
            who,
            worker,
            about,
            what,
        } = produce;
        let mut result = Ok(());
        match what {
            Product::Attempt {
                delivery,
                delivered,
            } => self.oracle.recorded_attempt(delivery, delivered),
            Product::Dead {
                delivery,
                reason,
                bytes,
            } => {
                if bytes > VALUE_MAX {
                    result = Err(StoreError::TooLarge);
                } else {
                    self.oracle.recorded_dead(delivery, reason);
                }
            }
            Product::Delay {
                rung,
                envelope,
                target,
            } => {
                if envelope.payload.len() > VALUE_MAX {
                    result = Err(StoreError::TooLarge);
                } else {
                    let envelope = OpenEnvelope {
                        envelope: envelope.envelope.unicast(target),
                        payload: envelope.payload.clone(),
                    };
                    self.append_delayed(rung, Rc::new(envelope));
                }
            }
            Product::Status {
                endpoint,
                generation,
                reason,
            } => {
                self.catalog.found(endpoint, generation, reason);
                self.tell_config();
            }
            Product::Health(order) => {
                self.catalog.fares(order.endpoint, order.health);
                self.tell_config();
            }
            Product::Consent(_) | Product::Unverified(_) => self.land_verification(what),
            Product::Poison {
                lane,
                epoch,
                offset,
            } => {
                *self.broker.poison.entry((lane, offset)).or_default() += 1;
                let back = self.millis(1, 20);
                self.notice(who, back, Noticed::Poisoned(worker, lane, epoch, offset));
            }
        }
        if let Some((work, stored)) = about {
            let back = self.millis(1, 20);
            self.notice(who, back, Noticed::Reported(worker, work, stored, result));
        }
    }

    fn land_verification(&mut self, what: Product) {
        match what {
            Product::Consent(order) => self.catalog.agrees(order.endpoint, order.consent),
            Product::Unverified(order) => self.catalog.refuses(order.endpoint, order.unverified),
            _ => {}
        }
        self.tell_config();
    }

    fn append_delayed(&mut self, rung: Rung, envelope: Rc<OpenEnvelope>) {
        self.oracle.kept(&envelope.envelope);
        let target = envelope.envelope.targets[0];
        self.broker.next_delay += 1;
        let id = DelayId(self.broker.next_delay);
        let wait = match rung {
            Rung::Tail => target.due.since(self.wall()),
            rung => rung.wait(),
        };
        self.broker.delayed.insert(id, Delayed { envelope, target });
        let late = self.millis(0, 400);
        self.agenda.after(wait + late, Happening::Rung(id));
    }

    /// The scheduler comes to a delay record: back to its lane if it is due,
    /// to the next rung if not.
    pub(super) fn rung(&mut self, id: DelayId) {
        let Some(delayed) = self.broker.delayed.get(&id).cloned() else {
            return;
        };
        let target = delayed.target;
        let about = (Some(target.delivery), Some(target.endpoint));
        match next_hop(self.wall(), target.delayed_at, target.due) {
            Hop::Release => {
                self.note(None, "scheduler releases", about, 0);
                let lane = lane_of(target.endpoint, self.plan.lanes);
                self.append(lane, Record::Envelope(delayed.envelope));
            }
            Hop::Wait(Rung::Tail) => {
                // In the scheduler's heap until it is due.
                let wait = target.due.since(self.wall());
                return self.agenda.after(wait, Happening::Rung(id));
            }
            Hop::Wait(rung) => self.append_delayed(rung, delayed.envelope),
        }
        if self.plan.faults.repeats && !self.resting && self.rng.u32(0..8) == 0 {
            // It crashes before it commits, and does it again.
            let again = self.millis(500, 90_000);
            self.note(None, "scheduler crashes", about, 0);
            self.agenda.after(again, Happening::Rung(id));
        } else {
            let commit = self.millis(1, 250);
            self.agenda.after(commit, Happening::Unrung(id));
        }
    }

    pub(super) fn unrung(&mut self, id: DelayId) {
        if let Some(delayed) = self.broker.delayed.remove(&id) {
            self.oracle
                .passed(&delayed.envelope.envelope, "the scheduler");
        }
    }

    /// A record is appended to a lane.
    pub(super) fn append(&mut self, lane: Lane, record: Record) {
        if let Record::Envelope(envelope) = &record {
            self.oracle.kept(&envelope.envelope);
        }
        self.broker.lane(lane).append(record);
    }

    /// The committed offset of a lane becomes another, forward or back.
    pub(super) fn set_committed(&mut self, lane: Lane, offset: i64) {
        let log = self.broker.lane(lane);
        let before = log.committed;
        log.committed = offset;
        log.keep(offset);
        let (from, until) = (before.min(offset), before.max(offset));
        for at in from..until {
            let record = self.broker.lane(lane).get(at).cloned();
            match record {
                Some(Record::Envelope(envelope)) if offset > before => {
                    self.oracle.passed(&envelope.envelope, "a commit");
                }
                Some(Record::Envelope(envelope)) => self.oracle.kept(&envelope.envelope),
                Some(Record::Poison) if !self.broker.poison.contains_key(&(lane, at)) => {
                    let what = format!("the poison at {at} of lane {lane} was passed");
                    self.oracle.broken(crate::Rule::Poison, (None, None), what);
                }
                Some(Record::Newer) => {
                    let what = format!("the newer record at {at} of lane {lane} was passed");
                    self.oracle.broken(crate::Rule::Poison, (None, None), what);
                }
                _ => {}
            }
        }
    }

    /// Processes hear of configuration in their own time.
    pub(super) fn tell_config(&mut self) {
        for place in 0..self.processes.len() {
            let who = self.processes[place].who;
            let late = if self.rng.u32(0..12) == 0 {
                self.millis(1_000, 6_000)
            } else {
                self.millis(5, 500)
            };
            self.notice(who, late, Noticed::Config);
        }
    }

    /// What the topics keep no longer than they must.
    pub(super) fn retain(&mut self) {
        for lane in &mut self.broker.lanes {
            lane.retain();
        }
    }

    pub(super) fn idle_for(&self) -> Duration {
        if self.resting {
            Duration::from_secs(2)
        } else {
            Duration::from_millis(200)
        }
    }
}
