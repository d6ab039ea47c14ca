//! A lane's log, the scheduler, receivers, the broker's acks and a clock, all
//! driven by one seed; and an oracle that looks at every action.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hooklane_model::catalog::Change;
use hooklane_model::envelope::{
    Chunk, ConfigStamp, Envelope, EventHead, Origin, SourcePosition, Target,
};
use hooklane_model::id::{DeliveryId, EndpointUid, SubscriptionUid};
use hooklane_model::lane::Lane;
use hooklane_model::resource::{Endpoint, Manifest, Strictness, parse_value};
use hooklane_model::time::UnixMillis;
use serde_json::json;

use crate::*;

pub(super) const LANE: Lane = Lane(0);
const START: UnixMillis = UnixMillis(1_700_000_000_000);
const ENDPOINTS: u128 = 6;

#[derive(Clone, Copy)]
pub(super) struct Faults {
    crashes: bool,
    revokes: bool,
}

impl Faults {
    pub(super) const NONE: Self = Self {
        crashes: false,
        revokes: false,
    };
    pub(super) const ALL: Self = Self {
        crashes: true,
        revokes: true,
    };
}

/// Something that will happen.
#[derive(Debug)]
enum Later {
    /// A request has its connection, and would write its first byte.
    Start(u64, Box<SendOrder>),
    /// Of a life and a claim.
    Finish((u64, u64), EndpointUid, WorkId, AttemptResult),
    Ack(u64, WorkId, Stored),
    /// A delay topic's release: the record is appended to the lane again.
    Append(Box<Envelope>),
}

/// What a receiver and an endpoint's log of starts look like to the oracle.
#[derive(Default)]
struct Seen {
    /// Start times per endpoint, for the limit.
    starts: HashMap<EndpointUid, Vec<Mono>>,
    /// Until when an endpoint asked to be left alone.
    held: HashMap<EndpointUid, UnixMillis>,
    /// Until when an endpoint answers nothing but 500.
    failing: HashMap<EndpointUid, UnixMillis>,
    /// Failures one after the other that the core was told of.
    streak: HashMap<EndpointUid, Streak>,
    delivered: HashMap<DeliveryId, u32>,
    dead: HashMap<DeliveryId, u32>,
}

#[derive(Default)]
struct Streak {
    failures: u32,
    last: Mono,
    /// The request that was started since it must be open.
    probe: Option<WorkId>,
}

pub(super) struct World {
    seed: u64,
    rng: fastrand::Rng,
    core: Core,
    faults: Faults,
    faulted: bool,
    /// Everything is to come to its end.
    quiet: bool,
    /// Which life of the process; what an earlier one left behind is ignored.
    life: u64,
    now: Now,
    log: Vec<Envelope>,
    read: usize,
    committed: i64,
    epoch: u64,
    draining: bool,
    later: BTreeMap<(Mono, u64), Later>,
    ordinal: u64,
    endpoints: Vec<Arc<Endpoint>>,
    matched: HashSet<DeliveryId>,
    seen: Seen,
}

fn limits() -> Limits {
    Limits {
        queue_wait: Duration::from_secs(10),
        slots: 12,
        bytes: 1 << 20,
        tenant_percent: 50,
        retry_percent: 20,
    }
}

pub(super) fn endpoint(uid: u128, generation: u64, spec: serde_json::Value) -> Arc<Endpoint> {
    endpoint_of("t", uid, generation, spec)
}

pub(super) fn endpoint_of(
    tenant: &str,
    uid: u128,
    generation: u64,
    spec: serde_json::Value,
) -> Arc<Endpoint> {
    let document = json!({
        "apiVersion": "hooklane/v1",
        "kind": "Endpoint",
        "metadata": {
            "tenant": tenant, "name": format!("e{uid}"),
            "uid": EndpointUid(uid).to_string(), "generation": generation,
        },
        "spec": spec,
    });
    match parse_value(document, Strictness::Write).unwrap().0.manifest {
        Manifest::Endpoint(endpoint) => Arc::new(endpoint),
        other => panic!("{other:?}"),
    }
}

fn some_endpoint(rng: &mut fastrand::Rng, uid: u128) -> Arc<Endpoint> {
    let mut spec = json!({
        "url": "https://r.example/hook",
        "maxConcurrency": rng.u32(1..5),
        "timeout": "5s",
        "retry": {"schedule": ["1s", "5s", "30s"], "jitter": 0.2, "maxAge": "2h"},
    });
    if rng.bool() {
        spec["rateLimit"] = json!({"perSecond": rng.u32(1..20), "burst": rng.u32(1..10)});
    }
    endpoint(uid, 1, spec)
}

pub(super) fn envelope(offset: i64, first_seen: UnixMillis, targets: Vec<Target>) -> Envelope {
    Envelope {
        origin: Origin::Ingest { run: 1 },
        event: EventHead {
            id: offset.to_string(),
            ..EventHead::default()
        },
        position: SourcePosition {
            topic: "t".into(),
            topic_id: 0,
            partition: 0,
            offset,
        },
        chunk: Chunk { index: 0, count: 1 },
        config: ConfigStamp {
            epoch: 1,
            offset: 1,
        },
        first_seen,
        targets,
    }
}

pub(super) fn target(id: u128, endpoint: u128) -> Target {
    Target {
        delivery: DeliveryId(id),
        endpoint: EndpointUid(endpoint),
        subscription: SubscriptionUid(1),
        attempt: 1,
        due: UnixMillis(0),
        delayed_at: UnixMillis(0),
        spills: 0,
    }
}

impl World {
    pub(super) fn new(seed: u64, faults: Faults) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let endpoints: Vec<_> = (1..=ENDPOINTS)
            .map(|uid| some_endpoint(&mut rng, uid))
            .collect();
        let mut world = Self {
            seed,
            rng,
            core: Core::new(limits(), seed),
            faults,
            faulted: false,
            quiet: false,
            life: 0,
            now: Now {
                mono: Mono(1_000_000_000_000),
                wall: START,
            },
            log: Vec::new(),
            read: 0,
            committed: 0,
            epoch: 0,
            draining: false,
            later: BTreeMap::new(),
            ordinal: 0,
            endpoints,
            matched: HashSet::new(),
            seen: Seen::default(),
        };
        world.begin_life();
        world
    }

    /// A process starts: nothing in memory, the lane from its committed offset.
    fn begin_life(&mut self) {
        self.life += 1;
        self.core = Core::new(limits(), self.rng.u64(..));
        self.core.set_lease(Mono(u64::MAX));
        let changes = self
            .endpoints
            .iter()
            .cloned()
            .map(Change::Endpoint)
            .collect();
        let stamp = ConfigStamp {
            epoch: 1,
            offset: 1,
        };
        self.step(Event::Config {
            changes: Arc::new(changes),
            stamp,
        });
        self.claim();
    }

    fn claim(&mut self) {
        self.seen.streak.clear();
        self.epoch += 1;
        self.draining = false;
        self.read = usize::try_from(self.committed).unwrap();
        let (epoch, next) = (Epoch(self.epoch), self.committed);
        self.step(Event::LaneAssigned {
            lane: LANE,
            epoch,
            next,
        });
    }

    pub(super) fn run(mut self) {
        for _ in 0..self.rng.usize(200..1_500) {
            self.random_step();
        }
        self.quiesce();
        self.check_the_books();
    }

    fn random_step(&mut self) {
        match self.rng.u32(0..100) {
            0..30 => self.append_event(),
            30..65 => self.read_one(),
            65..90 => self.pass_time(),
            90..97 => self.commit(),
            97 if self.faults.crashes && self.rng.u32(0..4) == 0 => {
                self.faulted = true;
                self.begin_life();
            }
            98 if self.faults.revokes => self.revoke(),
            _ => {}
        }
    }

    fn append_event(&mut self) {
        let offset = i64::try_from(self.log.len()).unwrap();
        let mut targets = Vec::new();
        for uid in 1..=ENDPOINTS {
            if self.rng.u32(0..3) == 0 {
                let id = u128::from(self.rng.u64(..)) << 8 | uid;
                self.matched.insert(DeliveryId(id));
                targets.push(target(id, uid));
            }
        }
        if !targets.is_empty() {
            self.log.push(envelope(offset, self.now.wall, targets));
        }
    }

    fn read_one(&mut self) {
        if self.draining || !self.core.has_room() {
            return;
        }
        if let Some(record) = self.log.get(self.read).cloned() {
            let offset = i64::try_from(self.read).unwrap();
            self.read += 1;
            let payload = Bytes::from_static(b"{}");
            let record = Rc::new(OpenEnvelope {
                envelope: record,
                payload,
            });
            let epoch = Epoch(self.epoch);
            self.step(Event::Record {
                lane: LANE,
                epoch,
                offset,
                record,
            });
        }
    }

    fn commit(&mut self) {
        if let Some((_, _, watermark)) = self.core.watermarks().next() {
            assert!(
                watermark >= self.committed,
                "seed {}: the watermark went back",
                self.seed
            );
            self.committed = watermark;
        }
    }

    fn revoke(&mut self) {
        if !self.draining {
            self.draining = true;
            let deadline = self.now.mono.after(Duration::from_secs(3));
            self.step(Event::LaneRevoked {
                lane: LANE,
                deadline,
            });
        }
    }

    /// Moves the clock to the next thing that happens, or a little.
    fn pass_time(&mut self) {
        let step = Duration::from_millis(self.rng.u64(1..400));
        let next = self.later.keys().next().map(|(at, _)| *at);
        let wake = self.core.next_wake();
        let until = [next, wake].into_iter().flatten().min();
        let to = until
            .unwrap_or(Mono(u64::MAX))
            .min(self.now.mono.after(step))
            .max(self.now.mono);
        self.advance_to(to.max(Mono(self.now.mono.0 + 1)));
        self.happen();
        self.step(Event::Time);
    }

    fn advance_to(&mut self, to: Mono) {
        self.now.mono = to;
        self.now.wall = START.after(to.since(Mono(1_000_000_000_000)));
    }

    fn happen(&mut self) {
        while let Some(((at, _), _)) = self.later.first_key_value() {
            if *at > self.now.mono {
                return;
            }
            match self.later.pop_first().unwrap().1 {
                Later::Finish((life, claim), uid, work, result) if life == self.life => {
                    if claim == self.epoch {
                        self.ended(uid, work, &result.end);
                    }
                    self.step(Event::Finished { work, result });
                }
                Later::Ack(life, work, what) if life == self.life => {
                    self.step(Event::Stored {
                        work,
                        what,
                        result: Ok(()),
                    });
                }
                Later::Start(life, order) if life == self.life => self.start(*order),
                Later::Append(envelope) => self.log.push(*envelope),
                Later::Start(..) | Later::Finish(..) | Later::Ack(..) => {}
            }
        }
    }

    fn later(&mut self, after: Duration, what: Later) {
        self.ordinal += 1;
        self.later
            .insert((self.now.mono.after(after), self.ordinal), what);
    }

    fn step(&mut self, event: Event) {
        let mut actions = Vec::new();
        self.core.step(self.now, event, &mut actions);
        for action in actions {
            self.act(action);
        }
        let gauges = self.core.gauges();
        assert!(gauges.in_flight <= limits().slots, "seed {}", self.seed);
    }

    fn act(&mut self, action: Action) {
        let life = self.life;
        let ack = Duration::from_millis(self.rng.u64(1..200));
        match action {
            Action::Send(order) => self.connect(order),
            Action::Attempted(entry) => {
                if entry.outcome == Outcome::Delivered {
                    *self
                        .seen
                        .delivered
                        .entry(entry.target.delivery)
                        .or_default() += 1;
                }
                if entry.terminal {
                    self.later(ack, Later::Ack(life, entry.work, Stored::Attempt));
                }
            }
            Action::Delay(order) => {
                let envelope = order.envelope.envelope.unicast(order.target);
                let late = Duration::from_millis(self.rng.u64(0..900));
                let wait = order.target.due.since(self.now.wall) + late;
                self.later(ack.max(wait), Later::Append(Box::new(envelope)));
                self.later(ack, Later::Ack(life, order.work, Stored::Delay));
            }
            Action::Bury(order) => {
                *self.seen.dead.entry(order.target.delivery).or_default() += 1;
                self.later(ack, Later::Ack(life, order.work, Stored::Dead));
            }
            Action::Disable(_) | Action::Health(_) => {}
            Action::Verify(_) | Action::Consent(_) | Action::Unverified(_) => {}
            Action::Released {
                watermark,
                abandoned,
                ..
            } => {
                assert!(watermark >= self.committed, "seed {}", self.seed);
                self.faulted |= abandoned > 0;
                self.committed = watermark;
                self.claim();
            }
        }
    }

    /// Connects: mostly at once, sometimes for seconds.
    fn connect(&mut self, order: SendOrder) {
        assert!(
            !self.draining,
            "seed {}: a start in a lane that is given up",
            self.seed
        );
        let slow = self.rng.u32(0..4) == 0;
        let took = if slow { self.rng.u64(0..4_000) } else { 0 };
        let start = Later::Start(self.life, Box::new(order));
        self.later(Duration::from_millis(took), start);
    }

    fn start(&mut self, order: SendOrder) {
        let work = order.work;
        if order.pass.start(self.now.mono) {
            let word = order.pass.is_waited_for();
            self.sent(order);
            if word {
                self.step(Event::Started { work });
            }
            return;
        }
        let result = AttemptResult {
            started_at: self.now.wall,
            elapsed: Duration::ZERO,
            end: AttemptEnd::NotStarted,
        };
        self.step(Event::Finished { work, result });
    }

    /// The receiver: checks what must hold of every start, and answers.
    fn sent(&mut self, order: SendOrder) {
        let uid = order.target.endpoint;
        let seed = self.seed;
        assert!(
            !self.draining,
            "seed {seed}: a start in a lane that is given up"
        );
        assert!(
            order.target.due <= self.now.wall,
            "seed {seed}: {uid} started before it was due"
        );
        let held = self.seen.held.get(&uid).copied().unwrap_or_default();
        assert!(
            self.faulted || held <= self.now.wall,
            "seed {seed}: {uid} started while it was held"
        );
        let starts = self.seen.starts.entry(uid).or_default();
        starts.push(self.now.mono);
        if let Some(limit) = order.endpoint.spec.rate_limit {
            for (i, first) in starts.iter().enumerate() {
                let window = self.now.mono.since(*first);
                let count = starts.len() - i;
                let allowed = window.as_nanos() / limit.period.as_nanos();
                let allowed = usize::try_from(allowed).unwrap() + limit.burst.get() as usize;
                assert!(count <= allowed, "seed {seed}: {uid} exceeded its limit");
            }
        }
        let took = Duration::from_millis(self.rng.u64(1..3_000));
        self.check_probe(uid, order.work);
        let result = self.answer(uid, took);
        if let AttemptEnd::Response {
            status: 429,
            retry_after: Some(wait),
            ..
        } = result.end
        {
            // Known to the core when the answer arrives, to the oracle then.
            let until = self.now.wall.after(took).after(wait);
            if self.now.wall.after(took) <= self.now.wall.after(Duration::from_millis(1)) {
                self.seen.held.insert(uid, until);
            }
        }
        self.later(
            took,
            Later::Finish((self.life, self.epoch), uid, order.work, result),
        );
    }

    /// An endpoint that failed ten times in a row sees single probes, and none
    /// within a second of a failure.
    fn check_probe(&mut self, uid: EndpointUid, work: WorkId) {
        let (seed, now) = (self.seed, self.now.mono);
        let streak = self.seen.streak.entry(uid).or_default();
        // After a long silence a core may have forgotten; a failure on the
        // way back opens it again, which is not counted here.
        if streak.failures < 10 || now.since(streak.last) > Duration::from_secs(300) {
            return;
        }
        assert!(
            streak.probe.is_none(),
            "seed {seed}: {uid} got two probes at once"
        );
        assert!(
            now.since(streak.last) >= Duration::from_secs(1),
            "seed {seed}: {uid} was called with its breaker open"
        );
        streak.probe = Some(work);
    }

    fn ended(&mut self, uid: EndpointUid, work: WorkId, end: &AttemptEnd) {
        let streak = self.seen.streak.entry(uid).or_default();
        let probe = streak.probe == Some(work);
        if probe {
            streak.probe = None;
        }
        let straggler = streak.failures >= 10 && !probe;
        match end {
            AttemptEnd::Response { status, .. } if *status < 500 => {
                if !straggler {
                    streak.failures = 0;
                }
            }
            AttemptEnd::NotStarted | AttemptEnd::Blocked { .. } => {}
            AttemptEnd::Response { .. } | AttemptEnd::Failed { .. } => {
                streak.failures += 1;
                if !straggler {
                    streak.last = self.now.mono;
                }
            }
        }
    }

    fn answer(&mut self, uid: EndpointUid, elapsed: Duration) -> AttemptResult {
        let response = |status, retry_after| AttemptEnd::Response {
            status,
            retry_after,
            directive: None,
        };
        if self.rng.u32(0..60) == 0 && !self.quiet {
            let until = Duration::from_secs(self.rng.u64(10..600));
            self.seen.failing.insert(uid, self.now.wall.after(until));
        }
        let fails = self.seen.failing.get(&uid);
        let fails = fails.is_some_and(|until| *until > self.now.wall);
        let end = match self.rng.u32(0..20) {
            _ if fails => response(500, None),
            0..12 => response(200, None),
            12..15 => response(500, None),
            15 => response(404, None),
            16 => response(429, Some(Duration::from_secs(self.rng.u64(0..40)))),
            17 => response(503, Some(Duration::from_secs(self.rng.u64(0..20)))),
            18 => AttemptEnd::Failed {
                reason: "timeout",
                side: Side::Receiver,
            },
            _ => AttemptEnd::NotStarted,
        };
        AttemptResult {
            started_at: self.now.wall,
            elapsed,
            end,
        }
    }

    /// No more events and no more faults: everything must come to its end.
    fn quiesce(&mut self) {
        self.faults = Faults::NONE;
        self.quiet = true;
        let until = self.now.mono.after(Duration::from_secs(6 * 3_600));
        while self.now.mono < until {
            while self.read < self.log.len() && !self.draining && self.core.has_room() {
                self.read_one();
            }
            let next = self.later.keys().next().map(|(at, _)| *at);
            let Some(at) = [next, self.core.next_wake()].into_iter().flatten().min() else {
                break;
            };
            self.advance_to(at.max(Mono(self.now.mono.0 + 1)));
            self.happen();
            self.step(Event::Time);
        }
        self.commit();
    }

    fn check_the_books(&self) {
        let seed = self.seed;
        for id in &self.matched {
            let delivered = self.seen.delivered.get(id).copied().unwrap_or(0);
            let dead = self.seen.dead.get(id).copied().unwrap_or(0);
            assert!(delivered + dead > 0, "seed {seed}: {id} was lost");
            if !self.faulted {
                assert_eq!(
                    delivered + dead,
                    1,
                    "seed {seed}: {id} ended more than once"
                );
            }
        }
        assert_eq!(
            self.committed,
            i64::try_from(self.log.len()).unwrap(),
            "seed {seed}: not all settled"
        );
        let gauges = self.core.gauges();
        assert_eq!(
            (gauges.deliveries, gauges.bytes, gauges.in_flight),
            (0, 0, 0),
            "seed {seed}"
        );
        assert_eq!(
            gauges.endpoints_active, 0,
            "seed {seed}: endpoints not forgotten"
        );
    }
}
