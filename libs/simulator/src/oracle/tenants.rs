//! P4 between tenants: nobody has more than its share of the slots, and
//! everybody with something to start has its turn.

use std::collections::{BTreeMap, BTreeSet};

use hooklane_engine::{Mono, SendOrder};
use hooklane_model::id::EndpointUid;
use hooklane_model::lane::{Lane, lane_of};

use super::{Breaking, Oracle};
use crate::catalog::View;
use crate::failure::Rule;
use crate::plan::Plan;
use crate::process::Process;

/// Starts of others, beyond two for each tenant there is, that a tenant may
/// see go by: the two kinds of turns alternate, and a new tenant joins at the
/// end.
const SLACK: u32 = 8;

impl Oracle {
    /// The core ordered a request; it is not among the process's yet.
    pub(super) fn tenant_shares(
        &mut self,
        process: &Process,
        plan: &Plan,
        (now, lane): (Mono, Lane),
        order: &SendOrder,
    ) {
        let worker = process.worker_of(lane);
        let tenant = order.endpoint.meta.tenant.as_str();
        let mut tenants: BTreeSet<&str> = BTreeSet::new();
        for (uid, view) in &process.view {
            if process.worker_of(lane_of(*uid, plan.lanes)) == worker {
                tenants.extend(view.tenant());
            }
        }
        let (open, by_tenant) = open_of(process, worker);
        if tenants.len() < 2 {
            return;
        }
        let most = plan.limits.tenant_slots();
        let own = by_tenant.get(tenant).copied().unwrap_or(0) + 1;
        if own > most {
            let what = format!("{own} requests of tenant {tenant} open, and its share is {most}");
            let about = (None, Some(order.target.endpoint));
            self.broken(Rule::Tenant, about, what);
        }
        let waiting = self.surely_ready(process, worker, (now, &open));
        let Some(turns) = self.turns.get_mut(&(process.who, worker)) else {
            return;
        };
        let passed = &mut turns.tenants_passed;
        passed.retain(|other, _| other != tenant && waiting.contains(other));
        let bound = 2 * u32::try_from(tenants.len()).unwrap_or(u32::MAX) + SLACK;
        let mut starved = None;
        for other in waiting.into_iter().filter(|other| other != tenant) {
            if by_tenant.get(&other).copied().unwrap_or(0) >= most {
                passed.remove(&other);
                continue;
            }
            let count = passed.entry(other.clone()).or_default();
            *count += 1;
            if *count > bound {
                starved = Some(format!("tenant {other} is passed over {count} times"));
            }
        }
        if let Some(what) = starved {
            self.broken(Rule::Tenant, (None, None), what);
        }
    }

    /// Tenants with an endpoint that could start something now, as far as
    /// that is sure from outside.
    fn surely_ready(
        &self,
        process: &Process,
        worker: usize,
        (now, open): (Mono, &BTreeMap<EndpointUid, u32>),
    ) -> BTreeSet<String> {
        let Some(turns) = self.turns.get(&(process.who, worker)) else {
            return BTreeSet::new();
        };
        let ready = |uid: &EndpointUid| {
            let view = process.view.get(uid).filter(|view| !view.is_disabled())?;
            let spec = &view.endpoint.as_ref()?.spec;
            let held = self.holds.get(&(process.who, *uid));
            let may = view.limit().is_none()
                && !view.is_unverified()
                && !spec.paused
                && open.get(uid).copied().unwrap_or(0) < spec.max_concurrency.min(30)
                && held.is_none_or(|until| *until <= now)
                && self
                    .breaking
                    .get(&(process.who, *uid))
                    .is_none_or(Breaking::never_failed);
            may.then(|| view.tenant().map(str::to_owned))?
        };
        turns.queued.keys().filter_map(ready).collect()
    }
}

/// Requests of a worker that are open, by endpoint and by tenant. What an
/// earlier claim left on the wire is not counted any more.
pub(super) fn open_of(
    process: &Process,
    worker: usize,
) -> (BTreeMap<EndpointUid, u32>, BTreeMap<String, u32>) {
    let (mut by_endpoint, mut by_tenant) = (BTreeMap::new(), BTreeMap::new());
    for request in process.requests.values().filter(|r| r.worker == worker) {
        if !process.owns(request.lane, request.epoch) {
            continue;
        }
        let uid = request.target.endpoint;
        *by_endpoint.entry(uid).or_default() += 1;
        if let Some(tenant) = process.view.get(&uid).and_then(View::tenant) {
            *by_tenant.entry(tenant.to_owned()).or_default() += 1;
        }
    }
    (by_endpoint, by_tenant)
}
