//! What a core orders, carried out as the dispatcher's worker does.

use std::time::Duration;

use hooklane_engine::{
    Action, AttemptEntry, BuryOrder, DelayOrder, DisableOrder, Now, Outcome, SendOrder, Stored,
};
use hooklane_model::lane::lane_of;
use hooklane_model::resource::Fingerprint;

use super::World;
use crate::agenda::{Happening, Noticed, Who};
use crate::broker::{Produce, Product};
use crate::catalog::{ORIGIN, View};
use crate::process::Request;

impl World<'_> {
    pub(super) fn act(&mut self, who: Who, worker: usize, now: Now, action: Action) {
        self.oracle.decided((who, worker), &action);
        match action {
            Action::Send(order) => self.send(who, worker, now, order),
            Action::Attempted(entry) => self.attempted(who, worker, &entry),
            Action::Delay(order) => self.delay(who, worker, order),
            Action::Bury(order) => self.bury(who, worker, now, &order),
            Action::Disable(order) => self.disable(who, worker, &order),
            Action::Health(order) => self.produce(who, worker, None, Product::Health(order)),
            Action::Verify(order) => self.ask(who, worker, now, order),
            Action::Consent(order) => self.agreed(who, worker, now, order),
            Action::Unverified(order) => {
                self.produce(who, worker, None, Product::Unverified(order));
            }
            Action::Released {
                lane,
                watermark,
                abandoned,
            } => {
                let abandoned = i64::try_from(abandoned).unwrap_or(i64::MAX);
                self.note(
                    Some(who),
                    "released lane, abandoning",
                    (None, None),
                    abandoned,
                );
                let process = &mut self.processes[who.place];
                self.oracle.let_go(process, &self.plan, lane);
                let mut ended = None;
                if let Some(drain) = &mut process.drain
                    && drain.open.remove(&lane)
                {
                    drain.released.push((lane, watermark));
                    ended = drain.open.is_empty().then_some(drain.number);
                }
                if let Some(number) = ended {
                    self.notice(who, Duration::ZERO, Noticed::DrainEnds(number));
                }
            }
        }
    }

    fn send(&mut self, who: Who, worker: usize, now: Now, order: SendOrder) {
        let uid = order.target.endpoint;
        let id = order.target.delivery;
        let lane = lane_of(uid, self.plan.lanes);
        let attempt = i64::from(order.target.attempt);
        self.note(Some(who), "orders attempt", (Some(id), Some(uid)), attempt);
        let process = &mut self.processes[who.place];
        self.oracle
            .ordered(process, &self.plan, (now, lane), &order);
        self.oracle
            .passed_over((process, &self.plan), worker, (uid, now.mono));
        process.next_request += 1;
        let number = process.next_request;
        let Some(owned) = process.lanes.get(&lane) else {
            return;
        };
        process.requests.insert(
            number,
            Request {
                worker,
                work: order.work,
                target: order.target,
                generation: order.endpoint.meta.generation,
                question: Fingerprint::of(&order.endpoint, ORIGIN),
                timeout: order.endpoint.spec.timeout,
                ordered: now.mono,
                pass: order.pass,
                lane,
                epoch: owned.epoch,
                started: false,
                passed: false,
                again: false,
            },
        );
        // The way to the first byte may be long: name, connection, TLS.
        let connect = match self.rng.u32(0..20) {
            0 => self.millis(1, 4_000),
            1 => self.millis(1, 200),
            _ => Duration::ZERO,
        };
        self.notice(who, connect, Noticed::FirstByte(number));
    }

    fn attempted(&mut self, who: Who, worker: usize, entry: &AttemptEntry) {
        let process = &self.processes[who.place];
        let asked = process.answering;
        let known = process
            .view
            .get(&entry.target.endpoint)
            .and_then(View::generation);
        let outdated = known.is_some() && asked.is_some() && asked != known;
        let now = self.agenda.now();
        self.oracle.entered(process, now, (entry, outdated));
        // Entries in between are best effort: nothing hangs on them.
        if entry.terminal {
            let what = Product::Attempt {
                delivery: entry.target.delivery,
                delivered: entry.outcome == Outcome::Delivered,
            };
            self.produce(who, worker, Some((entry.work, Stored::Attempt)), what);
        }
    }

    fn delay(&mut self, who: Who, worker: usize, order: DelayOrder) {
        let about = (Some(order.target.delivery), Some(order.target.endpoint));
        let now = self.now_of(who);
        let wait = order.target.due.since(now.wall);
        let wait = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        let why = if order.parked.is_some() {
            "parks for ms"
        } else {
            "retries in ms"
        };
        self.note(Some(who), why, about, wait);
        let what = Product::Delay {
            rung: order.rung,
            envelope: order.envelope,
            target: order.target,
        };
        self.produce(who, worker, Some((order.work, Stored::Delay)), what);
    }

    fn bury(&mut self, who: Who, worker: usize, now: Now, order: &BuryOrder) {
        let about = (Some(order.target.delivery), Some(order.target.endpoint));
        self.note(
            Some(who),
            order.reason.kind(),
            about,
            i64::from(order.target.attempt),
        );
        let process = &self.processes[who.place];
        self.oracle.given_up(process, now, order);
        let bytes = if order.without_bytes {
            0
        } else {
            order.envelope.payload.len()
        };
        let what = Product::Dead {
            delivery: order.target.delivery,
            reason: order.reason,
            bytes,
        };
        self.produce(who, worker, Some((order.work, Stored::Dead)), what);
    }

    fn disable(&mut self, who: Who, worker: usize, order: &DisableOrder) {
        let uid = order.endpoint.uid();
        let generation = order.endpoint.meta.generation;
        let number = i64::try_from(generation).unwrap_or(i64::MAX);
        self.note(Some(who), "disables generation", (None, Some(uid)), number);
        let process = &mut self.processes[who.place];
        self.oracle.disabled(process.answering, order);
        if let Some(view) = process.view.get_mut(&uid) {
            view.found = Some(generation);
        }
        let what = Product::Status {
            endpoint: uid,
            generation,
            reason: order.reason,
        };
        self.produce(who, worker, None, what);
    }

    /// Hands a record to the client's producer.
    pub(super) fn produce(
        &mut self,
        who: Who,
        worker: usize,
        about: Option<(hooklane_engine::WorkId, Stored)>,
        what: Product,
    ) {
        let way = if self.broker.slow {
            self.millis(500, 8_000)
        } else {
            self.millis(1, 60)
        };
        let produce = Produce {
            who,
            worker,
            about,
            what,
        };
        self.agenda.after(way, Happening::Land(Box::new(produce)));
    }
}
