//! The dispatcher's decisions, without IO.
//!
//! The core takes events (a record was read, an attempt finished, a produce
//! was acked, time passed, configuration changed, a lane came or went) and
//! returns actions (send, delay, bury, record, release). It holds no clock,
//! socket, thread, channel or Kafka type, so that a simulation can drive
//! exactly the code that runs in production; the shell around it decides
//! nothing.
//!
//! **Invariants**
//! - An offset is below the watermark only if every target of every envelope
//!   below it is settled: the record that says where it went is acked.
//! - Nothing stays in memory longer than the queue wait plus the timeout of
//!   its request; what would wait longer is parked in a delay topic.
//! - Work carries the id it was given when its record was read. After a lane
//!   is released, whatever still arrives for its work is inert.

mod ages;
mod breaker;
mod bucket;
mod credit;
mod dedupe;
mod delivery;
mod endpoint;
mod gate;
mod health;
mod intake;
mod lane;
mod limits;
mod orders;
mod outcome;
mod parking;
mod pump;
mod queue;
mod readahead;
mod ready;
mod retries;
mod settle;
mod share;
#[cfg(test)]
mod tests;
mod time;
mod timers;
mod verify;
mod view;

use std::num::NonZeroU16;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use hooklane_model::catalog::{Change, EndpointStatus};
use hooklane_model::envelope::{ConfigStamp, Envelope};
use hooklane_model::id::{EndpointUid, IdMap};
use hooklane_model::lane::Lane;
use slab::Slab;

pub use self::breaker::BreakerState;
use self::bucket::BucketClock;
use self::delivery::Delivery;
use self::endpoint::{EndpointState, Known};
pub use self::gate::Pass;
use self::health::Failing;
use self::lane::LaneState;
pub use self::limits::Limits;
use self::limits::SLOTS_MIN;
pub use self::orders::{
    AttemptEntry, BuryOrder, ConsentOrder, DelayOrder, DisableOrder, HealthOrder, SendOrder,
    UnverifiedOrder, VerifyEnd, VerifyId, VerifyOrder, VerifyPass,
};
pub use self::outcome::{
    AttemptEnd, AttemptResult, DeadReason, Directive, Outcome, ParkReason, Side, Verdict, verdict,
};
use self::readahead::ReadAhead;
use self::ready::Ready;
use self::share::GivenWay;
pub use self::time::{Mono, Now};
use self::timers::Timers;
pub use self::verify::Deployment;
use self::verify::Verifier;
pub use self::view::EndpointView;

/// Names one delivery in memory. The sequence number tells a slot's present
/// work from work that held the same slot before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkId {
    /// Place in the table of deliveries.
    pub slot: u32,
    /// Which use of that place.
    pub seq: u32,
}

/// Counts the claims of lanes by this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(pub u64);

/// One record of a lane, decoded once and shared by its deliveries.
#[derive(Debug)]
pub struct OpenEnvelope {
    /// Everything but the payload.
    pub envelope: Envelope,
    /// The event's bytes, as they are sent.
    pub payload: Bytes,
}

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// The group gave this process a lane; reading starts at `next`.
    LaneAssigned {
        /// The lane.
        lane: Lane,
        /// The claim.
        epoch: Epoch,
        /// First offset that will be read.
        next: i64,
    },
    /// The lane must be given up: nothing new is started, answers are waited
    /// for until `deadline`, and [`Action::Released`] follows, at the latest a
    /// second after it.
    LaneRevoked {
        /// The lane.
        lane: Lane,
        /// Until when answers are waited for.
        deadline: Mono,
    },
    /// A record was read.
    Record {
        /// Lane it was read from.
        lane: Lane,
        /// Claim under which it was read.
        epoch: Epoch,
        /// Its offset.
        offset: i64,
        /// What it holds.
        record: Rc<OpenEnvelope>,
    },
    /// A record was read that is no envelope; it is on its way to the poison
    /// topic.
    Unreadable {
        /// Lane it was read from.
        lane: Lane,
        /// Claim under which it was read.
        epoch: Epoch,
        /// Its offset.
        offset: i64,
    },
    /// The unreadable record is durable in the poison topic.
    Poisoned {
        /// Lane it was read from.
        lane: Lane,
        /// Claim under which it was read.
        epoch: Epoch,
        /// Its offset.
        offset: i64,
    },
    /// A request whose start the core waits for has written its first byte:
    /// see [`Pass::is_waited_for`].
    Started {
        /// Whose.
        work: WorkId,
    },
    /// A request that [`Action::Send`] asked for has ended.
    Finished {
        /// Whose.
        work: WorkId,
        /// What came of it.
        result: AttemptResult,
    },
    /// A record that an action asked for is durable, or cannot be.
    Stored {
        /// Whose.
        work: WorkId,
        /// Which record.
        what: Stored,
        /// Whether it is durable.
        result: Result<(), StoreError>,
    },
    /// A request that [`Action::Verify`] asked for has ended.
    Verified {
        /// Which.
        id: VerifyId,
        /// What came of it.
        end: VerifyEnd,
    },
    /// The configuration changed; `stamp` is how far it is applied.
    Config {
        /// The changes.
        changes: Arc<Vec<Change>>,
        /// How far the configuration is applied.
        stamp: ConfigStamp,
    },
    /// Time passed, or the lease was renewed.
    Time,
}

/// Which record of a delivery was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// The entry of its last attempt in the attempts topic.
    Attempt,
    /// Its record in a delay topic.
    Delay,
    /// Its terminal record.
    Dead,
}

/// Why a record cannot be stored at all. Everything that may pass is retried
/// below, for ever; everything that concerns the process ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// Larger than the topic takes.
    TooLarge,
}

/// What is to be done.
#[derive(Debug)]
pub enum Action {
    /// Start a request. Answered by [`Event::Finished`].
    Send(SendOrder),
    /// Write an entry to the attempts topic. Answered by [`Event::Stored`]
    /// if the entry is terminal.
    Attempted(Box<AttemptEntry>),
    /// Write a delivery to a delay topic. Answered by [`Event::Stored`].
    Delay(DelayOrder),
    /// Write a terminal record. Answered by [`Event::Stored`].
    Bury(Box<BuryOrder>),
    /// Say in the status topic that an endpoint is called no more.
    Disable(DisableOrder),
    /// Write an endpoint's health to the status topic, for its next owner and
    /// for people.
    Health(HealthOrder),
    /// Ask a receiver for its consent. Answered by [`Event::Verified`].
    Verify(VerifyOrder),
    /// Write a receiver's consent to the status topic, or delete it.
    Consent(ConsentOrder),
    /// Write to the status topic why there is none yet, or delete that.
    Unverified(UnverifiedOrder),
    /// The lane is let go; `watermark` is final.
    Released {
        /// The lane.
        lane: Lane,
        /// The offset to commit.
        watermark: i64,
        /// Deliveries that may be repeated: their answers, or the acks of
        /// their records, were not waited for.
        abandoned: usize,
    },
}

/// What a delivery costs in memory beside its payload, measured generously:
/// the slab entry, its queue entry and timers.
pub const TARGET_BYTES: usize = 200;

/// The state of one worker: its lanes, endpoints and deliveries.
pub struct Core {
    limits: Limits,
    lanes: IdMap<Lane, LaneState>,
    /// Configured endpoints of this worker's lanes.
    known: IdMap<EndpointUid, Known>,
    /// What the status topic says, whatever the specs say now.
    statuses: IdMap<EndpointUid, Arc<EndpointStatus>>,
    /// Endpoints of claimed lanes that have done nothing but fail lately.
    failing: IdMap<EndpointUid, Failing>,
    /// Endpoints with work or with limits that still bind.
    endpoints: Slab<EndpointState>,
    by_uid: IdMap<EndpointUid, usize>,
    deliveries: Slab<Delivery>,
    next_seq: u32,
    /// Whose turn it is to start something.
    ready: Ready,
    /// Who must agree before anything is sent, and who has.
    verifier: Verifier,
    timers: Timers,
    /// Whether a sweep is armed.
    sweeping: bool,
    /// Deliveries whose endpoint is not known yet.
    unknown: Vec<WorkId>,
    clock: BucketClock,
    stamp: ConfigStamp,
    lease_until: Mono,
    in_flight: u32,
    /// Endpoints whose breaker is not closed.
    breakers_open: usize,
    /// Endpoints held, as of their timers.
    held: usize,
    bytes: usize,
    read_ahead: ReadAhead,
    given_way: GivenWay,
    rng: fastrand::Rng,
    /// The time of the step.
    now: Now,
    /// Limit refusals since the start, for the metric.
    limit_waits: u64,
}

impl Core {
    /// A core without lanes. `seed` decides its jitter.
    #[must_use]
    pub fn new(limits: Limits, seed: u64) -> Self {
        Self {
            limits,
            lanes: IdMap::default(),
            known: IdMap::default(),
            statuses: IdMap::default(),
            failing: IdMap::default(),
            endpoints: Slab::new(),
            by_uid: IdMap::default(),
            deliveries: Slab::new(),
            next_seq: 0,
            ready: Ready::default(),
            verifier: Verifier::new(Deployment {
                lanes: NonZeroU16::MIN,
                origin: String::new(),
            }),
            timers: Timers::default(),
            sweeping: false,
            unknown: Vec::new(),
            clock: BucketClock::default(),
            stamp: ConfigStamp::default(),
            lease_until: Mono(0),
            in_flight: 0,
            breakers_open: 0,
            held: 0,
            bytes: 0,
            read_ahead: ReadAhead::default(),
            given_way: GivenWay::default(),
            rng: fastrand::Rng::with_seed(seed),
            now: Now::default(),
            limit_waits: 0,
        }
    }

    /// Takes one event; what is to be done is appended to `out`.
    pub fn step(&mut self, now: Now, event: Event, out: &mut Vec<Action>) {
        self.clock.advance(now.mono);
        self.now = now;
        match event {
            Event::LaneAssigned { lane, epoch, next } => self.claim(now, lane, epoch, next),
            Event::LaneRevoked { lane, deadline } => self.revoke(now, lane, deadline, out),
            Event::Record {
                lane,
                epoch,
                offset,
                record,
            } => {
                self.take_in(now, (lane, epoch, offset), record, out);
            }
            Event::Unreadable {
                lane,
                epoch,
                offset,
            } => self.unreadable(now, lane, epoch, offset),
            Event::Poisoned {
                lane,
                epoch,
                offset,
            } => self.poisoned(lane, epoch, offset, out),
            Event::Started { work } => self.started(work),
            Event::Finished { work, result } => self.finished(now, work, result, out),
            Event::Stored { work, what, result } => self.stored(work, what, result, out),
            Event::Verified { id, end } => self.verified(now, id, &end, out),
            Event::Config { changes, stamp } => self.configure(now, &changes, stamp, out),
            Event::Time => {}
        }
        self.fire_timers(now, out);
        self.pump(now, out);
        self.verify(now, out);
    }

    /// Until when this process may believe that it owns its lanes. Requests
    /// start only before it.
    pub fn set_lease(&mut self, until: Mono) {
        self.lease_until = until;
    }

    /// When the core wants to be told the time, if nothing happens before.
    #[must_use]
    pub fn next_wake(&self) -> Option<Mono> {
        self.timers.next()
    }

    /// Whether anything is open.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.deliveries.is_empty()
    }

    /// The offset to commit for each lane, and the claim it holds for.
    pub fn watermarks(&self) -> impl Iterator<Item = (Lane, Epoch, i64)> + '_ {
        self.lanes
            .iter()
            .map(|(lane, state)| (*lane, state.epoch, state.tracker.watermark()))
    }

    /// What is held now, for metrics.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        Gauges {
            lanes: self.lanes.len(),
            deliveries: self.deliveries.len(),
            in_flight: self.in_flight,
            bytes: self.bytes,
            endpoints_active: self.endpoints.len(),
            endpoints_known: self.known.len(),
            endpoints_held: self.held,
            breakers_open: self.breakers_open,
            endpoints_unverified: (self.lanes.keys())
                .map(|lane| self.verifier.unverified_in(*lane))
                .sum(),
            limit_waits: self.limit_waits,
            tenants_full: self.ready.full(),
            tenant_waits: self.ready.waits(),
            queued: self.ready.ahead().0,
            queued_wide: self.ready.ahead().1,
            oldest: self
                .lanes
                .values()
                .filter_map(LaneState::oldest_since)
                .min(),
        }
    }
}

/// What a core holds at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gauges {
    /// Lanes owned.
    pub lanes: usize,
    /// Deliveries in memory.
    pub deliveries: usize,
    /// Requests open.
    pub in_flight: u32,
    /// Bytes held, as [`Limits::bytes`] counts them.
    pub bytes: usize,
    /// Endpoints with state in memory.
    pub endpoints_active: usize,
    /// Endpoints configured in this worker's lanes.
    pub endpoints_known: usize,
    /// Endpoints held by their own word (429, Retry-After).
    pub endpoints_held: usize,
    /// Endpoints whose breaker is open or half-open.
    pub breakers_open: usize,
    /// Endpoints of owned lanes that would send if their receivers agreed.
    pub endpoints_unverified: usize,
    /// Starts that the rate limit put off, since the start.
    pub limit_waits: u64,
    /// Tenants at their share of the slots with more to start.
    pub tenants_full: usize,
    /// Turns that a tenant did not take because it had its share of the
    /// slots, since the start.
    pub tenant_waits: u64,
    /// Deliveries that wait for this process: of each tenant at most its
    /// share, and none of wide events.
    pub queued: usize,
    /// Deliveries of wide events that wait for this process.
    pub queued_wide: usize,
    /// When the oldest record that is not settled was read.
    pub oldest: Option<Mono>,
}
