//! How the last attempt at each endpoint that is in trouble failed: for
//! people, in the words that its owner may read. Nothing is decided by it.

use std::collections::HashMap;
use std::num::NonZeroU16;

use hooklane_engine::{AttemptEntry, Outcome};
use hooklane_model::catalog::LastFailure;
use hooklane_model::id::EndpointUid;
use hooklane_model::lane::{Lane, lane_of};
use hooklane_model::time::UnixMillis;

use crate::records::{Ended, ended};

/// The last failures of a worker's endpoints. Bounded by the endpoints of its
/// lanes: who succeeds or is deleted has none, and a lane takes its own along.
#[derive(Default)]
pub(super) struct LastFailures(HashMap<EndpointUid, Failed>);

struct Failed {
    generation: u64,
    at: UnixMillis,
    ended: Ended,
}

impl LastFailures {
    /// Takes note of an attempt.
    pub(super) fn attempted(&mut self, entry: &AttemptEntry) {
        let uid = entry.endpoint.uid();
        match entry.outcome {
            // It says nothing about the endpoint.
            Outcome::NotStarted => {}
            Outcome::Delivered => {
                // Nearly always there is nothing to look for.
                if !self.0.is_empty() {
                    self.0.remove(&uid);
                }
            }
            Outcome::Retry | Outcome::Held | Outcome::Parked | Outcome::Dead => {
                let failed = Failed {
                    generation: entry.endpoint.meta.generation,
                    at: entry.result.started_at,
                    ended: ended(&entry.result.end),
                };
                self.0.insert(uid, failed);
            }
        }
    }

    pub(super) fn forget(&mut self, endpoint: EndpointUid) {
        self.0.remove(&endpoint);
    }

    pub(super) fn let_go(&mut self, lane: Lane, lanes: NonZeroU16) {
        self.0.retain(|uid, _| lane_of(*uid, lanes) != lane);
    }

    /// What is told of an endpoint: nothing of what an earlier spec met with.
    pub(super) fn of(&self, endpoint: EndpointUid, generation: u64) -> Option<LastFailure> {
        let failed = self.0.get(&endpoint)?;
        (failed.generation == generation).then(|| LastFailure {
            at: Some(failed.at),
            status: failed.ended.status,
            failure: failed.ended.failure.map(str::to_owned),
            side: failed.ended.side.map(str::to_owned),
        })
    }
}
