//! A tenant's share of the memory, and what gives way when memory is short.
//!
//! What waits for its own endpoint or its tenant's slots does not stop the
//! reading, so a flood of it would fill the byte budget within the queue wait,
//! and the full budget stops the reading of everybody. So what is beyond a
//! tenant's share is parked from the ends of its longest queues: a short queue
//! beside a flood keeps its turn. The same goes for whoever reads on while the
//! budget is nearly full, for queues that wait for their endpoints.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::endpoint::EndpointState;
use crate::ready::Ready;
use crate::{Action, Core, Limits, Mono, Now, ParkReason};

/// The most that one delivery read makes give way: room for one of a thousand
/// times its size comes over several.
const PARKED_AT_ONCE: usize = 64;
/// The most that gives way within a second: catching up after an outage must
/// not become a copy of the whole backlog. Beyond it memory fills, and the
/// reading stops, as without any share.
const PARKED_PER_SECOND: u32 = 8_192;
/// Queues looked at for one that waits for its endpoint.
const QUEUES_TRIED: usize = 8;
/// From this length on queues are told apart by length, by powers of two:
/// shorter ones change too often to be worth it.
const LONG: usize = 8;

/// What a tenant has in memory.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// Bytes of its deliveries that are not decided.
    bytes: usize,
    /// Its endpoints with long queues, by rank.
    long: BTreeSet<(u32, usize)>,
}

impl Held {
    pub(crate) fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    pub(crate) fn remove(&mut self, bytes: usize) {
        self.bytes -= bytes;
    }

    /// Notes that an endpoint's queue has another length.
    pub(crate) fn ranked(&mut self, key: usize, before: u32, after: u32) {
        if before > 0 {
            self.long.remove(&(before, key));
        }
        if after > 0 {
            self.long.insert((after, key));
        }
    }

    fn longest_first(&self) -> impl Iterator<Item = usize> {
        self.long.iter().rev().map(|(_, key)| *key)
    }
}

/// How long a queue is, for the order in which they give way; 0 is short.
pub(crate) fn rank(len: usize) -> u32 {
    if len < LONG { 0 } else { len.ilog2() }
}

/// What has given way within the second that began then.
#[derive(Debug, Default)]
pub(crate) struct GivenWay {
    since: Mono,
    count: u32,
}

impl GivenWay {
    fn one_more(&mut self, now: Mono) -> bool {
        if now.since(self.since) >= Duration::from_secs(1) {
            *self = Self {
                since: now,
                count: 0,
            };
        }
        self.count += 1;
        self.count <= PARKED_PER_SECOND
    }
}

impl Limits {
    /// Bytes that one tenant may hold while others are configured.
    #[must_use]
    pub fn tenant_bytes(&self) -> usize {
        let percent = usize::try_from(self.tenant_percent).unwrap_or(100);
        self.bytes / 100 * percent.min(100)
    }
}

impl Ready {
    /// Bytes that a tenant holds beyond its share, where there are others to
    /// share with.
    fn beyond_share(&self, tenant: usize, limits: &Limits) -> usize {
        match self.is_shared() {
            true => (self.held(tenant).bytes).saturating_sub(limits.tenant_bytes()),
            false => 0,
        }
    }
}

impl Core {
    /// Parks what an endpoint's tenant has too much in memory, now that the
    /// endpoint has queued something.
    pub(crate) fn give_way(&mut self, now: Now, key: usize, out: &mut Vec<Action>) {
        for _ in 0..PARKED_AT_ONCE {
            let Some((from, slot)) = self.gives_way(key) else {
                break;
            };
            if !self.given_way.one_more(now.mono) {
                break;
            }
            self.endpoints[from].queue.pop_back();
            self.park(now, slot, ParkReason::Memory, None, out);
            self.count_queue(from);
        }
    }

    /// The end of the queue that is to be shorter, if memory is short. What is
    /// on its way to Kafka does not count: it is leaving already.
    fn gives_way(&self, key: usize) -> Option<(usize, usize)> {
        let tenant = self.endpoints[key].tenant;
        let mut longest = self.ready.held(tenant).longest_first();
        let mut beyond = self.ready.beyond_share(tenant, &self.limits);
        let from = if beyond > 0 {
            longest.next().unwrap_or(key)
        } else {
            let nearly_full = self.limits.bytes / 8 * 7;
            beyond = self.ready.bytes().saturating_sub(nearly_full);
            if beyond == 0 {
                return None;
            }
            let waits = |key: &usize| self.endpoints[*key].waits_for_itself();
            longest.take(QUEUES_TRIED).find(waits)?
        };
        let endpoint = &self.endpoints[from];
        // While its breaker is open, the first in line is the next probe.
        let kept = usize::from(!endpoint.breaker.is_closed());
        let last = endpoint.queue.back()?;
        // What is larger than the excess stays: a delivery larger than the
        // share would never be sent.
        let gives = endpoint.queue.len() > kept && self.deliveries[last].cost <= beyond;
        gives.then_some((from, last))
    }
}

impl EndpointState {
    /// Takes the rank of its queue as of now; returns the one before.
    pub(crate) fn rank_anew(&mut self) -> (u32, u32) {
        let now = rank(self.queue.len());
        (std::mem::replace(&mut self.rank, now), now)
    }
}
