//! Nothing is delivered to a receiver that has not agreed, nor more than it
//! allows; and it is asked no more often than it must be.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU32;
use std::time::Duration;

use hooklane_engine::{ConsentOrder, Epoch, Mono, VerifyEnd, VerifyOrder};
use hooklane_model::catalog::Change;
use hooklane_model::id::EndpointUid;
use hooklane_model::lane::Lane;
use hooklane_model::resource::Fingerprint;

use super::Oracle;
use crate::agenda::Who;
use crate::catalog::{View, uid_of};
use crate::failure::Rule;
use crate::process::{Asked, Process, Request};

const MINUTE: Duration = Duration::from_secs(60);
/// Who has not agreed is left alone for so long at least.
const AGAIN: Duration = Duration::from_secs(10);

/// What receivers have said.
#[derive(Default)]
pub(crate) struct Consents {
    /// Who has agreed to what, and to how many requests a minute.
    given: BTreeMap<(EndpointUid, Fingerprint), Option<NonZeroU32>>,
    /// Their requests of the last minute.
    minutes: BTreeMap<(EndpointUid, Fingerprint), VecDeque<Mono>>,
    /// When a process heard, under which claim, that a receiver does not agree.
    refused: BTreeMap<(Who, EndpointUid), (Fingerprint, Option<Epoch>, Mono)>,
    /// The answer that a process has in hand.
    heard: Option<(EndpointUid, Fingerprint)>,
}

impl Oracle {
    /// The core ordered a receiver to be asked.
    pub(crate) fn asked(
        &mut self,
        process: &Process,
        (now, lane): (Mono, Lane),
        order: &VerifyOrder,
    ) {
        let uid = order.endpoint.uid();
        let mut wrong = Vec::new();
        if now >= process.lease_until {
            wrong.push("without a lease");
        }
        if !process.lanes.contains_key(&lane) {
            wrong.push("for a lane that is not owned");
        }
        if process.asked.values().any(|asked| asked.endpoint == uid) {
            wrong.push("a second time at once");
        }
        let view = process.view.get(&uid);
        if !view.is_some_and(|view| may_ask(view, order.endpoint.meta.generation)) {
            wrong.push("who is not to be asked");
        }
        let question = view.and_then(View::question);
        let refused = self.consents.refused.get(&(process.who, uid));
        let claim = process.lanes.get(&lane).map(|owned| owned.epoch);
        if refused.is_some_and(|(asked, under, at)| {
            Some(*asked) == question && *under == claim && now.since(*at) < AGAIN
        }) {
            wrong.push("too soon after it did not agree");
        }
        for what in wrong {
            self.broken(Rule::Consent, (None, Some(uid)), format!("asked {what}"));
        }
    }

    /// The first byte of such a request was written.
    pub(crate) fn asks(&mut self, process: &Process, lane: Lane, asked: &Asked) {
        let uid = asked.endpoint;
        let view = process.view.get(&uid);
        let wanted = view.is_some_and(|view| {
            let generation = view.generation().unwrap_or_default();
            may_ask(view, generation) && view.question() == Some(asked.question)
        });
        if !wanted || !process.lanes.contains_key(&lane) {
            let what = "first byte to a receiver that is not to be asked".to_owned();
            self.broken(Rule::Consent, (None, Some(uid)), what);
        }
    }

    /// A receiver answers, whoever hears of it.
    pub(crate) fn agrees(&mut self, key: (EndpointUid, Fingerprint), end: &VerifyEnd) {
        if let VerifyEnd::Consented { per_minute } = end {
            self.consents.given.insert(key, *per_minute);
        }
    }

    /// The core is told of an answer.
    pub(crate) fn answers(
        &mut self,
        process: &Process,
        (now, lane): (Mono, Lane),
        (asked, end): (&Asked, &VerifyEnd),
    ) {
        let key = (asked.endpoint, asked.question);
        self.consents.heard = None;
        match end {
            VerifyEnd::Consented { .. } => self.consents.heard = Some(key),
            VerifyEnd::Failed { .. } => {
                let refused = &mut self.consents.refused;
                let claim = process.lanes.get(&lane).map(|owned| owned.epoch);
                let said = (asked.question, claim, now);
                refused.insert((process.who, asked.endpoint), said);
            }
            VerifyEnd::NotStarted => {}
        }
    }

    /// A person has edited the endpoint, or has it asked again.
    pub(crate) fn asks_anew(&mut self, who: Who, change: &Change) {
        let anew = matches!(
            change,
            Change::Endpoint(_)
                | Change::EndpointGone(_)
                | Change::Consent(..)
                | Change::Unverified(_, None)
        );
        if anew {
            self.consents.refused.remove(&(who, uid_of(change)));
        }
    }

    /// The core takes a receiver to have agreed.
    pub(crate) fn consented(&mut self, process: &Process, order: &ConsentOrder) {
        let uid = order.endpoint;
        let view = process.view.get(&uid);
        let Some(consent) = &order.consent else {
            if view.is_some_and(|view| view.endpoint.is_some()) {
                let what = "the consent of an endpoint that is there is deleted".to_owned();
                self.broken(Rule::Consent, (None, Some(uid)), what);
            }
            return;
        };
        let question = consent.fingerprint;
        let key = (uid, question);
        if self.consents.heard.take() != Some(key) {
            let what = "a consent is written that nobody gave just now".to_owned();
            self.broken(Rule::Consent, (None, Some(uid)), what);
        }
        if view.and_then(View::question) != Some(question) {
            let what = "a consent is written to what is not asked any more".to_owned();
            self.broken(Rule::Consent, (None, Some(uid)), what);
        }
    }

    /// The first byte of a delivery was written.
    pub(super) fn agreed_to(&mut self, process: &Process, now: Mono, request: &Request) {
        let uid = request.target.endpoint;
        let about = (Some(request.target.delivery), Some(uid));
        let view = process.view.get(&uid);
        if view.is_some_and(View::is_unverified) {
            let what = "first byte to a receiver that has not agreed".to_owned();
            self.broken(Rule::Consent, about, what);
        }
        let Some(question) = request.question else {
            return;
        };
        let key = (uid, question);
        let Some(allowed) = self.consents.given.get(&key).copied() else {
            let what = "first byte, and the receiver was never asked".to_owned();
            return self.broken(Rule::Consent, about, what);
        };
        let Some(allowed) = allowed else { return };
        let minute = self.consents.minutes.entry(key).or_default();
        while (minute.front()).is_some_and(|start| now.since(*start) >= MINUTE) {
            minute.pop_front();
        }
        minute.push_back(now);
        let seen = minute.len();
        if seen > usize::try_from(allowed.get()).unwrap_or(usize::MAX) {
            let what = format!("{seen} requests in a minute, and {allowed} are allowed");
            self.broken(Rule::Allowed, about, what);
        }
    }
}

fn may_ask(view: &View, generation: u64) -> bool {
    let paused = view.endpoint.as_ref().is_none_or(|e| e.spec.paused);
    view.generation() == Some(generation) && view.is_unverified() && !view.is_disabled() && !paused
}
