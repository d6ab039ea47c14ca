//! Whose turn it is: tenant by tenant, and within a tenant endpoint by
//! endpoint.
//!
//! A ring of endpoints alone would give a tenant with a thousand endpoints a
//! thousand turns for each of its neighbour's. And one event for ten thousand
//! endpoints would make everything that comes behind it wait for ten thousand
//! starts, so endpoints that only wait with such events stand in rings of
//! their own, and the two kinds of rings take turns.
//!
//! **Invariants**
//! - A tenant stands in the ring of a class only if it is below its share of
//!   the slots; the end of one of its requests puts it back.
//! - An endpoint stands in the ring that its `in_ready` names. Entries of
//!   other rings, or of an endpoint that is no more, are stale and skipped;
//!   each stands for a turn that was taken elsewhere, so they are bounded by
//!   the turns there were.

use std::collections::{HashMap, VecDeque};

use slab::Slab;

use crate::endpoint::EndpointState;
use crate::queue::Class;
use crate::readahead::TENANT_QUEUED_MAX;
use crate::share::Held;
use crate::{Core, Limits};

/// A tenant with endpoints in memory.
#[derive(Debug)]
struct Tenant {
    name: String,
    endpoints: usize,
    in_flight: u32,
    held: Held,
    /// It has its share of the slots; the end of a request changes that.
    full: bool,
    narrow: Ring,
    wide: Ring,
}

#[derive(Debug, Default)]
struct Ring {
    endpoints: VecDeque<usize>,
    /// Deliveries that wait, at these endpoints or at their concurrency, and
    /// not for a limit of their own.
    queued: usize,
    /// Of those, the ones that count as waiting for the process.
    ahead: usize,
    /// Whether the tenant stands in the ring of this class.
    standing: bool,
}

impl Tenant {
    fn ring(&mut self, class: Class) -> &mut Ring {
        match class {
            Class::Narrow => &mut self.narrow,
            Class::Wide => &mut self.wide,
        }
    }
}

/// The rings.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    tenants: Slab<Tenant>,
    by_name: HashMap<String, usize>,
    narrow: VecDeque<usize>,
    wide: VecDeque<usize>,
    /// Whether a wide event's turn is next, if there is one.
    wide_next: bool,
    census: Census,
    /// Whether there is more than one tenant to share with.
    shared: bool,
    /// Deliveries that wait for this process: of each tenant at most its share.
    narrow_ahead: usize,
    wide_ahead: usize,
    /// Bytes of deliveries that are not decided, of all tenants.
    bytes: usize,
    /// Times that a tenant had its share of the slots and more to start.
    waits: u64,
    /// Tenants that are at their share now.
    full: usize,
}

/// Whether more than one tenant has endpoints configured, without a list of
/// all of them: one tenant, and how many endpoints are not its own.
#[derive(Debug, Default)]
struct Census {
    one: String,
    own: usize,
    others: usize,
}

impl Census {
    fn count(&mut self, tenant: &str, is: bool) {
        if is && self.own + self.others == 0 {
            tenant.clone_into(&mut self.one);
        }
        let counted = if tenant == self.one {
            &mut self.own
        } else {
            &mut self.others
        };
        *counted = if is { *counted + 1 } else { *counted - 1 };
    }
}

impl Ready {
    /// The tenant of a new endpoint.
    pub(crate) fn join(&mut self, name: &str) -> usize {
        let key = self.by_name.get(name).copied().unwrap_or_else(|| {
            let key = self.tenants.insert(Tenant {
                name: name.to_owned(),
                endpoints: 0,
                in_flight: 0,
                held: Held::default(),
                full: false,
                narrow: Ring::default(),
                wide: Ring::default(),
            });
            self.by_name.insert(name.to_owned(), key);
            key
        });
        self.tenants[key].endpoints += 1;
        key
    }

    fn leave(&mut self, key: usize) {
        let tenant = &mut self.tenants[key];
        tenant.endpoints -= 1;
        if tenant.endpoints > 0 {
            return;
        }
        let tenant = self.tenants.remove(key);
        self.by_name.remove(&tenant.name);
        self.full -= usize::from(tenant.full);
        // Its entries were stale, or it would have endpoints.
        if tenant.narrow.standing {
            self.narrow.retain(|standing| *standing != key);
        }
        if tenant.wide.standing {
            self.wide.retain(|standing| *standing != key);
        }
    }

    /// Takes a place in the class's ring for a tenant that may have a turn.
    fn stand(&mut self, key: usize, class: Class) {
        let tenant = &mut self.tenants[key];
        let full = tenant.full;
        let ring = tenant.ring(class);
        if ring.standing || full || ring.endpoints.is_empty() {
            return;
        }
        ring.standing = true;
        match class {
            Class::Narrow => self.narrow.push_back(key),
            Class::Wide => self.wide.push_back(key),
        }
    }

    /// The endpoint whose turn it is, and the class of the turn.
    fn next(&mut self, limits: &Limits, endpoints: &Slab<EndpointState>) -> Option<(usize, Class)> {
        let classes = match self.wide_next {
            true => [Class::Wide, Class::Narrow],
            false => [Class::Narrow, Class::Wide],
        };
        for class in classes {
            if let Some(key) = self.next_of(class, limits, endpoints) {
                self.wide_next = class == Class::Narrow;
                return Some((key, class));
            }
        }
        None
    }

    /// Gives the turn just taken back to its tenant: the endpoint had nothing
    /// to start after all.
    fn give_back(&mut self, tenant: usize, class: Class) {
        self.wide_next = class == Class::Wide;
        let ring = match class {
            Class::Narrow => &mut self.narrow,
            Class::Wide => &mut self.wide,
        };
        // It stands at the end, if it has another endpoint to try.
        if ring.back() == Some(&tenant) {
            ring.rotate_right(1);
        }
    }

    fn next_of(
        &mut self,
        class: Class,
        limits: &Limits,
        endpoints: &Slab<EndpointState>,
    ) -> Option<usize> {
        loop {
            let tenant_key = match class {
                Class::Narrow => self.narrow.pop_front(),
                Class::Wide => self.wide.pop_front(),
            }?;
            let most = self.slots_of_tenant(limits);
            let tenant = &mut self.tenants[tenant_key];
            tenant.ring(class).standing = false;
            if tenant.in_flight >= most {
                self.waits += 1;
                self.set_full(tenant_key, true);
                continue;
            }
            let own = |key: &usize| {
                let endpoint = endpoints.get(*key);
                endpoint.is_some_and(|e| e.tenant == tenant_key && e.in_ready == Some(class))
            };
            let ring = tenant.ring(class);
            let next = loop {
                match ring.endpoints.pop_front() {
                    Some(key) if own(&key) => break Some(key),
                    Some(_) => {}
                    None => break None,
                }
            };
            self.stand(tenant_key, class);
            if next.is_some() {
                return next;
            }
        }
    }

    /// Requests a tenant may have open at a time: its share of the slots, or
    /// 30 where that is more, as for an endpoint.
    fn slots_of_tenant(&self, limits: &Limits) -> u32 {
        match self.shared {
            true => limits.tenant_slots(),
            false => limits.slots,
        }
    }

    /// Notes whether a tenant has its share of the slots. If it has, what it
    /// has queued waits for the tenant's own requests, not for the process.
    fn set_full(&mut self, key: usize, full: bool) {
        let tenant = &mut self.tenants[key];
        if tenant.full == full {
            return;
        }
        tenant.full = full;
        if full {
            self.full += 1;
        } else {
            self.full -= 1;
        }
        for class in [Class::Narrow, Class::Wide] {
            self.recount(key, class);
            self.stand(key, class);
        }
    }

    fn recount(&mut self, key: usize, class: Class) {
        let most = match (self.shared, class) {
            (true, Class::Narrow) => TENANT_QUEUED_MAX,
            (false, _) | (_, Class::Wide) => usize::MAX,
        };
        let tenant = &mut self.tenants[key];
        let full = tenant.full;
        let ring = tenant.ring(class);
        let ahead = if full { 0 } else { ring.queued.min(most) };
        let before = std::mem::replace(&mut ring.ahead, ahead);
        let all = match class {
            Class::Narrow => &mut self.narrow_ahead,
            Class::Wide => &mut self.wide_ahead,
        };
        *all = *all + ahead - before;
    }

    fn count(&mut self, key: usize, class: Class, before: usize, after: usize) {
        let ring = self.tenants[key].ring(class);
        ring.queued = ring.queued + after - before;
        self.recount(key, class);
    }

    /// Notes that an endpoint was configured that was not, or is no more.
    pub(crate) fn configured(&mut self, tenant: &str, is: bool, limits: &Limits) {
        self.census.count(tenant, is);
        let shared = self.census.others > 0 && limits.tenant_percent < 100;
        if self.shared == shared {
            return;
        }
        self.shared = shared;
        let keys: Vec<usize> = self.tenants.iter().map(|(key, _)| key).collect();
        for key in keys {
            self.set_full(key, false);
            self.recount(key, Class::Narrow);
        }
    }

    /// Notes requests of a tenant that have begun.
    pub(crate) fn began(&mut self, key: usize) {
        self.tenants[key].in_flight += 1;
    }

    /// Notes requests of a tenant that have ended.
    pub(crate) fn ended(&mut self, key: usize, requests: u32) {
        let tenant = &mut self.tenants[key];
        tenant.in_flight -= requests;
        if requests > 0 {
            self.set_full(key, false);
        }
    }

    /// Deliveries that wait for this process, of narrow events and of wide
    /// ones.
    pub(crate) fn ahead(&self) -> (usize, usize) {
        (self.narrow_ahead, self.wide_ahead)
    }

    /// What a tenant has in memory.
    pub(crate) fn held(&self, key: usize) -> &Held {
        &self.tenants[key].held
    }

    /// Notes bytes of a tenant that came into memory.
    pub(crate) fn hold(&mut self, key: usize, bytes: usize) {
        self.bytes += bytes;
        self.tenants[key].held.add(bytes);
    }

    /// Notes bytes of a tenant that are leaving memory.
    pub(crate) fn let_go(&mut self, key: usize, bytes: usize) {
        self.bytes -= bytes;
        self.tenants[key].held.remove(bytes);
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether there is more than one tenant to share with.
    pub(crate) fn is_shared(&self) -> bool {
        self.shared
    }

    pub(crate) fn waits(&self) -> u64 {
        self.waits
    }

    /// Tenants that have their share of the slots and more to start.
    pub(crate) fn full(&self) -> usize {
        self.full
    }
}

impl Core {
    /// Lets an endpoint take part in the turns, if it has something to start
    /// and may have another request open. Called whenever that may have
    /// changed, and when its queue has.
    pub(crate) fn make_ready(&mut self, key: usize) {
        let endpoint = &mut self.endpoints[key];
        let class = endpoint.queue.class();
        let may = !endpoint.queue.is_empty() && endpoint.in_flight < endpoint.slots(&self.limits);
        let enters = match endpoint.in_ready {
            None => may,
            // What is narrow does not wait behind what is wide.
            Some(Class::Wide) => may && class == Class::Narrow,
            Some(Class::Narrow) => false,
        };
        if enters {
            endpoint.in_ready = Some(class);
            let tenant = endpoint.tenant;
            let ring = self.ready.tenants[tenant].ring(class);
            ring.endpoints.push_back(key);
            self.ready.stand(tenant, class);
        }
        self.count_queue(key);
    }

    /// The endpoint whose turn it is; it stands in no ring then.
    pub(crate) fn next_ready(&mut self) -> Option<(usize, Class)> {
        let (key, class) = self.ready.next(&self.limits, &self.endpoints)?;
        self.endpoints[key].in_ready = None;
        Some((key, class))
    }

    /// The endpoint did not use its turn.
    pub(crate) fn rests(&mut self, key: usize, class: Class) {
        self.count_queue(key);
        self.ready.give_back(self.endpoints[key].tenant, class);
    }

    /// Brings the counts of what waits for this process up to date. Called
    /// when an endpoint's queue has changed, or why it waits.
    pub(crate) fn count_queue(&mut self, key: usize) {
        let endpoint = &self.endpoints[key];
        let waits_for_us = !endpoint.waits_for_itself();
        let len = if waits_for_us {
            endpoint.queue.len()
        } else {
            0
        };
        let class = endpoint.queue.class();
        self.count_as(key, (len, class));
        let endpoint = &mut self.endpoints[key];
        let (before, after) = endpoint.rank_anew();
        if before != after {
            let held = &mut self.ready.tenants[endpoint.tenant].held;
            held.ranked(key, before, after);
        }
    }

    fn count_as(&mut self, key: usize, counted: (usize, Class)) {
        let endpoint = &mut self.endpoints[key];
        let tenant = endpoint.tenant;
        let (before, class) = std::mem::replace(&mut endpoint.counted, counted);
        if (before, class) == counted {
            return;
        }
        let (after, class_after) = counted;
        if class == class_after {
            self.ready.count(tenant, class, before, after);
        } else {
            self.ready.count(tenant, class, before, 0);
            self.ready.count(tenant, class_after, 0, after);
        }
    }

    /// Takes an endpoint's state out of memory.
    pub(crate) fn remove_endpoint(&mut self, key: usize) {
        self.count_as(key, (0, Class::Narrow));
        let state = self.endpoints.remove(key);
        let held = &mut self.ready.tenants[state.tenant].held;
        held.ranked(key, state.rank, 0);
        // What still connects for a lane that is gone must not start.
        state.gate.close();
        self.by_uid.remove(&state.uid);
        self.ready.ended(state.tenant, state.in_flight);
        self.ready.leave(state.tenant);
        self.held -= usize::from(state.held);
        self.breakers_open -= usize::from(!state.breaker.is_closed());
    }
}
