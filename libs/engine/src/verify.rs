//! Asking receivers whether they want to be called, before anything is
//! delivered to them.
//!
//! An endpoint whose spec asks for it sends nothing until its receiver has
//! agreed to the present question (method, URL and, for a handshake, who we
//! are): its deliveries are parked as if it were paused. The owner of its lane
//! asks, one request at a time, and again with back-off until the receiver
//! agrees. The consent goes to the status topic and holds for every later
//! owner; whoever dies between the answer and the record asks again.
//!
//! Bounded: so many requests at a time and a second, whatever waits, and of
//! one tenant so many, so that a crowd of endpoints that hang does not keep
//! others from being asked.

mod consent;
mod line;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::num::{NonZeroU16, NonZeroU32};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hooklane_model::catalog::{Consent, Unverified};
use hooklane_model::id::{EndpointUid, IdMap};
use hooklane_model::lane::{Lane, lane_of};
use hooklane_model::resource::{Endpoint, Fingerprint, Verification};
use hooklane_model::time::UnixMillis;

use self::line::{Line, Ticket};
use crate::endpoint::Known;
use crate::orders::{ConsentOrder, UnverifiedOrder, VerifyEnd, VerifyId, VerifyOrder, VerifyPass};
use crate::timers::Wake;
use crate::{Action, Core, Mono, Now, Side};

/// How long after the first failure a receiver is asked again; doubled each
/// time, up to [`AGAIN_MAX`].
const AGAIN: Duration = Duration::from_secs(10);
const AGAIN_MAX: Duration = Duration::from_secs(600);
/// The same for what we lack ourselves: soon after somebody mended it.
const BLOCKED_MAX: Duration = Duration::from_secs(60);
/// How long a receiver is left alone at its own word.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);
/// How long after a request that the lease forbade it is tried again.
const LEASE_RETRY: Duration = Duration::from_secs(1);
/// Time between the starts of two requests of one worker: a hundred a second
/// beside a thousand times as many deliveries are not felt by anybody.
const PACE: Duration = Duration::from_millis(10);
/// Failures that are written down one by one, while the back-off grows; then
/// one of so many, or when the reason is another.
const WRITTEN_FIRST: u32 = 7;
const WRITTEN_THEN: u32 = 6;

/// What the whole deployment has in common.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// Lanes of the deliveries topic.
    pub lanes: NonZeroU16,
    /// Who we say that we are in a handshake: a DNS name, or nothing.
    pub origin: String,
}

/// Everything that is known of consents, and who is to be asked.
pub(crate) struct Verifier {
    deployment: Deployment,
    /// As in the status topic, whatever the specs say now.
    consents: IdMap<EndpointUid, Arc<Consent>>,
    unverified: IdMap<EndpointUid, Arc<Unverified>>,
    /// Endpoints of all lanes of this worker that would send if their
    /// receivers agreed.
    wants: BTreeMap<Lane, BTreeMap<EndpointUid, Want>>,
    /// Those in back-off.
    waiting: BTreeSet<(Mono, EndpointUid)>,
    /// Those whose turn it is, tenant by tenant.
    line: Line,
    /// Requests that are open; bounded by the line.
    asked: BTreeMap<VerifyId, Asked>,
    next_id: u64,
    next_start: Mono,
    armed: Option<Mono>,
}

/// An endpoint whose receiver has not agreed.
#[derive(Debug)]
struct Want {
    fingerprint: Fingerprint,
    state: State,
    tries: u32,
    since: Option<UnixMillis>,
}

#[derive(Debug)]
enum State {
    /// Its lane is somebody else's.
    Elsewhere,
    /// In back-off until then.
    Waiting(Mono),
    /// In the line.
    Due(Ticket),
    /// A request is open that asked something else.
    Behind,
    Asking(VerifyId, VerifyPass),
}

/// Whose request is open.
#[derive(Debug)]
struct Asked {
    endpoint: Arc<Endpoint>,
    fingerprint: Fingerprint,
}

impl Verifier {
    pub(crate) fn new(deployment: Deployment) -> Self {
        Self {
            deployment,
            consents: IdMap::default(),
            unverified: IdMap::default(),
            wants: BTreeMap::new(),
            waiting: BTreeSet::new(),
            line: Line::default(),
            asked: BTreeMap::new(),
            next_id: 0,
            next_start: Mono(0),
            armed: None,
        }
    }

    fn fingerprint(&self, endpoint: &Endpoint) -> Option<Fingerprint> {
        Fingerprint::of(endpoint, &self.deployment.origin)
    }

    /// In whose name an endpoint asks, where it says so.
    fn origin_of(&self, endpoint: &Endpoint) -> Option<String> {
        let says = endpoint.spec.verification == Verification::Handshake;
        says.then(|| self.deployment.origin.clone())
    }

    fn lane(&self, uid: EndpointUid) -> Lane {
        lane_of(uid, self.deployment.lanes)
    }

    fn want(&mut self, uid: EndpointUid) -> Option<&mut Want> {
        let lane = self.lane(uid);
        self.wants.get_mut(&lane)?.get_mut(&uid)
    }

    /// The receiver's consent to what the endpoint asks now.
    fn consent(&self, endpoint: &Endpoint) -> Option<&Consent> {
        let asks = self.fingerprint(endpoint)?;
        let consent = self.consents.get(&endpoint.uid())?;
        (consent.fingerprint == asks).then_some(&**consent)
    }

    pub(crate) fn is_unverified(&self, endpoint: &Endpoint) -> bool {
        self.fingerprint(endpoint).is_some() && self.consent(endpoint).is_none()
    }

    /// Takes a want out of wherever it stands; what it asked goes no further.
    fn unschedule(&mut self, uid: EndpointUid) {
        let lane = self.lane(uid);
        let want = self.wants.get_mut(&lane).and_then(|all| all.get_mut(&uid));
        let Some(want) = want else { return };
        match std::mem::replace(&mut want.state, State::Elsewhere) {
            State::Waiting(until) => {
                self.waiting.remove(&(until, uid));
            }
            State::Due(ticket) => self.line.leave(&ticket),
            State::Asking(_, pass) => pass.revoke(),
            State::Elsewhere | State::Behind => {}
        }
    }

    fn forget_want(&mut self, uid: EndpointUid) {
        self.unschedule(uid);
        let lane = self.lane(uid);
        if let Some(wants) = self.wants.get_mut(&lane) {
            wants.remove(&uid);
            if wants.is_empty() {
                self.wants.remove(&lane);
            }
        }
    }

    fn is_open(&self, uid: EndpointUid) -> bool {
        self.asked.values().any(|asked| asked.endpoint.uid() == uid)
    }

    /// Endpoints of a lane that wait for their receivers.
    pub(crate) fn unverified_in(&self, lane: Lane) -> usize {
        self.wants.get(&lane).map_or(0, BTreeMap::len)
    }

    fn uids_of(&self, lane: Lane) -> Vec<EndpointUid> {
        let wants = self.wants.get(&lane);
        wants.map_or_else(Vec::new, |wants| wants.keys().copied().collect())
    }
}

impl Core {
    /// Tells the core about the deployment; without, it is one of a single
    /// lane that has no name.
    #[must_use]
    pub fn in_deployment(mut self, deployment: Deployment) -> Self {
        self.verifier = Verifier::new(deployment);
        self
    }

    /// Looks whether an endpoint's receiver is to be asked, after anything
    /// that it depends on has changed. Returns whether it has not agreed.
    pub(crate) fn refresh_verification(&mut self, uid: EndpointUid) -> bool {
        let Some(Known::Configured {
            endpoint, disabled, ..
        }) = self.known.get(&uid)
        else {
            self.verifier.forget_want(uid);
            return false;
        };
        let unverified = self.verifier.is_unverified(endpoint);
        let asks = self.verifier.fingerprint(endpoint);
        let called = !endpoint.spec.paused && !disabled;
        let Some(fingerprint) = asks.filter(|_| unverified && called) else {
            self.verifier.forget_want(uid);
            return unverified;
        };
        let known = self.verifier.want(uid).map(|want| want.fingerprint);
        if known != Some(fingerprint) {
            self.verifier.forget_want(uid);
            let lane = self.verifier.lane(uid);
            let want = Want {
                fingerprint,
                state: State::Elsewhere,
                tries: 0,
                since: None,
            };
            let wants = self.verifier.wants.entry(lane).or_default();
            wants.insert(uid, want);
            self.schedule_verification(uid);
        }
        true
    }

    /// Lets an endpoint's receiver be asked, if its lane is ours: at once, or
    /// when a former owner would have asked again.
    fn schedule_verification(&mut self, uid: EndpointUid) {
        let lane = self.verifier.lane(uid);
        let ours = self.lanes.get(&lane).is_some_and(|s| s.draining.is_none());
        let now = self.now;
        let failed = self.verifier.unverified.get(&uid).cloned();
        let Some(want) = self.verifier.want(uid).filter(|_| ours) else {
            return;
        };
        let failed = failed.filter(|failed| failed.fingerprint == want.fingerprint);
        if let Some(failed) = &failed {
            want.tries = failed.tries;
            want.since = failed.since;
        }
        // Whose clock was ahead does not silence the endpoint for ever.
        let until = failed.and_then(|failed| failed.next_try);
        let until = until.map_or(now.mono, |until| now.mono_at(until));
        let until = until.min(now.mono.after(RETRY_AFTER_MAX));
        self.verify_from(uid, until);
    }

    /// The endpoint's turn comes then.
    fn verify_from(&mut self, uid: EndpointUid, until: Mono) {
        self.verifier.unschedule(uid);
        let state = if until > self.now.mono {
            self.verifier.waiting.insert((until, uid));
            State::Waiting(until)
        } else {
            let tenant = match self.known.get(&uid) {
                Some(Known::Configured { endpoint, .. }) => endpoint.meta.tenant.as_str(),
                Some(Known::Deleted) | None => return,
            };
            State::Due(self.verifier.line.join(tenant, uid))
        };
        if let Some(want) = self.verifier.want(uid) {
            want.state = state;
        }
    }

    /// A lane was claimed: whoever waits in it is asked.
    pub(crate) fn verify_lane(&mut self, lane: Lane) {
        for uid in self.verifier.uids_of(lane) {
            self.schedule_verification(uid);
        }
    }

    /// A lane is let go: its next owner asks.
    pub(crate) fn stop_verifying(&mut self, lane: Lane) {
        for uid in self.verifier.uids_of(lane) {
            self.verifier.unschedule(uid);
        }
    }

    /// Starts requests, as many as may be open and as fast as they may start.
    pub(crate) fn verify(&mut self, now: Now, out: &mut Vec<Action>) {
        if self.verifier.wants.is_empty() {
            return;
        }
        while let Some((at, uid)) = self.verifier.waiting.first().copied() {
            if at > now.mono {
                break;
            }
            self.verify_from(uid, now.mono);
        }
        while now.mono >= self.verifier.next_start && now.mono < self.lease_until {
            let Some(uid) = self.verifier.line.next() else {
                break;
            };
            self.ask(now, uid, out);
        }
        let paced = (!self.verifier.line.is_empty()).then_some(self.verifier.next_start);
        let paced = paced.filter(|at| *at > now.mono);
        let waits = self.verifier.waiting.first().map(|(at, _)| *at);
        let Some(at) = paced.into_iter().chain(waits).min() else {
            return;
        };
        let armed = self.verifier.armed.filter(|armed| *armed > now.mono);
        if armed.is_none_or(|armed| armed > at) {
            self.verifier.armed = Some(at);
            self.timers.arm(at, Wake::Verification);
        }
    }

    /// Asks an endpoint's receiver.
    fn ask(&mut self, now: Now, uid: EndpointUid, out: &mut Vec<Action>) {
        let Some(Known::Configured { endpoint, .. }) = self.known.get(&uid) else {
            return;
        };
        let endpoint = endpoint.clone();
        let open = self.verifier.is_open(uid);
        let id = VerifyId(self.verifier.next_id);
        let pass = VerifyPass(Rc::new(Cell::new(true)));
        let Some(want) = self.verifier.want(uid) else {
            return;
        };
        // What was asked before an edit may still be open: one at a time.
        if open {
            want.state = State::Behind;
            return;
        }
        let fingerprint = want.fingerprint;
        want.state = State::Asking(id, pass.clone());
        self.verifier.next_id += 1;
        self.verifier.next_start = now.mono.after(PACE);
        self.verifier.line.began(&endpoint.meta.tenant);
        let asked = Asked {
            endpoint: endpoint.clone(),
            fingerprint,
        };
        self.verifier.asked.insert(id, asked);
        out.push(Action::Verify(VerifyOrder { id, endpoint, pass }));
    }

    /// Takes what came of asking.
    pub(crate) fn verified(
        &mut self,
        now: Now,
        id: VerifyId,
        end: &VerifyEnd,
        out: &mut Vec<Action>,
    ) {
        let Some(asked) = self.verifier.asked.remove(&id) else {
            return;
        };
        let endpoint = asked.endpoint;
        self.verifier.line.ended(&endpoint.meta.tenant);
        let uid = endpoint.uid();
        let Some(want) = self.verifier.want(uid) else {
            return;
        };
        match &want.state {
            State::Elsewhere => return,
            State::Asking(present, _) if *present == id => {}
            // Asked under an earlier claim or before a pause, and still the
            // answer to what is asked now.
            _ if asked.fingerprint == want.fingerprint && *end != VerifyEnd::NotStarted => {}
            State::Behind => return self.verify_from(uid, now.mono),
            // Asked before an edit: the answer is about something else.
            _ => return,
        }
        match *end {
            VerifyEnd::Consented { per_minute } => self.consented(now, &endpoint, per_minute, out),
            VerifyEnd::Failed {
                reason,
                status,
                side,
                retry_after,
            } => {
                let why = (reason, status);
                self.not_consented(now, &endpoint, why, (side, retry_after), out);
            }
            VerifyEnd::NotStarted => self.verify_from(uid, now.mono.after(LEASE_RETRY)),
        }
    }

    fn consented(
        &mut self,
        now: Now,
        endpoint: &Arc<Endpoint>,
        per_minute: Option<NonZeroU32>,
        out: &mut Vec<Action>,
    ) {
        let uid = endpoint.uid();
        let Some(fingerprint) = self.verifier.want(uid).map(|want| want.fingerprint) else {
            return;
        };
        let consent = Arc::new(Consent {
            fingerprint,
            method: endpoint.spec.verification.as_str().to_owned(),
            origin: self.verifier.origin_of(endpoint),
            verified_at: Some(now.wall),
            allowed_per_minute: per_minute,
        });
        out.push(Action::Consent(ConsentOrder {
            endpoint: uid,
            consent: Some(consent.clone()),
        }));
        self.say_unverified(uid, None, out);
        // Known here at once; the record comes back later and says the same.
        self.consent_changed(now, uid, Some(consent));
    }

    fn not_consented(
        &mut self,
        now: Now,
        endpoint: &Arc<Endpoint>,
        (reason, status): (&'static str, Option<u16>),
        (side, retry_after): (Side, Option<Duration>),
        out: &mut Vec<Action>,
    ) {
        let uid = endpoint.uid();
        let spread = 1.0 + 0.2 * self.rng.f64();
        let Some(want) = self.verifier.want(uid) else {
            return;
        };
        want.tries = want.tries.saturating_add(1);
        let since = *want.since.get_or_insert(now.wall);
        let (tries, fingerprint) = (want.tries, want.fingerprint);
        let most = match side {
            Side::Us => BLOCKED_MAX,
            Side::Receiver | Side::Network => AGAIN_MAX,
        };
        let again = AGAIN.saturating_mul(1 << (tries - 1).min(10)).min(most);
        let asked_for = retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
        let until = now.mono.after(again.mul_f64(spread).max(asked_for));
        self.verify_from(uid, until);
        let before = self.verifier.unverified.get(&uid);
        let same = before.is_some_and(|before| {
            (before.reason.as_str(), before.status) == (reason, status)
                && before.fingerprint == fingerprint
        });
        if same && tries > WRITTEN_FIRST && !tries.is_multiple_of(WRITTEN_THEN) {
            return;
        }
        let unverified = Unverified {
            fingerprint,
            method: endpoint.spec.verification.as_str().to_owned(),
            origin: self.verifier.origin_of(endpoint),
            reason: reason.to_owned(),
            status,
            tries,
            since: Some(since),
            failed_at: Some(now.wall),
            next_try: Some(now.wall_at(until)),
        };
        self.say_unverified(uid, Some(unverified), out);
    }

    /// Writes down why there is no consent, or that there is nothing to say.
    pub(super) fn say_unverified(
        &mut self,
        uid: EndpointUid,
        unverified: Option<Unverified>,
        out: &mut Vec<Action>,
    ) {
        let unverified = unverified.map(Arc::new);
        match &unverified {
            Some(said) => {
                self.verifier.unverified.insert(uid, said.clone());
            }
            None if self.verifier.unverified.remove(&uid).is_none() => return,
            None => {}
        }
        out.push(Action::Unverified(UnverifiedOrder {
            endpoint: uid,
            unverified,
        }));
    }
}
