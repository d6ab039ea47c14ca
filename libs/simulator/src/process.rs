//! A dispatcher process: the shell around its cores, in model.
//!
//! It keeps what `dispatcher::{owner, worker, lease}` keep, and in the same
//! way: lanes with their claims, one lease for the process, one core per
//! worker, requests that outlive the decision to make them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use hooklane_engine::{Core, Epoch, Mono, Pass, VerifyId, VerifyPass, WorkId};
use hooklane_model::envelope::Target;
use hooklane_model::id::EndpointUid;
use hooklane_model::lane::Lane;
use hooklane_model::resource::Fingerprint;
use hooklane_model::time::UnixMillis;

use crate::agenda::{Noticed, Who};
use crate::catalog::View;
use crate::group::{MARGIN, Member, SESSION};

/// A lane the process owns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owned {
    pub(crate) epoch: Epoch,
    /// The offset that is read next.
    pub(crate) next: i64,
    pub(crate) committed: i64,
}

/// Lanes that are being given up.
#[derive(Debug)]
pub(crate) struct Drain {
    pub(crate) number: u64,
    pub(crate) open: BTreeSet<Lane>,
    pub(crate) released: Vec<(Lane, i64)>,
    pub(crate) lanes: Vec<Lane>,
    /// Others may own them by now: nothing is committed.
    pub(crate) lost: bool,
    pub(crate) committing: bool,
}

/// A request that was ordered.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) worker: usize,
    pub(crate) work: WorkId,
    pub(crate) target: Target,
    pub(crate) generation: u64,
    /// What its receiver must have agreed to.
    pub(crate) question: Option<Fingerprint>,
    pub(crate) timeout: Duration,
    /// When it was ordered: its timeout counts from there.
    pub(crate) ordered: Mono,
    pub(crate) pass: Pass,
    pub(crate) lane: Lane,
    pub(crate) epoch: Epoch,
    /// Its first byte has been written.
    pub(crate) started: bool,
    /// The thread was frozen between the checks and the write.
    pub(crate) passed: bool,
    /// The receiver refused its credentials once: it is made again.
    pub(crate) again: bool,
}

/// A receiver that is asked for its consent.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) worker: usize,
    pub(crate) id: VerifyId,
    pub(crate) endpoint: EndpointUid,
    pub(crate) question: Fingerprint,
    pub(crate) timeout: Duration,
    pub(crate) pass: VerifyPass,
}

/// A worker's core.
pub(crate) struct Worker {
    pub(crate) core: Core,
    /// When its timer goes, if it is set.
    pub(crate) wake_at: Option<Mono>,
}

/// What the process is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Running,
    Frozen,
    Dead,
}

/// A dispatcher.
pub(crate) struct Process {
    pub(crate) who: Who,
    pub(crate) state: State,
    /// What it would have noticed while it was frozen.
    pub(crate) missed: Vec<Noticed>,
    /// Its wall clock, less the true time, in milliseconds.
    pub(crate) wall_offset: i64,
    /// The latest that its wall clock has shown: what was due stays due when
    /// the clock steps back.
    pub(crate) wall_seen: UnixMillis,
    pub(crate) cut_off: bool,
    /// It stops for good in this life as soon as its lanes are handed over.
    pub(crate) stopping: bool,
    pub(crate) member: Option<Member>,
    pub(crate) workers: Vec<Worker>,
    pub(crate) lanes: BTreeMap<Lane, Owned>,
    pub(crate) next_epoch: u64,
    pub(crate) lease_until: Mono,
    pub(crate) committed_at: Mono,
    pub(crate) drain: Option<Drain>,
    pub(crate) drains: u64,
    /// Changes applied.
    pub(crate) applied: usize,
    pub(crate) view: HashMap<EndpointUid, View>,
    pub(crate) requests: BTreeMap<u64, Request>,
    pub(crate) next_request: u64,
    /// Receivers that are asked, by the numbers of requests.
    pub(crate) asked: BTreeMap<u64, Asked>,
    /// The generation that the answer in hand was asked with.
    pub(crate) answering: Option<u64>,
}

impl Process {
    pub(crate) fn new(place: usize, cores: Vec<Core>, life: u32) -> Self {
        let workers = cores
            .into_iter()
            .map(|core| Worker {
                core,
                wake_at: None,
            })
            .collect();
        Self {
            who: Who { place, life },
            state: State::Running,
            missed: Vec::new(),
            wall_offset: 0,
            wall_seen: UnixMillis(0),
            cut_off: false,
            stopping: false,
            member: None,
            workers,
            lanes: BTreeMap::new(),
            next_epoch: 1,
            lease_until: Mono(0),
            committed_at: Mono(0),
            drain: None,
            drains: 0,
            applied: 0,
            view: HashMap::new(),
            requests: BTreeMap::new(),
            next_request: 0,
            asked: BTreeMap::new(),
            answering: None,
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.state == State::Running
    }

    pub(crate) fn worker_of(&self, lane: Lane) -> usize {
        usize::from(lane.0) % self.workers.len()
    }

    /// A commit that was sent at `sent` was acked.
    pub(crate) fn renew(&mut self, sent: Mono) {
        let until = sent.after(SESSION - MARGIN);
        self.lease_until = self.lease_until.max(until);
    }

    /// Whether a claim is the present one of a lane that is not given up.
    pub(crate) fn owns(&self, lane: Lane, epoch: Epoch) -> bool {
        self.lanes
            .get(&lane)
            .is_some_and(|owned| owned.epoch == epoch)
    }
}
