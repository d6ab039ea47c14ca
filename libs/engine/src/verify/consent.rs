//! What follows from a consent that comes or goes: whether anything is sent,
//! and how fast.

use std::sync::Arc;

use hooklane_model::catalog::{Consent, Unverified};
use hooklane_model::id::EndpointUid;
use hooklane_model::resource::{Endpoint, RateLimit};

use super::{State, Verifier};
use crate::endpoint::Known;
use crate::{Action, ConsentOrder, Core, Now};

impl Verifier {
    /// The limit that is kept: the endpoint's own, and what its receiver
    /// allows.
    pub(crate) fn limit_of(&self, endpoint: &Endpoint) -> Option<RateLimit> {
        let own = endpoint.spec.rate_limit;
        let consent = self.consent(endpoint);
        match consent.and_then(|consent| consent.allowed_per_minute) {
            Some(allowed) => Some(RateLimit::within(own, allowed)),
            None => own,
        }
    }

    /// Whether `limit` was kept under this spec already. Where nothing was
    /// sent none was: there, nothing is earned that a bucket made later has.
    pub(crate) fn keeps_limit(&self, endpoint: &Endpoint, limit: Option<RateLimit>) -> bool {
        !self.is_unverified(endpoint) && self.limit_of(endpoint) == limit
    }
}

impl Core {
    /// A consent is there or gone. Returns whether the endpoint has become
    /// unverified by it.
    pub(crate) fn consent_changed(
        &mut self,
        now: Now,
        uid: EndpointUid,
        consent: Option<Arc<Consent>>,
    ) -> bool {
        let endpoint = match self.known.get(&uid) {
            Some(Known::Configured { endpoint, .. }) => Some(endpoint.clone()),
            Some(Known::Deleted) | None => None,
        };
        let before = endpoint.as_ref().map(|endpoint| {
            let consent = self.verifier.consent(endpoint).cloned();
            let limit = self.verifier.limit_of(endpoint);
            let kept = self.verifier.keeps_limit(endpoint, limit);
            (consent, kept.then_some(limit))
        });
        match consent {
            // A former owner's, that comes late: of another question, or of
            // this one and older.
            Some(late)
                if before
                    .as_ref()
                    .is_some_and(|b| is_outdated(&late, b.0.as_ref())) =>
            {
                return false;
            }
            Some(consent) => self.verifier.consents.insert(uid, consent),
            None => self.verifier.consents.remove(&uid),
        };
        let (Some(endpoint), Some((before, limit))) = (endpoint, before) else {
            return false;
        };
        if limit != Some(self.verifier.limit_of(&endpoint))
            && let Some(Known::Configured { limit_since, .. }) = self.known.get_mut(&uid)
        {
            *limit_since = now.mono;
        }
        self.keep_limit(&endpoint);
        self.stop_or_let_go(uid);
        before.is_some() && self.verifier.is_unverified(&endpoint)
    }

    /// Lets an endpoint with work keep to its limit as it is now. One that is
    /// not verified sends nothing, and earns no more by that: what its bucket
    /// has counted still counts when the same receiver agrees again.
    pub(crate) fn keep_limit(&mut self, endpoint: &Endpoint) {
        let Some(key) = self.by_uid.get(&endpoint.uid()).copied() else {
            return;
        };
        let state = &mut self.endpoints[key];
        let (limit, capped) = if self.verifier.is_unverified(endpoint) {
            let limit = state
                .limit
                .map(|limit| tighter(limit, endpoint.spec.rate_limit));
            (limit, false)
        } else {
            let consent = self.verifier.consent(endpoint);
            let capped = consent.is_some_and(|consent| consent.allowed_per_minute.is_some());
            (self.verifier.limit_of(endpoint), capped)
        };
        state.set_limit((limit, capped), &self.clock);
        self.make_ready(key);
    }

    /// Why there is no consent, as the status topic says it.
    pub(crate) fn unverified_changed(
        &mut self,
        uid: EndpointUid,
        unverified: Option<Arc<Unverified>>,
        out: &mut Vec<Action>,
    ) {
        let stands = unverified.is_some();
        match unverified {
            Some(unverified) => self.verifier.unverified.insert(uid, unverified),
            None => self.verifier.unverified.remove(&uid),
        };
        let lane = self.verifier.lane(uid);
        let known = self.known.get(&uid);
        let verified = match known {
            Some(Known::Configured { endpoint, .. }) => !self.verifier.is_unverified(endpoint),
            Some(Known::Deleted) => true,
            None => false,
        };
        if stands {
            // A former owner's last word, or our own that is outdated.
            if verified && self.lanes.contains_key(&lane) {
                self.say_unverified(uid, None, out);
            }
            return;
        }
        self.verify_again(uid);
    }

    /// A person has edited the endpoint, or wants it asked now: what has failed
    /// so far says little of the next time.
    pub(crate) fn verify_again(&mut self, uid: EndpointUid) {
        let now = self.now.mono;
        if let Some(want) = self.verifier.want(uid)
            && matches!(want.state, State::Waiting(_))
        {
            (want.tries, want.since) = (0, None);
            self.verify_from(uid, now);
        }
    }

    /// An endpoint is gone, and so is what its receiver said.
    pub(crate) fn forget_verification(&mut self, uid: EndpointUid, out: &mut Vec<Action>) {
        let ours = self.lanes.contains_key(&self.verifier.lane(uid));
        if self.verifier.consents.remove(&uid).is_some() && ours {
            out.push(Action::Consent(ConsentOrder {
                endpoint: uid,
                consent: None,
            }));
        }
        if ours {
            self.say_unverified(uid, None, out);
        }
    }
}

/// Whether a consent says less than the one that is known for what the
/// endpoint asks now.
fn is_outdated(late: &Consent, known: Option<&Consent>) -> bool {
    known.is_some_and(|known| {
        late.fingerprint != known.fingerprint || late.verified_at < known.verified_at
    })
}

/// A limit that keeps to both.
fn tighter(one: RateLimit, other: Option<RateLimit>) -> RateLimit {
    other.map_or(one, |other| RateLimit {
        period: one.period.max(other.period),
        burst: one.burst.min(other.burst),
    })
}
