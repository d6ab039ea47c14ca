//! Kafka's topics: lanes, delay topics, and what is on its way to them.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use hooklane_engine::{
    ConsentOrder, DeadReason, Epoch, HealthOrder, OpenEnvelope, Stored, UnverifiedOrder, WorkId,
};
use hooklane_model::envelope::Target;
use hooklane_model::id::{DeliveryId, EndpointUid};
use hooklane_model::ladder::Rung;
use hooklane_model::lane::Lane;

use crate::agenda::Who;

/// A record of a lane.
#[derive(Clone, Debug)]
pub(crate) enum Record {
    Envelope(Rc<OpenEnvelope>),
    /// Bytes that are no envelope.
    Poison,
    /// Written by a newer release.
    Newer,
    /// A transaction marker or what compaction left: no record at all.
    Gap,
}

/// One partition of the deliveries topic.
#[derive(Debug, Default)]
pub(crate) struct LaneLog {
    base: i64,
    records: VecDeque<Record>,
    pub(crate) committed: i64,
    /// The committed offset of some time ago: below it nothing is needed,
    /// also not by a commit that lands late.
    kept_from: i64,
}

impl LaneLog {
    pub(crate) fn end(&self) -> i64 {
        self.base + i64::try_from(self.records.len()).unwrap_or(i64::MAX)
    }

    pub(crate) fn append(&mut self, record: Record) {
        self.records.push_back(record);
    }

    pub(crate) fn get(&self, offset: i64) -> Option<&Record> {
        let at = usize::try_from(offset - self.base).ok()?;
        self.records.get(at)
    }

    /// The upgrade: what was newer is an ordinary record now.
    pub(crate) fn upgrade(&mut self) {
        for record in &mut self.records {
            if matches!(record, Record::Newer) {
                *record = Record::Gap;
            }
        }
    }

    /// Retention: forgets what nobody can need. Called every few minutes.
    pub(crate) fn retain(&mut self) {
        while self.base < self.kept_from {
            self.records.pop_front();
            self.base += 1;
        }
        self.kept_from = self.committed.max(self.base);
    }

    /// A commit set the offset back: nothing above may be forgotten.
    pub(crate) fn keep(&mut self, from: i64) {
        self.kept_from = self.kept_from.min(from);
    }
}

/// Names a record of a delay topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DelayId(pub(crate) u64);

/// A record of a delay topic that the scheduler has not committed.
#[derive(Clone, Debug)]
pub(crate) struct Delayed {
    pub(crate) envelope: Rc<OpenEnvelope>,
    pub(crate) target: Target,
}

/// A record on its way to the broker.
#[derive(Debug)]
pub(crate) struct Produce {
    pub(crate) who: Who,
    pub(crate) worker: usize,
    /// Whose fate hangs on it.
    pub(crate) about: Option<(WorkId, Stored)>,
    pub(crate) what: Product,
}

/// What is produced.
#[derive(Debug)]
pub(crate) enum Product {
    Attempt {
        delivery: DeliveryId,
        delivered: bool,
    },
    Delay {
        rung: Rung,
        envelope: Rc<OpenEnvelope>,
        target: Target,
    },
    Dead {
        delivery: DeliveryId,
        reason: DeadReason,
        bytes: usize,
    },
    Status {
        endpoint: EndpointUid,
        generation: u64,
        reason: &'static str,
    },
    Health(HealthOrder),
    Consent(ConsentOrder),
    Unverified(UnverifiedOrder),
    Poison {
        lane: Lane,
        epoch: Epoch,
        offset: i64,
    },
}

/// The largest value the internal topics take.
pub(crate) const VALUE_MAX: usize = 60_000;

/// All topics.
pub(crate) struct Broker {
    pub(crate) lanes: Vec<LaneLog>,
    pub(crate) delayed: BTreeMap<DelayId, Delayed>,
    pub(crate) next_delay: u64,
    /// Places of poison records in the poison topic.
    pub(crate) poison: BTreeMap<(Lane, i64), u32>,
    /// It takes seconds to answer.
    pub(crate) slow: bool,
}

impl Broker {
    pub(crate) fn new(lanes: u16) -> Self {
        Self {
            lanes: (0..lanes).map(|_| LaneLog::default()).collect(),
            delayed: BTreeMap::new(),
            next_delay: 0,
            poison: BTreeMap::new(),
            slow: false,
        }
    }

    pub(crate) fn lane(&mut self, lane: Lane) -> &mut LaneLog {
        &mut self.lanes[usize::from(lane.0)]
    }
}
