//! A worker: a thread with a current-thread runtime that owns some of the
//! lanes and everything that happens in them.
//!
//! It turns what arrives (records, finished requests, reports, configuration)
//! into events for its core, and the core's actions into requests and
//! records. It decides nothing. Nothing on this path is shared with other
//! workers.

mod failures;
mod inbox;
mod log;
mod look;
mod runners;
mod snapshots;
mod stores;

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use hooklane_model::catalog::Change;
use hooklane_model::lane::lane_of;
use hooklane_service::probes::Heartbeat;
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use self::inbox::Present;
pub(crate) use self::inbox::{Board, ReadRecord, Released, ToWorker};
use self::look::Look;
use self::runners::{Finished, Runners};
use self::snapshots::Snapshots;
use self::stores::Stores;
use crate::attempt::{Attempts, not_made};
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::recipients::{NoRecipient, Recipients};
use crate::secrets::Secrets;
use crate::steps::WorkerStep;
use crate::token::About;
use crate::verify::unusable;
use hooklane_engine::{
    Action, Core, Deployment, Event, Limits, Mono, Now, SendOrder, VerifyEnd, VerifyOrder,
};

/// How often a worker looks for reports and publishes its watermarks while
/// something is open.
const TICK: Duration = Duration::from_millis(20);
/// How often it turns when nothing is open: the heartbeat.
const IDLE_TICK: Duration = Duration::from_millis(500);

/// How often idle connections are looked at.
const MAINTENANCE: Duration = Duration::from_secs(1);

/// How long a request waits for its endpoint's mounted secrets to be read the
/// first time: a disk's time and not a broken volume's. Beyond it, it is as
/// with a secret that is missing, and read all the same.
const READ_WAIT: Duration = Duration::from_secs(1);

/// What a worker is made of.
pub(crate) struct Parts {
    /// Which worker, from 0.
    pub(crate) index: u16,
    /// How many there are.
    pub(crate) workers: u16,
    /// Lanes of the deliveries topic.
    pub(crate) lanes: std::num::NonZeroU16,
    pub(crate) limits: Limits,
    /// Who we say that we are in handshakes; empty where nobody has said.
    pub(crate) origin: String,
    /// Decides all jitter.
    pub(crate) seed: u64,
    pub(crate) inbox: mpsc::Receiver<ToWorker>,
    pub(crate) board: Arc<Board>,
    pub(crate) released: SyncSender<Released>,
    pub(crate) outbox: Outbox,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) heartbeat: Heartbeat<WorkerStep>,
}

/// A running worker.
pub(crate) struct Worker {
    parts: Parts,
    core: Core,
    attempts: Rc<Attempts>,
    recipients: Recipients,
    finished: Rc<Finished>,
    runners: Runners,
    stores: Stores,
    snapshots: Snapshots,
    look: Look,
    actions: Vec<Action>,
    pending: VecDeque<Event>,
    reports: Vec<(About, Result<(), hooklane_engine::StoreError>)>,
    published_at: Mono,
    maintained_at: Mono,
}

impl Worker {
    pub(crate) fn new(parts: Parts, attempts: Attempts, secrets: Arc<Secrets>) -> Self {
        let stores = Stores::new(parts.index, parts.outbox.clone(), parts.metrics.clone());
        let core = Core::new(parts.limits.clone(), parts.seed).in_deployment(Deployment {
            lanes: parts.lanes,
            origin: parts.origin.clone(),
        });
        let (attempts, finished) = (Rc::new(attempts), Rc::<Finished>::default());
        Self {
            snapshots: Snapshots::new(parts.lanes),
            look: Look::new(parts.metrics.endpoints.sum()),
            parts,
            core,
            runners: Runners::new(attempts.clone(), finished.clone()),
            attempts,
            recipients: Recipients::new(secrets),
            finished,
            stores,
            actions: Vec::new(),
            pending: VecDeque::new(),
            reports: Vec::new(),
            published_at: Mono(0),
            maintained_at: Mono(0),
        }
    }

    /// Works until the inbox is closed.
    pub(crate) async fn run(mut self) {
        let local = LocalSet::new();
        local.run_until(async { while self.turn().await {} }).await;
        self.parts.heartbeat.retire();
    }

    /// One turn: wait for something, take what is there, act on it. Returns
    /// whether there will be another.
    async fn turn(&mut self) -> bool {
        self.parts.heartbeat.at(WorkerStep::Requests);
        let open = self.wait().await;
        self.parts.heartbeat.at(WorkerStep::Take);
        let mut present = Present::of(&self.parts.inbox);
        while let Some(arrived) = present.next(&mut self.parts.inbox) {
            self.take(arrived);
        }
        let mut started = self.finished.started.borrow_mut();
        self.pending
            .extend(started.drain(..).map(|work| Event::Started { work }));
        drop(started);
        let mut finished = self.finished.results.borrow_mut();
        let ended = finished.drain(..);
        self.pending
            .extend(ended.map(|(work, result)| Event::Finished { work, result }));
        drop(finished);
        let waited = std::mem::take(&mut *self.finished.waited.borrow_mut());
        for (end, order) in waited {
            self.send_by(self.now(), end, order);
        }
        let mut verified = self.finished.verified.borrow_mut();
        for (id, end) in verified.drain(..) {
            self.parts.metrics.verified(&end);
            self.pending.push_back(Event::Verified { id, end });
        }
        drop(verified);
        self.take_reports();
        self.step_all();
        self.parts.heartbeat.at(WorkerStep::Publish);
        self.publish();
        open
    }

    /// Waits for a record, the end of a request, a timer of the core, or the
    /// tick. Returns whether the inbox is still open.
    async fn wait(&mut self) -> bool {
        let now = self.now();
        let gauges_open = self.stores.is_waiting() || self.core.is_busy();
        let tick = if gauges_open { TICK } else { IDLE_TICK };
        let timer = self.core.next_wake().map_or(tick, |at| at.since(now.mono));
        let wait = timer.min(tick);
        let finished = self.finished.clone();
        let arrived = tokio::select! {
            biased;
            // Ends of requests first: they free slots before new work comes.
            () = finished.wake.notified() => return true,
            arrived = self.parts.inbox.recv() => arrived,
            () = tokio::time::sleep(wait) => return true,
        };
        match arrived {
            Some(arrived) => {
                self.take(arrived);
                true
            }
            None => false,
        }
    }

    fn now(&self) -> Now {
        Now {
            mono: self.attempts.clocks.mono(),
            wall: self.attempts.clocks.wall.now(),
        }
    }

    fn take(&mut self, arrived: ToWorker) {
        match arrived {
            ToWorker::Batch(records) => {
                for record in records {
                    self.take_record(record);
                }
            }
            ToWorker::Assigned { lane, epoch, next } => {
                self.stores.lane_assigned(lane);
                self.snapshots
                    .claimed(lane, self.attempts.clocks.wall.now());
                self.pending
                    .push_back(Event::LaneAssigned { lane, epoch, next });
            }
            ToWorker::Revoked { lane, deadline } => {
                self.snapshots.let_go(lane);
                self.pending
                    .push_back(Event::LaneRevoked { lane, deadline });
            }
            ToWorker::Config(changes, stamp) => {
                let mine = self.mine(&changes);
                self.pending.push_back(Event::Config {
                    changes: mine,
                    stamp,
                });
            }
        }
    }

    /// The changes that concern endpoints of this worker's lanes and that
    /// something may be decided by: a snapshot is not among them.
    fn mine(&mut self, changes: &[Change]) -> Arc<Vec<Change>> {
        let parts = &self.parts;
        let of = |uid| lane_of(uid, parts.lanes).0 % parts.workers == parts.index;
        let mine: Vec<Change> = changes
            .iter()
            .filter(|change| match change {
                Change::Endpoint(endpoint) => of(endpoint.uid()),
                Change::EndpointGone(uid) | Change::StatusGone(uid) => of(*uid),
                Change::Status(uid, _) => of(*uid),
                Change::Snapshot(uid, stands) => {
                    if of(*uid) {
                        self.snapshots.seen(*uid, *stands);
                    }
                    false
                }
                Change::Consent(uid, _) | Change::Unverified(uid, _) => of(*uid),
                Change::Source(_) | Change::SourceGone(_) => false,
                Change::Subscription(_) | Change::SubscriptionGone(_) => false,
            })
            .cloned()
            .collect();
        for change in &mine {
            if let Change::EndpointGone(uid) = change {
                self.recipients.forget(*uid);
                self.snapshots.failures.forget(*uid);
            }
        }
        Arc::new(mine)
    }

    fn take_record(&mut self, record: ReadRecord) {
        let (lane, epoch, offset) = (record.lane, record.epoch, record.offset);
        match self
            .stores
            .read(record, &self.parts.board, self.attempts.clocks.wall.now())
        {
            stores::Read::Envelope(record) => {
                self.pending.push_back(Event::Record {
                    lane,
                    epoch,
                    offset,
                    record,
                });
            }
            stores::Read::Poison => {
                self.pending.push_back(Event::Unreadable {
                    lane,
                    epoch,
                    offset,
                });
            }
            stores::Read::Ignored => {}
        }
    }

    fn take_reports(&mut self) {
        let mut reports = std::mem::take(&mut self.reports);
        self.parts
            .outbox
            .take_reports(self.parts.index, &mut reports);
        for (about, result) in reports.drain(..) {
            self.stores.reported(about, result, &mut self.pending);
        }
        self.reports = reports;
    }

    /// Gives the core everything there is, and the time.
    fn step_all(&mut self) {
        let now = self.now();
        self.parts.heartbeat.at(WorkerStep::Decide);
        self.core.set_lease(self.attempts.lease.until());
        while let Some(event) = self.pending.pop_front() {
            self.core.step(now, event, &mut self.actions);
            self.act(now);
        }
        self.core.step(now, Event::Time, &mut self.actions);
        self.act(now);
        self.parts.heartbeat.at(WorkerStep::Look);
        self.look(now);
        self.parts.heartbeat.at(WorkerStep::Store);
        self.stores.send(now);
    }

    fn act(&mut self, now: Now) {
        let mut actions = std::mem::take(&mut self.actions);
        for action in actions.drain(..) {
            if let Action::Attempted(entry) = &action {
                self.snapshots.failures.attempted(entry);
            }
            match action {
                Action::Send(order) => self.send(now, order),
                Action::Verify(order) => self.verify(now, order),
                Action::Released {
                    lane,
                    watermark,
                    abandoned,
                } => {
                    self.parts.metrics.abandoned(abandoned);
                    self.stores.send_all(now);
                    // Room for every lane there is: see where it is made.
                    let told = self.parts.released.try_send(Released { lane, watermark });
                    debug_assert!(told.is_ok(), "the release of lane {lane} was not taken");
                }
                other => self.stores.push(other, now.mono),
            }
        }
        self.actions = actions;
    }

    fn send(&mut self, now: Now, order: SendOrder) {
        self.parts.metrics.starting(&order, now.wall);
        self.send_by(now, now.mono.after(READ_WAIT), order);
    }

    /// Sends it, or waits for its endpoint's secrets until `end`.
    fn send_by(&mut self, now: Now, end: Mono, order: SendOrder) {
        let why = match self
            .recipients
            .of(&self.attempts.sender, &order.endpoint, now.mono)
        {
            Ok(recipient) => return self.runners.start(recipient, order),
            Err(NoRecipient::Reading(read)) if now.mono < end => {
                let wait = end.since(now.mono);
                return self.runners.wait(read, wait, (end, order));
            }
            Err(NoRecipient::Reading(read)) => self.recipients.gave_up(&order.endpoint, read),
            Err(NoRecipient::Unusable(why)) => why,
        };
        self.finished.push(order.work, not_made(why, now.wall));
    }

    fn verify(&mut self, now: Now, order: VerifyOrder) {
        match self
            .recipients
            .of(&self.attempts.sender, &order.endpoint, now.mono)
        {
            Ok(recipient) => self.runners.verify(recipient, order),
            // Asked again in a second: the file is read by then, or soon.
            Err(NoRecipient::Reading(_)) => {
                self.finished.verified(order.id, VerifyEnd::NotStarted);
            }
            Err(NoRecipient::Unusable(why)) => self.finished.verified(order.id, unusable(why)),
        }
    }

    /// Shows the consumer thread and the metrics where this worker stands.
    fn publish(&mut self) {
        let full = !self.core.has_room() || self.stores.is_blocked();
        self.parts.board.set_full(full);
        let now = self.attempts.clocks.mono();
        if now.since(self.published_at) < TICK {
            return;
        }
        self.published_at = now;
        self.parts.board.publish(self.core.watermarks());
        let stats = self.attempts.sender.stats();
        self.parts
            .metrics
            .publish(self.parts.index, &self.core.gauges(), &stats, now);
        self.parts.heartbeat.beat_at(now.0);
        if now.since(self.maintained_at) >= MAINTENANCE {
            self.maintained_at = now;
            self.attempts.sender.maintain();
            self.recipients.forget_unused(now);
        }
    }
}
