//! Requests: from the order to the first byte, and to the answer.

use std::time::Duration;

use hooklane_engine::{AttemptEnd, AttemptResult, Event};

use super::World;
use crate::agenda::{Noticed, Who};

impl World<'_> {
    /// The connection is there: the request is written if the lease allows.
    pub(super) fn first_byte(&mut self, who: Who, number: u64) {
        let now = self.now_of(who);
        let process = &mut self.processes[who.place];
        let Some(request) = process.requests.get_mut(&number) else {
            return;
        };
        let passed = std::mem::take(&mut request.passed);
        if now.mono >= process.lease_until && !passed {
            let result = AttemptResult {
                started_at: now.wall,
                elapsed: Duration::ZERO,
                end: AttemptEnd::NotStarted,
            };
            return self.answered(who, number, result);
        }
        request.started = true;
        let request = request.clone();
        let uid = request.target.endpoint;
        // One request per worker after a freeze is what nobody can prevent.
        if !passed && request.limited {
            self.oracle.started(uid, now.mono);
        }
        let about = (Some(request.target.delivery), Some(uid));
        self.note(
            Some(who),
            "starts attempt",
            about,
            i64::from(request.target.attempt),
        );
        let receiver = self
            .receivers
            .entry(uid)
            .or_insert_with(crate::receiver::Receiver::new);
        let asked = (request.generation, request.timeout);
        let (took, end) = receiver.answer(&mut self.rng, now.mono, self.plan.trouble, asked);
        self.oracle.received(&request, &end);
        let result = AttemptResult {
            started_at: now.wall,
            elapsed: took,
            end,
        };
        self.notice(who, took, Noticed::Answered(number, result));
    }

    pub(super) fn answered(&mut self, who: Who, number: u64, result: AttemptResult) {
        let now = self.now_of(who);
        let process = &mut self.processes[who.place];
        let Some(request) = process.requests.remove(&number) else {
            return;
        };
        let about = (Some(request.target.delivery), Some(request.target.endpoint));
        let process = &self.processes[who.place];
        let inert = !process.owns(request.lane, request.epoch);
        self.oracle
            .answered(process, now, (&request, number, inert), &result);
        let status = match result.end {
            AttemptEnd::Response { status, .. } => i64::from(status),
            AttemptEnd::Failed { .. } => -1,
            AttemptEnd::NotStarted => -2,
            AttemptEnd::Blocked { .. } => -3,
        };
        self.note(Some(who), "hears", about, status);
        self.processes[who.place].answering = Some(request.generation);
        let work = request.work;
        self.feed(who, request.worker, Event::Finished { work, result });
        self.processes[who.place].answering = None;
    }
}
