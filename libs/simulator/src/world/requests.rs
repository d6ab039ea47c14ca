//! Requests: from the order to the first byte, and to the answer.

use std::time::Duration;

use hooklane_engine::{AttemptEnd, AttemptResult, Event, Side};

use super::World;
use crate::agenda::{Noticed, Who};

impl World<'_> {
    /// The connection is there: the request is written if the lease and its
    /// pass allow.
    pub(super) fn first_byte(&mut self, who: Who, number: u64) {
        let now = self.now_of(who);
        let process = &mut self.processes[who.place];
        let Some(request) = process.requests.get_mut(&number) else {
            return;
        };
        let passed = std::mem::take(&mut request.passed);
        let left = request
            .timeout
            .saturating_sub(now.mono.since(request.ordered));
        let leased = now.mono < process.lease_until;
        let end = if passed {
            None
        } else if left.is_zero() {
            // It never got a connection.
            let (reason, side) = ("timeout", Side::Network);
            Some(AttemptEnd::Failed { reason, side })
        } else {
            let starts = leased && request.pass.start(now.mono);
            if !starts && leased && request.again {
                return self.wait_again(who, number);
            }
            (!starts).then_some(AttemptEnd::NotStarted)
        };
        if let Some(end) = end {
            let result = AttemptResult {
                started_at: now.wall,
                elapsed: now.mono.since(request.ordered),
                end,
            };
            return self.answered(who, number, result);
        }
        request.started = true;
        let refused = self.plan.refusals && !request.again && request.target.delivery.0 % 4 == 0;
        let request = request.clone();
        let uid = request.target.endpoint;
        // One request per worker after a freeze is what nobody can prevent.
        if !passed {
            self.oracle
                .started(&self.processes[who.place], now.mono, &request);
        }
        let about = (Some(request.target.delivery), Some(uid));
        self.note(
            Some(who),
            "starts attempt",
            about,
            i64::from(request.target.attempt),
        );
        if refused {
            return self.notice(who, left / 8, Noticed::Refused(number));
        }
        let receiver = self
            .receivers
            .entry(uid)
            .or_insert_with(crate::receiver::Receiver::new);
        let asked = (request.generation, left);
        let (took, end) = receiver.answer(&mut self.rng, now.mono, self.plan.trouble, asked);
        self.oracle.received(&request, &end);
        let result = AttemptResult {
            started_at: now.wall,
            elapsed: now.mono.since(request.ordered) + took,
            end,
        };
        self.notice(who, took, Noticed::Answered(number, result));
        if request.pass.is_waited_for() {
            let work = request.work;
            self.feed(who, request.worker, Event::Started { work });
        }
    }

    /// The receiver refused the credentials, and there are others: the request
    /// passes the gate again.
    pub(super) fn refused(&mut self, who: Who, number: u64) {
        let process = &mut self.processes[who.place];
        let Some(request) = process.requests.get_mut(&number) else {
            return;
        };
        request.again = true;
        request.pass.again();
        self.wait_again(who, number);
    }

    fn wait_again(&mut self, who: Who, number: u64) {
        let now = self.now_of(who);
        let request = &self.processes[who.place].requests[&number];
        let deadline = request.ordered.after(request.timeout);
        let end = match request.pass.free_at(now.mono) {
            None => AttemptEnd::NotStarted,
            Some(at) if at >= deadline => AttemptEnd::Failed {
                reason: "token_rejected",
                side: Side::Receiver,
            },
            Some(at) => {
                // Not twice in one instant, whatever refused it.
                let wait = at.since(now.mono).max(Duration::from_millis(1));
                return self.notice(who, wait, Noticed::FirstByte(number));
            }
        };
        let result = AttemptResult {
            started_at: now.wall,
            elapsed: now.mono.since(request.ordered),
            end,
        };
        self.answered(who, number, result);
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
