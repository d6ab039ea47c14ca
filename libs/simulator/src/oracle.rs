//! What must hold, judged from outside.

mod breaker;
mod durable;
mod limits;
mod memory;
mod requests;
mod rest;
mod tenants;
mod terminal;
mod verify;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use hooklane_engine::Mono;
use hooklane_model::id::{DeliveryId, EndpointUid};

use crate::agenda::Who;
use crate::failure::Rule;
pub(crate) use breaker::Breaking;
pub(crate) use durable::Life;
pub(crate) use limits::Meter;
pub(crate) use memory::Turns;
pub(crate) use verify::Consents;

/// A rule that was just broken.
#[derive(Clone, Debug)]
pub(crate) struct Broken {
    pub(crate) rule: Rule,
    pub(crate) what: String,
    pub(crate) delivery: Option<DeliveryId>,
    pub(crate) endpoint: Option<EndpointUid>,
}

/// What the oracle has seen.
#[derive(Default)]
pub(crate) struct Oracle {
    pub(crate) calm: bool,
    pub(crate) broken: Option<Broken>,
    pub(crate) lives: HashMap<DeliveryId, Life>,
    pub(crate) meters: BTreeMap<EndpointUid, Meter>,
    /// Until when an endpoint must be left alone by a process that was told.
    pub(crate) holds: BTreeMap<(Who, EndpointUid), Mono>,
    /// As `holds`, from answers for lanes being given up: nothing starts there,
    /// but what is handed over may find itself too old by then.
    pub(crate) late_holds: BTreeMap<(Who, EndpointUid), Mono>,
    pub(crate) breaking: BTreeMap<(Who, EndpointUid), Breaking>,
    /// Endpoints that asked for so long that deliveries may expire meanwhile.
    pub(crate) long_holds: BTreeSet<EndpointUid>,
    pub(crate) turns: BTreeMap<(Who, usize), Turns>,
    /// Before this, waits may have other reasons than the engine's.
    pub(crate) excused_until: Mono,
    /// From when on nothing fails any more.
    pub(crate) resting_since: Option<Mono>,
    pub(crate) consents: Consents,
    pub(crate) matched: u64,
    pub(crate) delivered: u64,
    pub(crate) dead: u64,
    pub(crate) requests: u64,
}

impl Oracle {
    /// Notes the first broken rule.
    pub(crate) fn broken(
        &mut self,
        rule: Rule,
        (delivery, endpoint): (Option<DeliveryId>, Option<EndpointUid>),
        what: String,
    ) {
        self.broken.get_or_insert(Broken {
            rule,
            what,
            delivery,
            endpoint,
        });
    }
}
