//! Receivers that are asked for their consent: from the order to the answer.

use hooklane_engine::{ConsentOrder, Event, Now, VerifyEnd, VerifyOrder};
use hooklane_model::lane::lane_of;
use hooklane_model::resource::Fingerprint;

use super::World;
use crate::agenda::{Noticed, Who};
use crate::broker::Product;
use crate::catalog::ORIGIN;
use crate::process::Asked;

impl World<'_> {
    pub(super) fn ask(&mut self, who: Who, worker: usize, now: Now, order: VerifyOrder) {
        let uid = order.endpoint.uid();
        self.note(Some(who), "asks for consent", (None, Some(uid)), 0);
        let lane = lane_of(uid, self.plan.lanes);
        let process = &mut self.processes[who.place];
        self.oracle.asked(process, (now.mono, lane), &order);
        let Some(question) = Fingerprint::of(&order.endpoint, ORIGIN) else {
            return;
        };
        process.next_request += 1;
        let number = process.next_request;
        let asked = Asked {
            worker,
            id: order.id,
            endpoint: uid,
            question,
            timeout: order.endpoint.spec.timeout,
            pass: order.pass,
        };
        process.asked.insert(number, asked);
        let connect = self.terms.connect();
        self.notice(who, connect, Noticed::Asks(number));
    }

    /// The connection is there: the request is written if it is still wanted.
    pub(super) fn asks(&mut self, who: Who, number: u64) {
        let now = self.now_of(who).mono;
        let process = &self.processes[who.place];
        let Some(asked) = process.asked.get(&number).cloned() else {
            return;
        };
        if now >= process.lease_until || !asked.pass.start() {
            return self.has_agreed(who, number, VerifyEnd::NotStarted);
        }
        let lane = lane_of(asked.endpoint, self.plan.lanes);
        self.oracle.asks(process, lane, &asked);
        let key = (asked.endpoint, asked.question);
        let (took, end) = self.terms.answer(key, asked.timeout, self.resting);
        self.oracle.agrees(key, &end);
        self.notice(who, took, Noticed::Agreed(number, end));
    }

    pub(super) fn has_agreed(&mut self, who: Who, number: u64, end: VerifyEnd) {
        let now = self.agenda.now();
        let process = &mut self.processes[who.place];
        let Some(asked) = process.asked.remove(&number) else {
            return;
        };
        let (worker, id, uid) = (asked.worker, asked.id, asked.endpoint);
        let word = match end {
            VerifyEnd::Consented { per_minute } => per_minute.map_or(0, |n| i64::from(n.get())),
            VerifyEnd::Failed { .. } => -1,
            VerifyEnd::NotStarted => -2,
        };
        let lane = lane_of(uid, self.plan.lanes);
        self.oracle.answers(process, (now, lane), (&asked, &end));
        self.note(Some(who), "hears of consent", (None, Some(uid)), word);
        self.feed(who, worker, Event::Verified { id, end });
    }

    /// A core has its receiver's word, and writes it down.
    pub(super) fn agreed(&mut self, who: Who, worker: usize, now: Now, order: ConsentOrder) {
        let uid = order.endpoint;
        let process = &mut self.processes[who.place];
        self.oracle.consented(process, &order);
        if let Some(view) = process.view.get_mut(&uid) {
            match &order.consent {
                Some(consent) => view.agrees(consent),
                None => view.consent = None,
            }
        }
        self.limits_changed(uid, now.mono);
        self.produce(who, worker, None, Product::Consent(order));
    }
}
