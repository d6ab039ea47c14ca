//! Events arrive and people edit.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use hooklane_engine::OpenEnvelope;
use hooklane_model::envelope::{
    Chunk, Envelope, EventHead, Origin, SourcePosition, TARGETS_MAX, Target,
};
use hooklane_model::id::{DeliveryId, EndpointUid, SubscriptionUid};
use hooklane_model::lane::{Lane, lane_of};
use hooklane_model::time::UnixMillis;

use super::World;
use crate::agenda::Happening;
use crate::broker::Record;
use crate::catalog::{Catalog, View};

/// What payloads are cut from.
static BYTES: [u8; 70_000] = [b'x'; 70_000];
/// Open deliveries beyond which events wait: a world is no endless backlog.
const OPEN_MAX: usize = 4_000;

impl World<'_> {
    pub(super) fn arrive(&mut self) {
        if self.resting {
            return;
        }
        let mean = self.plan.arrival_micros;
        let pause = Duration::from_micros(self.rng.u64(1..2 * mean));
        self.agenda.after(pause, Happening::Arrival);
        if self.oracle.lives.len() > OPEN_MAX {
            return;
        }
        let lane = Lane(self.rng.u16(0..self.plan.lanes.get()));
        match self.rng.u32(0..2_000) {
            0 => {
                self.poisoned += 1;
                self.append(lane, Record::Poison);
            }
            1 => self.append(lane, Record::Newer),
            2..30 => self.append(lane, Record::Gap),
            30..60 => self.fan_out_to(|_| true, 1),
            // A whole backlog for one endpoint at once.
            60..64 => {
                let chosen = self.some_endpoint();
                self.fan_out_to(|uid| Some(uid) == chosen, 200);
            }
            _ if self.rng.u32(0..100) < self.plan.hot_percent => {
                if self.plan.crowd > 0 && self.rng.u32(0..8) == 0 {
                    return self.fan_out_to_tenant(super::HOT);
                }
                let hot = self.catalog.now.keys().next().copied();
                self.fan_out_to(|uid| Some(uid) == hot, 3);
            }
            _ => {
                let chosen = [self.some_endpoint(), self.some_endpoint()];
                self.fan_out_to(|uid| chosen.contains(&Some(uid)), 1);
            }
        }
    }

    /// An event for all that one tenant has.
    fn fan_out_to_tenant(&mut self, tenant: &str) {
        let of_tenant = |view: &View| view.tenant() == Some(tenant);
        let all = self.catalog.now.iter();
        let its: BTreeSet<EndpointUid> = all
            .filter(|(_, view)| of_tenant(view))
            .map(|(uid, _)| *uid)
            .collect();
        self.fan_out_to(|uid| its.contains(&uid), 1);
    }

    fn some_endpoint(&mut self) -> Option<EndpointUid> {
        let live: Vec<EndpointUid> = self.catalog.now.keys().copied().collect();
        self.rng.choice(&live).copied()
    }

    /// Ingest writes an event for the endpoints that are chosen: the payload
    /// once per lane.
    fn fan_out_to(&mut self, chosen: impl Fn(EndpointUid) -> bool, times: usize) {
        let matching: Vec<EndpointUid> = self
            .catalog
            .now
            .iter()
            .filter(|(uid, view)| chosen(**uid) && view.endpoint.is_some() && !view.is_disabled())
            .map(|(uid, _)| *uid)
            .collect();
        let mut lanes: BTreeMap<Lane, Vec<Target>> = BTreeMap::new();
        for uid in matching {
            for _ in 0..times {
                self.next_delivery += 1;
                let id = DeliveryId(self.next_delivery);
                self.oracle.matched(id, uid, self.agenda.now());
                let target = Target {
                    delivery: id,
                    endpoint: uid,
                    subscription: SubscriptionUid(1),
                    attempt: 1,
                    due: UnixMillis(0),
                    delayed_at: UnixMillis(0),
                    spills: 0,
                };
                lanes
                    .entry(lane_of(uid, self.plan.lanes))
                    .or_default()
                    .push(target);
            }
        }
        let size = match self.rng.u32(0..400) {
            0 => 70_000,
            1..20 => 10_000,
            _ => 200,
        };
        for (lane, targets) in lanes {
            let at_a_time = [1, 3, TARGETS_MAX][self.rng.usize(0..3)];
            for chunk in targets.chunks(at_a_time) {
                self.write_envelope(lane, chunk.to_vec(), size);
            }
        }
    }

    fn write_envelope(&mut self, lane: Lane, targets: Vec<Target>, size: usize) {
        let about = targets
            .first()
            .map(|target| (target.delivery, target.endpoint));
        let offset = self.broker.lane(lane).end();
        let envelope = Envelope {
            origin: Origin::Ingest { run: 1 },
            event: EventHead::default(),
            position: SourcePosition {
                offset,
                ..SourcePosition::default()
            },
            chunk: Chunk { index: 0, count: 1 },
            config: Catalog::stamp(self.catalog.len()),
            first_seen: self.wall(),
            targets,
        };
        let record = Rc::new(OpenEnvelope {
            envelope,
            payload: Bytes::from_static(&BYTES[..size]),
        });
        if let Some((id, uid)) = about {
            self.note(None, "ingest writes offset", (Some(id), Some(uid)), offset);
        }
        self.append(lane, Record::Envelope(record.clone()));
        if self.plan.faults.repeats && self.rng.u32(0..20) == 0 {
            // Ingest crashed before it committed, and writes it again.
            self.append(lane, Record::Envelope(record));
        }
    }

    pub(super) fn churn(&mut self) {
        if self.resting {
            return;
        }
        let pause = self.millis(200, 20_000);
        self.agenda.after(pause, Happening::Churn);
        // What must be fixed is fixed at some time.
        if self.rng.u32(0..10) == 0 {
            for lane in &mut self.broker.lanes {
                lane.upgrade();
            }
        }
        self.catalog.churn(&mut self.rng);
        self.tell_config();
    }
}
