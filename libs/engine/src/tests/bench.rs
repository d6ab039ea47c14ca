//! A core set up by hand, for tests of single rules.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hooklane_model::catalog::Change;
use hooklane_model::envelope::{Chunk, ConfigStamp, Target};
use hooklane_model::time::UnixMillis;
use serde_json::{Value, json};

pub(super) use super::model::{LANE, endpoint, envelope, target};
pub(super) use crate::*;

pub(super) const T0: UnixMillis = UnixMillis(1_700_000_000_000);

/// Milliseconds since the machine was booted, at time 0 of a test.
pub(super) const BOOTED: u64 = 100_000_000;

pub(super) struct Bench {
    pub(super) core: Core,
    pub(super) offset: i64,
}

pub(super) fn at(millis: u64) -> Now {
    Now {
        mono: Mono((BOOTED + millis) * 1_000_000),
        wall: UnixMillis(T0.0 + millis),
    }
}

pub(super) fn spec() -> Value {
    json!({"url": "https://r.example/", "retry": {"jitter": 0.0}})
}

impl Bench {
    pub(super) fn new(spec: Value) -> Self {
        Self::new_at(0, spec)
    }

    /// A process that claims the lane then.
    pub(super) fn new_at(millis: u64, spec: Value) -> Self {
        let mut bench = Self::with_at(millis, 100);
        bench.configure(millis, vec![Change::Endpoint(endpoint(1, 1, spec))]);
        bench
    }

    /// A core that knows no endpoint yet.
    pub(super) fn with(slots: u32) -> Self {
        Self::with_at(0, slots)
    }

    fn with_at(millis: u64, slots: u32) -> Self {
        let limits = Limits {
            queue_wait: Duration::from_secs(10),
            slots,
            bytes: 64 << 20,
            tenant_percent: 50,
            retry_percent: 20,
        };
        let mut bench = Self {
            core: Core::new(limits, 1),
            offset: 0,
        };
        bench.core.set_lease(Mono(u64::MAX));
        bench.step(
            millis,
            Event::LaneAssigned {
                lane: LANE,
                epoch: Epoch(1),
                next: 0,
            },
        );
        bench
    }

    pub(super) fn configure(&mut self, millis: u64, changes: Vec<Change>) -> Vec<Action> {
        let stamp = ConfigStamp {
            epoch: 1,
            offset: 1,
        };
        self.step(
            millis,
            Event::Config {
                changes: Arc::new(changes),
                stamp,
            },
        )
    }

    pub(super) fn step(&mut self, millis: u64, event: Event) -> Vec<Action> {
        self.step_now(at(millis), event)
    }

    /// The time, by the nanosecond.
    pub(super) fn step_at(&mut self, nanos: u64) -> Vec<Action> {
        let mono = Mono(nanos);
        self.step_now(Now { mono, wall: T0 }, Event::Time)
    }

    /// A step whose requests all start at once.
    pub(super) fn step_now(&mut self, now: Now, event: Event) -> Vec<Action> {
        let mut out = Vec::new();
        self.core.step(now, event, &mut out);
        let mut next = 0;
        while next < out.len() {
            if let Action::Send(order) = &out[next] {
                assert!(order.pass.start(now.mono));
                if order.pass.is_waited_for() {
                    let work = order.work;
                    self.core.step(now, Event::Started { work }, &mut out);
                }
            }
            next += 1;
        }
        out
    }

    pub(super) fn read(&mut self, millis: u64, targets: Vec<Target>) -> Vec<Action> {
        let record = self.record(T0, targets);
        self.step(millis, record)
    }

    pub(super) fn read_chunk(
        &mut self,
        millis: u64,
        chunk: Chunk,
        targets: Vec<Target>,
    ) -> Vec<Action> {
        let mut envelope = envelope(self.offset, T0, targets);
        envelope.chunk = chunk;
        let record = self.record_of(envelope);
        self.step(millis, record)
    }

    /// The next record of the lane.
    pub(super) fn record(&mut self, first_seen: UnixMillis, targets: Vec<Target>) -> Event {
        self.record_of(envelope(self.offset, first_seen, targets))
    }

    fn record_of(&mut self, envelope: Envelope) -> Event {
        let record = Rc::new(OpenEnvelope {
            envelope,
            payload: Bytes::from_static(b"{}"),
        });
        let offset = self.offset;
        self.offset += 1;
        Event::Record {
            lane: LANE,
            epoch: Epoch(1),
            offset,
            record,
        }
    }

    pub(super) fn finish(&mut self, millis: u64, work: WorkId, end: AttemptEnd) -> Vec<Action> {
        let elapsed = Duration::from_millis(1);
        let result = AttemptResult {
            started_at: T0,
            elapsed,
            end,
        };
        self.step(millis, Event::Finished { work, result })
    }

    /// What is said of the only endpoint with work.
    pub(super) fn view(&self, millis: u64) -> EndpointView {
        let mut views = self.core.views(at(millis), 0..usize::MAX);
        let view = views.next().expect("an endpoint with work");
        assert!(views.next().is_none());
        view
    }

    pub(super) fn watermark(&self) -> i64 {
        self.core.watermarks().next().unwrap().2
    }
}

pub(super) fn status(status: u16) -> AttemptEnd {
    AttemptEnd::Response {
        status,
        retry_after: None,
        directive: None,
    }
}

pub(super) fn sends(actions: &[Action]) -> Vec<WorkId> {
    let work = |action: &Action| match action {
        Action::Send(order) => Some(order.work),
        _ => None,
    };
    actions.iter().filter_map(work).collect()
}

pub(super) fn delays(actions: &[Action]) -> Vec<&DelayOrder> {
    fn order(action: &Action) -> Option<&DelayOrder> {
        match action {
            Action::Delay(order) => Some(order),
            _ => None,
        }
    }
    actions.iter().filter_map(order).collect()
}

pub(super) fn buried(actions: &[Action]) -> Vec<DeadReason> {
    let reason = |action: &Action| match action {
        Action::Bury(order) => Some(order.reason),
        _ => None,
    };
    actions.iter().filter_map(reason).collect()
}
