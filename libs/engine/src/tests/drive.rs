//! A core with a scheduler that returns what was parked, and a receiver, on
//! one clock: for rules that only show over time.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use hooklane_model::catalog::{Change, Health};
use hooklane_model::envelope::{ConfigStamp, Target};
use hooklane_model::time::UnixMillis;
use serde_json::Value;

use super::bench::*;

enum Later {
    Return(UnixMillis, Target),
    Finish(WorkId, AttemptEnd),
}

/// What a receiver does: how long it takes, and its answer.
pub(super) type Answer = (u64, AttemptEnd);

pub(super) struct Drive {
    pub(super) bench: Bench,
    later: BTreeMap<(u64, u64), Later>,
    ordinal: u64,
    pub(super) now: u64,
    /// When which delivery of which endpoint started.
    pub(super) starts: Vec<(u64, Target)>,
    pub(super) parked: Vec<(u64, ParkReason, Target)>,
    pub(super) dead: Vec<DeadReason>,
    pub(super) delivered: usize,
    pub(super) disabled: Vec<(u64, &'static str)>,
    pub(super) health: Option<Health>,
    pub(super) open: usize,
    pub(super) open_max: usize,
}

impl Drive {
    pub(super) fn new(spec: Value) -> Self {
        Self::on(Bench::new(spec))
    }

    pub(super) fn on(bench: Bench) -> Self {
        Self {
            bench,
            later: BTreeMap::new(),
            ordinal: 0,
            now: 0,
            starts: Vec::new(),
            parked: Vec::new(),
            dead: Vec::new(),
            delivered: 0,
            disabled: Vec::new(),
            health: None,
            open: 0,
            open_max: 0,
        }
    }

    /// A fresh event, first seen now.
    pub(super) fn event(
        &mut self,
        targets: Vec<Target>,
        answer: &mut dyn FnMut(u64, Target) -> Answer,
    ) {
        let first_seen = UnixMillis(T0.0 + self.now);
        self.record(first_seen, targets, answer);
    }

    fn record(
        &mut self,
        first_seen: UnixMillis,
        targets: Vec<Target>,
        answer: &mut dyn FnMut(u64, Target) -> Answer,
    ) {
        let record = Rc::new(OpenEnvelope {
            envelope: envelope(self.bench.offset, first_seen, targets),
            payload: Bytes::from_static(b"{}"),
        });
        let offset = self.bench.offset;
        self.bench.offset += 1;
        let (lane, epoch) = (LANE, Epoch(1));
        self.step(
            Event::Record {
                lane,
                epoch,
                offset,
                record,
            },
            answer,
        );
    }

    pub(super) fn step(&mut self, event: Event, answer: &mut dyn FnMut(u64, Target) -> Answer) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for action in self.bench.step(self.now, event) {
                events.extend(self.act(action, answer));
            }
        }
    }

    /// Carries an action out; records are durable at once.
    fn act(
        &mut self,
        action: Action,
        answer: &mut dyn FnMut(u64, Target) -> Answer,
    ) -> Option<Event> {
        let stored = |work, what| Event::Stored {
            work,
            what,
            result: Ok(()),
        };
        match action {
            Action::Send(order) => {
                self.starts.push((self.now, order.target));
                self.open += 1;
                self.open_max = self.open_max.max(self.open);
                let (took, end) = answer(self.now, order.target);
                self.later(took, Later::Finish(order.work, end));
                None
            }
            Action::Attempted(entry) => {
                self.delivered += usize::from(entry.outcome == Outcome::Delivered);
                entry.terminal.then(|| stored(entry.work, Stored::Attempt))
            }
            Action::Delay(order) => {
                if let Some(reason) = order.parked {
                    self.parked.push((self.now, reason, order.target));
                }
                let first_seen = order.envelope.envelope.first_seen;
                let wait = order.target.due.since(UnixMillis(T0.0 + self.now));
                let wait = u64::try_from(wait.as_millis()).unwrap();
                self.later(wait, Later::Return(first_seen, order.target));
                Some(stored(order.work, Stored::Delay))
            }
            Action::Bury(order) => {
                self.dead.push(order.reason);
                Some(stored(order.work, Stored::Dead))
            }
            Action::Disable(order) => {
                self.disabled.push((self.now, order.reason));
                None
            }
            Action::Health(order) => {
                self.health = Some(order.health);
                None
            }
            Action::Verify(_) | Action::Consent(_) | Action::Unverified(_) => None,
            Action::Released { .. } => None,
        }
    }

    fn later(&mut self, after: u64, what: Later) {
        self.ordinal += 1;
        self.later.insert((self.now + after, self.ordinal), what);
    }

    /// Applies a changed spec.
    pub(super) fn configure(
        &mut self,
        generation: u64,
        spec: &Value,
        answer: &mut dyn FnMut(u64, Target) -> Answer,
    ) {
        let change = Change::Endpoint(endpoint(1, generation, spec.clone()));
        let stamp = ConfigStamp {
            epoch: 1,
            offset: 1,
        };
        let changes = Arc::new(vec![change]);
        self.step(Event::Config { changes, stamp }, answer);
    }

    /// Lets time pass.
    pub(super) fn run_until(&mut self, millis: u64, answer: &mut dyn FnMut(u64, Target) -> Answer) {
        loop {
            let next = self.later.keys().next().map(|(at, _)| *at);
            let wake = self.bench.core.next_wake();
            let wake = wake.map(|at| at.0.div_ceil(1_000_000) - BOOTED);
            let Some(at) = [next, wake].into_iter().flatten().min() else {
                break;
            };
            if at > millis {
                break;
            }
            self.now = self.now.max(at);
            while let Some(entry) = self.later.first_entry().filter(|e| e.key().0 <= self.now) {
                match entry.remove() {
                    Later::Return(first_seen, target) => {
                        self.record(first_seen, vec![target], answer);
                    }
                    Later::Finish(work, end) => {
                        self.open -= 1;
                        let result = AttemptResult {
                            started_at: T0,
                            elapsed: std::time::Duration::from_millis(1),
                            end,
                        };
                        self.step(Event::Finished { work, result }, answer);
                    }
                }
            }
            self.step(Event::Time, answer);
        }
        self.now = millis;
    }
}
