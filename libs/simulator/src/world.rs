//! A world: what there is, and how one thing leads to the next.

mod actions;
mod faults;
mod handover;
mod reading;
mod requests;
mod rest;
mod topics;
mod traffic;
mod verify;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hooklane_engine::{Action, Core, Deployment, Event, Mono, Now};
use hooklane_model::catalog::Change;
use hooklane_model::id::{DeliveryId, EndpointUid};
use hooklane_model::lane::lane_of;
use hooklane_model::time::UnixMillis;

use crate::agenda::{Agenda, BEGIN, Happening, Noticed, Who};
use crate::broker::Broker;
use crate::catalog::{Catalog, ORIGIN, View, uid_of};
use crate::failure::Failure;
use crate::group::Group;
use crate::notes::{Line, Notes};
use crate::oracle::Oracle;
use crate::plan::Plan;
use crate::process::{Process, State};
use crate::receiver::Receiver;
use crate::terms::Terms;
use crate::{Options, Summary};

/// The true wall time at the beginning.
const WALL: UnixMillis = UnixMillis(1_700_000_000_000);

/// The tenant that floods, where one does.
const HOT: &str = "hot";

/// How often topics forget what nobody needs, in seconds: longer than a commit
/// takes to land.
const RETAIN_EVERY: u64 = 120;

pub(crate) struct World<'a> {
    options: Options,
    trace: Option<&'a mut dyn FnMut(&Line)>,
    plan: Plan,
    rng: fastrand::Rng,
    agenda: Agenda,
    broker: Broker,
    group: Group,
    catalog: Catalog,
    processes: Vec<Process>,
    receivers: BTreeMap<EndpointUid, Receiver>,
    /// How receivers answer when they are asked for their consent.
    terms: Terms,
    oracle: Oracle,
    notes: Notes,
    actions: Vec<Action>,
    steps: u64,
    faults: u64,
    next_delivery: u128,
    poisoned: u64,
    /// No more events, edits and faults: everything comes to its end.
    resting: bool,
}

impl<'a> World<'a> {
    pub(crate) fn new(options: Options, trace: Option<&'a mut dyn FnMut(&Line)>) -> Self {
        let mut rng = fastrand::Rng::with_seed(options.seed);
        let plan = Plan::of(options.seed, &mut rng);
        let lanes = plan.lanes.get();
        let mut world = Self {
            options,
            trace,
            rng,
            agenda: Agenda::new(),
            broker: Broker::new(lanes),
            group: Group::new(lanes),
            catalog: Catalog::default(),
            processes: Vec::new(),
            receivers: BTreeMap::new(),
            terms: Terms::new(options.seed),
            oracle: Oracle::default(),
            notes: Notes::default(),
            actions: Vec::new(),
            steps: 0,
            faults: 0,
            next_delivery: 0,
            poisoned: 0,
            resting: false,
            plan,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        self.catalog.asking = self.plan.consent.then(|| self.terms.asking());
        self.oracle.calm = self.plan.calm;
        for index in 0..self.plan.endpoints {
            let limited = self.rng.u32(0..100) < self.plan.limited_percent;
            // The first few belong to the tenant that may be hot.
            let tenant = if index < 3 {
                HOT.to_owned()
            } else {
                format!("t{}", index % 5)
            };
            self.catalog.create(&mut self.rng, limited, &tenant);
        }
        for _ in 0..self.plan.crowd {
            self.catalog.create(&mut self.rng, false, HOT);
        }
        for place in 0..self.plan.processes {
            let cores = self.cores();
            self.processes.push(Process::new(place, cores, 0));
            self.begin_life(place);
        }
        self.agenda
            .after(Duration::from_secs(1), Happening::Sessions);
        // Lanes have found their owners by then.
        let quiet = Duration::from_secs(20);
        self.agenda.after(quiet, Happening::Arrival);
        if self.plan.churn {
            self.agenda.after(quiet, Happening::Churn);
        }
        if !self.plan.calm {
            self.agenda.after(quiet, Happening::Fault);
        }
    }

    fn cores(&mut self) -> Vec<Core> {
        (0..self.plan.workers)
            .map(|_| {
                let core = Core::new(self.plan.limits.clone(), self.rng.u64(..));
                core.in_deployment(Deployment {
                    lanes: self.plan.lanes,
                    origin: ORIGIN.to_owned(),
                })
            })
            .collect()
    }

    /// A process starts: it reads the whole configuration, then joins.
    fn begin_life(&mut self, place: usize) {
        let who = self.processes[place].who;
        self.configure(who);
        self.agenda
            .after(Duration::from_millis(300), Happening::Join(who));
        self.notice(who, Duration::from_millis(400), Noticed::Poll);
    }

    /// Runs to the end, or to the first broken rule.
    pub(crate) fn run(mut self) -> Result<Summary, Box<Failure>> {
        while self.steps < self.options.steps {
            if !self.turn() {
                break;
            }
            self.verdict()?;
        }
        self.rest();
        while !self.is_at_rest() && self.turn() {
            self.verdict()?;
        }
        self.check_rest();
        self.verdict()?;
        Ok(Summary {
            steps: self.steps,
            matched: self.oracle.matched,
            requests: self.oracle.requests,
            dead: self.oracle.dead,
            faults: self.faults,
        })
    }

    fn verdict(&self) -> Result<(), Box<Failure>> {
        let Some(broken) = &self.oracle.broken else {
            return Ok(());
        };
        Err(Box::new(Failure {
            options: self.options,
            rule: broken.rule,
            step: self.steps,
            what: format!("{} ({:?})", broken.what, (broken.delivery, broken.endpoint)),
            history: self.notes.about(broken.delivery, broken.endpoint),
        }))
    }

    /// The next thing happens. Returns whether there was one.
    fn turn(&mut self) -> bool {
        let Some(happening) = self.agenda.next() else {
            return false;
        };
        self.steps += 1;
        match happening {
            Happening::Arrival => self.arrive(),
            Happening::Churn => self.churn(),
            Happening::Fault => self.strike(),
            Happening::Rung(id) => self.rung(id),
            Happening::Unrung(id) => self.unrung(id),
            Happening::Land(produce) => self.land(*produce),
            Happening::CommitLands(who, member, offsets, sent) => {
                self.commit_lands(who, member, &offsets, sent);
            }
            Happening::Sessions => {
                self.group.expire(self.agenda.now());
                let seconds = self.agenda.now().since(BEGIN).as_secs();
                if seconds.is_multiple_of(RETAIN_EVERY) {
                    self.retain();
                }
                self.agenda
                    .after(Duration::from_secs(1), Happening::Sessions);
            }
            Happening::Join(who) => self.join(who),
            Happening::Thaw(who) => self.thaw(who),
            Happening::Restart(place) => self.restart(place),
            Happening::Heal(who) => {
                if self.is_alive(who) {
                    self.processes[who.place].cut_off = false;
                }
            }
            Happening::BrokerRecovers => self.broker.slow = false,
            Happening::At(who, noticed) => self.noticed(who, noticed),
        }
        true
    }

    fn is_alive(&self, who: Who) -> bool {
        let process = &self.processes[who.place];
        process.who == who && process.state != State::Dead
    }

    fn notice(&mut self, who: Who, after: Duration, what: Noticed) {
        self.agenda.after(after, Happening::At(who, what));
    }

    fn noticed(&mut self, who: Who, what: Noticed) {
        let process = &mut self.processes[who.place];
        if process.who != who || process.state == State::Dead {
            return;
        }
        if process.state == State::Frozen {
            process.missed.push(what);
            return;
        }
        match what {
            Noticed::Poll => self.poll(who),
            Noticed::Wake(worker) => {
                self.processes[who.place].workers[worker].wake_at = None;
                self.feed(who, worker, Event::Time);
            }
            Noticed::FirstByte(request) => self.first_byte(who, request),
            Noticed::Refused(request) => self.refused(who, request),
            Noticed::Answered(request, result) => self.answered(who, request, result),
            Noticed::Asks(number) => self.asks(who, number),
            Noticed::Agreed(number, end) => self.has_agreed(who, number, end),
            Noticed::Reported(worker, work, what, result) => {
                self.feed(who, worker, Event::Stored { work, what, result });
            }
            Noticed::Poisoned(worker, lane, epoch, offset) => {
                let event = Event::Poisoned {
                    lane,
                    epoch,
                    offset,
                };
                self.feed(who, worker, event);
            }
            Noticed::Committed(sent) => {
                self.processes[who.place].renew(sent);
                for worker in 0..self.plan.workers {
                    self.feed(who, worker, Event::Time);
                }
            }
            Noticed::Heartbeat => self.heartbeat(who),
            Noticed::HandedOver => self.handed_over(who),
            Noticed::DrainEnds(number) => self.drain_ends(who, number),
            Noticed::Batch(worker, records) => self.batch(who, worker, records),
            Noticed::Config => self.configure(who),
        }
    }

    /// The time as a process sees it.
    fn now_of(&self, who: Who) -> Now {
        let mono = self.agenda.now();
        let wall = self.wall().0;
        Now {
            mono,
            wall: UnixMillis(wall.saturating_add_signed(self.processes[who.place].wall_offset)),
        }
    }

    /// The true wall time.
    fn wall(&self) -> UnixMillis {
        WALL.after(self.agenda.now().since(BEGIN))
    }

    /// Gives a core an event, as a worker's turn does, and carries out what
    /// it orders.
    fn feed(&mut self, who: Who, worker: usize, event: Event) {
        let now = self.now_of(who);
        let process = &mut self.processes[who.place];
        process.wall_seen = process.wall_seen.max(now.wall);
        let lease = process.lease_until;
        let core = &mut process.workers[worker].core;
        core.set_lease(lease);
        let mut actions = std::mem::take(&mut self.actions);
        core.step(now, event, &mut actions);
        for action in actions.drain(..) {
            self.act(who, worker, now, action);
        }
        self.actions = actions;
        let process = &mut self.processes[who.place];
        let state = &mut process.workers[worker];
        self.oracle.holds(&self.plan, &state.core.gauges());
        if let Some(at) = state.core.next_wake().map(|at| at.max(now.mono))
            && state.wake_at.is_none_or(|set| set > at)
        {
            state.wake_at = Some(at);
            self.agenda
                .at(at, Happening::At(who, Noticed::Wake(worker)));
        }
    }

    /// Applies the configuration that has arrived at a process.
    fn configure(&mut self, who: Who) {
        let now = self.agenda.now();
        let process = &mut self.processes[who.place];
        let changes = self.catalog.since(process.applied);
        if changes.is_empty() {
            return;
        }
        let changes = changes.to_vec();
        process.applied = self.catalog.len();
        let stamp = Catalog::stamp(process.applied);
        for change in &changes {
            self.oracle.asks_anew(who, change);
            process
                .view
                .entry(uid_of(change))
                .or_default()
                .apply(change);
        }
        let mut touched: Vec<EndpointUid> = changes.iter().map(uid_of).collect();
        touched.dedup();
        for uid in touched {
            self.note(Some(who), "hears of changes", (None, Some(uid)), 0);
            self.oracle.breaker_reset(who, uid);
            self.limits_changed(uid, now);
        }
        for worker in 0..self.plan.workers {
            let workers = self.plan.workers;
            let mine: Vec<Change> = changes
                .iter()
                .filter(|change| {
                    let lane = lane_of(uid_of(change), self.plan.lanes);
                    usize::from(lane.0) % workers == worker
                })
                .cloned()
                .collect();
            let changes = Arc::new(mine);
            self.feed(who, worker, Event::Config { changes, stamp });
        }
    }

    /// Tells the oracle which limits are in force for an endpoint.
    fn limits_changed(&mut self, uid: EndpointUid, now: Mono) {
        let alive = self.processes.iter();
        let views = alive
            .filter(|process| process.state != State::Dead)
            .filter_map(|process| process.view.get(&uid))
            .filter(|view| view.endpoint.is_some());
        // Where nothing may be sent, no limit is in force: it goes on from the
        // one before when something may.
        let limits = (views.clone())
            .filter(|view| !view.is_unverified())
            .map(View::limit);
        if limits.clone().next().is_none() && views.clone().next().is_some() {
            return;
        }
        if let Some(limit) = self.oracle.limits_are(uid, limits, now) {
            let period = limit.map_or(0, |limit| limit.period.as_micros());
            let period = i64::try_from(period).unwrap_or(i64::MAX);
            self.note(None, "limit is one per us", (None, Some(uid)), period);
        }
    }

    fn note(
        &mut self,
        who: Option<Who>,
        what: &'static str,
        (delivery, endpoint): (Option<DeliveryId>, Option<EndpointUid>),
        number: i64,
    ) {
        let line = Line {
            step: self.steps,
            at: self.agenda.now(),
            place: who.map(|who| who.place),
            what,
            delivery,
            endpoint,
            number,
        };
        if let Some(trace) = &mut self.trace {
            trace(&line);
        }
        self.notes.push(line);
    }

    fn millis(&mut self, from: u64, until: u64) -> Duration {
        Duration::from_micros(self.rng.u64(from * 1_000..until * 1_000))
    }
}
