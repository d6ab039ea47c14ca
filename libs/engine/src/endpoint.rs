//! An endpoint as one worker sees it: its queue, its limits, its holds.

use std::sync::Arc;
use std::time::Duration;

use hooklane_model::id::EndpointUid;
use hooklane_model::lane::Lane;
use hooklane_model::resource::{Endpoint, RateLimit};
use hooklane_model::time::UnixMillis;

use crate::ages::Ages;
use crate::breaker::{Admit, Breaker};
use crate::bucket::{Bucket, BucketClock};
use crate::gate::Gate;
use crate::queue::{Class, Queue};
use crate::retries::RetryBudget;
use crate::{Limits, Mono, Now, ParkReason};

/// What configuration and status say of an endpoint uid.
#[derive(Clone, Debug)]
pub(crate) enum Known {
    /// It exists.
    Configured {
        /// As configured.
        endpoint: Arc<Endpoint>,
        /// Its receiver asked not to be called, under this very spec.
        disabled: bool,
        /// That was found out here, and the verdict is not read back yet: what
        /// the status topic says until then is older.
        found: bool,
        /// Its receiver has not agreed to be called.
        unverified: bool,
        /// When its rate limit was last changed under this process: what it
        /// sent before is not known to a bucket made later.
        limit_since: Mono,
    },
    /// It existed once.
    Deleted,
}

/// How much a new sample moves the average latency.
const LATENCY_WEIGHT: u32 = 8;

/// How long after maxAge a delivery has surely ended: the longest it can stay
/// away is a rung of ten hours and a tenth of lateness, and the clocks of two
/// machines.
const ENDED_AFTER: Duration = Duration::from_secs(12 * 3_600);

/// The most one endpoint queues in memory, whatever its speed; more is
/// parked. Twice what is read ahead while nothing is slow, so that a fast
/// endpoint never gets there.
const QUEUE_MAX: usize = 8_192;

/// An endpoint with work, or with a limit that still binds.
#[derive(Debug)]
pub(crate) struct EndpointState {
    pub(crate) uid: EndpointUid,
    pub(crate) lane: Lane,
    pub(crate) spec: Arc<Endpoint>,
    /// The limit that is kept: its own, and what its receiver allows.
    pub(crate) limit: Option<RateLimit>,
    /// Its tenant's key in the rings.
    pub(crate) tenant: usize,
    /// What may start as soon as the limits allow.
    pub(crate) queue: Queue,
    pub(crate) in_flight: u32,
    /// Deliveries in memory that are not decided: waiting or in flight.
    pub(crate) members: u32,
    pub(crate) member_bytes: usize,
    /// What this claim parked and has not seen again.
    pub(crate) parked: Ages,
    /// What failed under this claim and waits on a rung.
    pub(crate) retrying: Ages,
    pub(crate) gate: Gate,
    pub(crate) breaker: Breaker,
    pub(crate) retries: RetryBudget,
    /// Whether it counts among those that are held.
    pub(crate) held: bool,
    /// Not before: the receiver said so.
    hold_until: Mono,
    reservations: Reservations,
    /// Moving average of an attempt's duration.
    latency: Duration,
    /// The ring it stands in, if it has a turn to wait for.
    pub(crate) in_ready: Option<Class>,
    /// How much of its queue counts as waiting for this process, and as what.
    pub(crate) counted: (usize, Class),
    /// How long its queue was when that was last noted for its tenant.
    pub(crate) rank: u32,
    /// Its queue is longer than what it takes in a second.
    pub(crate) slow: bool,
    /// When it will be woken for its limit or hold, if it will.
    pub(crate) wake_at: Option<Mono>,
    /// Whether a timer watches its oldest queued delivery.
    pub(crate) stale_armed: bool,
}

/// When a delivery that comes in now would start, if everything that came
/// before it starts as soon as the limits allow.
///
/// Deliveries that are parked have reserved too: that is what spreads a
/// backlog at the drain rate, and keeps fresh deliveries from overtaking it.
#[derive(Debug)]
struct Reservations {
    /// Theoretical arrival time of the token bucket over all reservations.
    rate: Mono,
    /// When the next request slot becomes free.
    slots: Mono,
}

impl EndpointState {
    pub(crate) fn new(
        (spec, limit): (Arc<Endpoint>, Option<RateLimit>),
        (lane, tenant): (Lane, usize),
        clock: &BucketClock,
        empty_at: Mono,
    ) -> Self {
        let bucket = limit.map(|limit| Bucket::empty_since(limit, clock, empty_at));
        let full_at = limit.map_or(empty_at, |l| empty_at.after(l.period * l.burst.get()));
        let breaker = Breaker::new(spec.spec.breaker);
        Self {
            uid: spec.uid(),
            lane,
            spec,
            limit,
            tenant,
            queue: Queue::default(),
            in_flight: 0,
            members: 0,
            member_bytes: 0,
            parked: Ages::default(),
            retrying: Ages::default(),
            gate: Gate::new(bucket),
            breaker,
            retries: RetryBudget::new(empty_at),
            held: false,
            hold_until: Mono(0),
            reservations: Reservations {
                rate: full_at,
                slots: empty_at,
            },
            latency: Duration::ZERO,
            in_ready: None,
            counted: (0, Class::Narrow),
            rank: 0,
            slow: false,
            wake_at: None,
            stale_armed: false,
        }
    }

    /// Takes another limit; the bucket's level is carried over. One that its
    /// receiver has `capped` begins empty: what the receiver has counted since
    /// it last said so is not known.
    pub(crate) fn set_limit(
        &mut self,
        (limit, capped): (Option<RateLimit>, bool),
        clock: &BucketClock,
    ) {
        if limit != self.limit {
            self.limit = limit;
            if capped {
                self.gate.set_limit(None, clock);
            }
            self.gate.set_limit(limit, clock);
            self.reservations = Reservations {
                rate: clock.mono(),
                slots: clock.mono(),
            };
        }
    }

    /// Takes a changed spec.
    pub(crate) fn reconfigure(&mut self, spec: Arc<Endpoint>) {
        if spec.meta.generation != self.spec.meta.generation {
            self.breaker.reset(spec.spec.breaker);
            self.gate.set_probes_only(false);
        }
        self.spec = spec;
    }

    pub(crate) fn is_held(&self, now: Mono) -> bool {
        self.hold_until > now
    }

    pub(crate) fn hold(&mut self, until: Mono) {
        self.hold_until = self.hold_until.max(until);
        self.gate.hold(self.hold_until);
    }

    /// Why nothing of it starts now, and until when; a full queue if it does.
    pub(crate) fn stands_still(&self, now: Mono) -> (ParkReason, Option<Mono>) {
        if self.is_held(now) {
            (ParkReason::Hold, Some(self.hold_until))
        } else if self.breaker.is_closed() {
            (ParkReason::Backlog, None)
        } else {
            (ParkReason::Breaker, self.breaker.open_until(now))
        }
    }

    pub(crate) fn held_until(&self) -> Mono {
        self.hold_until
    }

    /// Requests it may have open at a time: its own limit, and never more
    /// than a tenth of all slots (but 30), so that no endpoint can take them
    /// all (the figures are those of SQS fair queues).
    pub(crate) fn slots(&self, limits: &Limits) -> u32 {
        self.spec
            .spec
            .max_concurrency
            .min((limits.slots / 10).max(crate::SLOTS_MIN))
    }

    /// Notes how long an attempt took.
    pub(crate) fn observe_latency(&mut self, took: Duration) {
        self.latency = if self.latency.is_zero() {
            took
        } else {
            (self.latency * (LATENCY_WEIGHT - 1) + took) / LATENCY_WEIGHT
        };
    }

    /// Reserves the next start, and returns when that is.
    pub(crate) fn reserve(&mut self, now: Mono, limits: &Limits) -> Mono {
        let slots = self.slots(limits);
        if self.queue.is_empty() && self.in_flight < slots {
            self.reservations.slots = now;
        }
        let by_slot = self.reservations.slots.max(now).max(self.hold_until);
        self.reservations.slots = by_slot.after(self.latency / slots.max(1));
        let by_rate = match self.limit {
            Some(limit) => self.reserve_token(now, limit),
            None => now,
        };
        by_slot.max(by_rate)
    }

    fn reserve_token(&mut self, now: Mono, limit: RateLimit) -> Mono {
        self.reservations.rate = self.reservations.rate.max(now).after(limit.period);
        let credit = limit.period * limit.burst.get();
        Mono(
            self.reservations
                .rate
                .0
                .saturating_sub(u64::try_from(credit.as_nanos()).unwrap_or(u64::MAX)),
        )
    }

    /// Time between starts at its limits; `None` while its speed is unknown.
    pub(crate) fn interval(&self, limits: &Limits) -> Option<Duration> {
        let by_rate = self.limit.map_or(Duration::ZERO, |l| l.period);
        let interval = by_rate.max(self.latency / self.slots(limits).max(1));
        (!interval.is_zero()).then_some(interval)
    }

    /// Whether its breaker lets a delivery wait in memory that may stay there
    /// until then: while it is open one, to be the probe, and while the probe
    /// is on its way as many as may start after it.
    pub(crate) fn admits_to_queue(&self, now: Mono, until: Mono, limits: &Limits) -> bool {
        match self.breaker.admits(now, 0) {
            Admit::Request | Admit::Probe => true,
            Admit::NotBefore(at) => self.queue.is_empty() && at < until,
            Admit::Busy => self.queue.len() < self.slots(limits) as usize,
        }
    }

    /// How many deliveries may queue so that the last of them still starts
    /// within `wait`.
    pub(crate) fn queue_room(&self, wait: Duration, limits: &Limits) -> usize {
        let fits = self.interval(limits).map_or(u128::MAX, |interval| {
            wait.as_nanos() / interval.as_nanos().max(1)
        });
        usize::try_from(fits)
            .unwrap_or(usize::MAX)
            .clamp(1, QUEUE_MAX)
    }

    /// Whether its queue waits for a limit or hold of its own, or because it
    /// is slow, rather than for its turn.
    pub(crate) fn waits_for_itself(&self) -> bool {
        self.in_ready.is_none() && (self.slow || self.wake_at.is_some())
    }

    /// Whether any of its deliveries waits in Kafka, as far as this claim knows.
    pub(crate) fn has_away(&self) -> bool {
        self.parked.count() + self.retrying.count() > 0
    }

    /// Whether it has no work and no timer.
    pub(crate) fn is_idle(&self) -> bool {
        self.members == 0
            && !self.has_away()
            && self.in_flight == 0
            && self.in_ready.is_none()
            && !self.stale_armed
            && self.wake_at.is_none()
    }

    /// The count that a delivery in a delay topic belongs to.
    pub(crate) fn away(&mut self, spills: u16) -> &mut Ages {
        if spills > 0 {
            &mut self.parked
        } else {
            &mut self.retrying
        }
    }

    /// Forgets the count of what must have ended, wherever that was.
    pub(crate) fn forget_ended(&mut self, now: Now) {
        let ends = self.spec.spec.retry.max_age + ENDED_AFTER;
        let before = now.wall.since(UnixMillis::default()).saturating_sub(ends);
        let before = UnixMillis::default().after(before);
        self.parked.forget_before(before);
        self.retrying.forget_before(before);
    }

    /// From when on nothing here needs to be remembered: no hold binds, and
    /// a new state's bucket would hold no more than this one's.
    pub(crate) fn binds_until(&self) -> Mono {
        self.hold_until
            .max(self.gate.full_at())
            .max(self.breaker.forgets_at())
            .max(self.retries.full_at())
            .max(self.reservations.rate)
            .max(self.reservations.slots)
    }
}
