//! What a person may ask of an endpoint: what waits, for what, for how long.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use hooklane_model::lane::Lane;
use hooklane_model::resource::Endpoint;
use hooklane_model::time::UnixMillis;

use crate::ages::first_to_expire;
use crate::endpoint::{EndpointState, Known};
use crate::{BreakerState, Core, Now};

/// An endpoint with work, or with a limit or hold that binds, at one moment.
///
/// What waits in Kafka (`parked`, `retrying`) is counted since this process
/// claimed the lane: it begins at zero with each claim, and what a former
/// owner put there is not in it until it comes back, at the latest after five
/// minutes for what was parked.
#[derive(Clone, Debug)]
pub struct EndpointView {
    /// As configured now.
    pub endpoint: Arc<Endpoint>,
    /// Its lane.
    pub lane: Lane,
    /// Deliveries that wait in memory.
    pub in_memory: u64,
    /// Requests open.
    pub in_flight: u32,
    /// Deliveries that wait in a delay topic without having spent an attempt.
    pub parked: u64,
    /// Deliveries that failed and wait in a delay topic for their next attempt.
    pub retrying: u64,
    /// Bytes of all that waits or is on its way.
    pub bytes: u64,
    /// When the event of the oldest that waits was first seen; exact in
    /// memory, and rounded down for what waits in Kafka.
    pub oldest: Option<UnixMillis>,
    /// How long all that waits takes at its limits, from when it may start;
    /// `None` while its speed is not known.
    pub drain: Option<Duration>,
    /// When the first of what waits passes maxAge before its turn, if nothing
    /// changes; `None` when everything makes it.
    pub will_expire_at: Option<UnixMillis>,
    /// Until when it asked to be left alone.
    pub held_until: Option<UnixMillis>,
    /// Whether it is called at all.
    pub breaker: BreakerState,
    /// When an open breaker lets the next probe go.
    pub next_probe: Option<UnixMillis>,
    /// Since when it has done nothing but fail.
    pub failing_since: Option<UnixMillis>,
}

impl EndpointView {
    /// All that waits, in memory and in Kafka.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.in_memory + self.parked + self.retrying
    }
}

impl Core {
    /// Every endpoint in some of the slots that has work or that something
    /// binds. One that is in no slot has, as far as this process knows,
    /// nothing waiting; a deleted one is nobody's to ask about.
    ///
    /// By slots, so that a caller can look at many endpoints a few at a time.
    /// An endpoint keeps its slot as long as it is there.
    pub fn views(&self, now: Now, slots: Range<usize>) -> impl Iterator<Item = EndpointView> + '_ {
        let slots = slots.start..slots.end.min(self.slots());
        let endpoints = slots.filter_map(|slot| self.endpoints.get(slot));
        let there =
            endpoints.filter(|state| !matches!(self.known.get(&state.uid), Some(Known::Deleted)));
        there.map(move |state| self.view(now, state))
    }

    /// How many slots there are for endpoints, empty ones included.
    pub fn slots(&self) -> usize {
        self.endpoints.capacity()
    }

    fn view(&self, now: Now, state: &EndpointState) -> EndpointView {
        let spec = &state.spec.spec;
        let in_memory = u64::from(state.members.saturating_sub(state.in_flight));
        let waiting = in_memory + state.parked.count() + state.retrying.count();
        let interval = state.interval(&self.limits);
        let head = state.queue.front().map(|slot| {
            let envelope = &self.deliveries[slot].envelope.envelope;
            (envelope.first_seen, state.queue.len() as u64)
        });
        let held_until = state
            .is_held(now.mono)
            .then(|| now.wall_at(state.held_until()));
        let called = matches!(
            self.known.get(&state.uid),
            Some(Known::Configured {
                disabled: false,
                unverified: false,
                ..
            })
        );
        let starts = (!spec.paused && called && state.breaker.is_closed())
            .then(|| interval.unwrap_or_default());
        let from = held_until.unwrap_or(now.wall);
        let max_age = spec.retry.max_age;
        // What waits in Kafka is older on the whole; in what order it really
        // starts hardly matters for when the first one is too late.
        let by_age = state.parked.by_age().chain(head);
        let oldest = [
            head.map(|(at, _)| at),
            state.parked.oldest(),
            state.retrying.oldest(),
        ];
        EndpointView {
            endpoint: state.spec.clone(),
            lane: state.lane,
            in_memory,
            in_flight: state.in_flight,
            parked: state.parked.count(),
            retrying: state.retrying.count(),
            bytes: state.member_bytes as u64 + state.parked.bytes() + state.retrying.bytes(),
            oldest: oldest.into_iter().flatten().min(),
            drain: interval
                .map(|every| every.saturating_mul(u32::try_from(waiting).unwrap_or(u32::MAX))),
            will_expire_at: first_to_expire(by_age, (from, starts), max_age),
            held_until,
            breaker: state.breaker.state(now.mono),
            next_probe: state.breaker.open_until(now.mono).map(|at| now.wall_at(at)),
            failing_since: self.failing_since(&state.spec),
        }
    }
}
