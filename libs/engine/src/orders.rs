//! What a core orders, in detail.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hooklane_model::catalog::{Consent, Health, Unverified};
use hooklane_model::envelope::Target;
use hooklane_model::id::EndpointUid;
use hooklane_model::ladder::Rung;
use hooklane_model::resource::Endpoint;
use hooklane_model::time::UnixMillis;

use crate::{AttemptResult, DeadReason, OpenEnvelope, Outcome, ParkReason, Pass, Side, WorkId};

/// A request to start.
#[derive(Debug)]
pub struct SendOrder {
    /// Whose.
    pub work: WorkId,
    /// Where to, as configured at this moment.
    pub endpoint: Arc<Endpoint>,
    /// The event.
    pub envelope: Rc<OpenEnvelope>,
    /// The delivery.
    pub target: Target,
    /// Asked in the poll that writes the first byte.
    pub pass: Pass,
    /// How long it waited in memory since its record was read.
    pub waited: Duration,
}

/// What an attempt came to, for the attempts topic.
#[derive(Debug)]
pub struct AttemptEntry {
    /// Whose; reported back as stored when `terminal`.
    pub work: WorkId,
    /// Where to.
    pub endpoint: Arc<Endpoint>,
    /// The event.
    pub envelope: Rc<OpenEnvelope>,
    /// The delivery; `attempt` is the attempt made.
    pub target: Target,
    /// What came of the request.
    pub result: AttemptResult,
    /// What was decided.
    pub outcome: Outcome,
    /// Not before when the next attempt is made.
    pub next_due: Option<UnixMillis>,
    /// Whether the delivery's fate hangs on this entry.
    pub terminal: bool,
}

/// A delivery to put on a rung.
#[derive(Debug)]
pub struct DelayOrder {
    /// Whose.
    pub work: WorkId,
    /// Which delay topic.
    pub rung: Rung,
    /// The event.
    pub envelope: Rc<OpenEnvelope>,
    /// The delivery with its new attempt, due time and spills.
    pub target: Target,
    /// Why; `None` for a failed attempt.
    pub parked: Option<ParkReason>,
}

/// A terminal record to write.
#[derive(Debug)]
pub struct BuryOrder {
    /// Whose.
    pub work: WorkId,
    /// Where it should have gone, if that is still known.
    pub endpoint: Option<Arc<Endpoint>>,
    /// The event.
    pub envelope: Rc<OpenEnvelope>,
    /// The delivery; `attempt` is the number of attempts made.
    pub target: Target,
    /// Why.
    pub reason: DeadReason,
    /// The last attempt's result, if one was made by this process.
    pub last: Option<AttemptResult>,
    /// The payload is too large even for the dead topic: write its size and
    /// hash instead.
    pub without_bytes: bool,
}

/// A finding for the status topic.
#[derive(Debug)]
pub struct DisableOrder {
    /// Which endpoint, under the spec that the request was made with.
    pub endpoint: Arc<Endpoint>,
    /// `gone`, `directive` or `failing`.
    pub reason: &'static str,
}

/// How an endpoint fares, for the status topic.
#[derive(Clone, Copy, Debug)]
pub struct HealthOrder {
    /// Which endpoint.
    pub endpoint: EndpointUid,
    /// What to write under [`Health::key`].
    pub health: Health,
}

/// Names a request that asks a receiver for its consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VerifyId(pub u64);

/// A receiver to ask for its consent.
#[derive(Debug)]
pub struct VerifyOrder {
    /// Which request.
    pub id: VerifyId,
    /// Whose receiver, as configured at this moment.
    pub endpoint: Arc<Endpoint>,
    /// Asked in the poll that writes the first byte.
    pub pass: VerifyPass,
}

/// Whether a request is still wanted: an edit, a pause or a hand-over that
/// comes while it connects stops it there.
#[derive(Clone, Debug)]
pub struct VerifyPass(pub(crate) Rc<Cell<bool>>);

impl VerifyPass {
    /// Asks to write the first byte now. `false`: not a byte may be sent, and
    /// the request ends as [`VerifyEnd::NotStarted`].
    #[must_use]
    pub fn start(&self) -> bool {
        self.0.get()
    }

    pub(crate) fn revoke(&self) {
        self.0.set(false);
    }
}

/// What came of asking a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerifyEnd {
    /// It agrees.
    Consented {
        /// To so many requests a minute; `None` is any number.
        per_minute: Option<NonZeroU32>,
    },
    /// It does not, or was not reached.
    Failed {
        /// Stable word for records that tenants may read.
        reason: &'static str,
        /// The status it answered with.
        status: Option<u16>,
        /// Whose fault.
        side: Side,
        /// How long the receiver asked to wait.
        retry_after: Option<Duration>,
    },
    /// Not a byte was sent: the lease had run out, or nobody wants to know any
    /// more.
    NotStarted,
}

/// A consent for the status topic.
#[derive(Clone, Debug)]
pub struct ConsentOrder {
    /// Whose.
    pub endpoint: EndpointUid,
    /// What to write under [`Consent::key`]; `None` deletes.
    pub consent: Option<Arc<Consent>>,
}

/// Why there is no consent, for the status topic.
#[derive(Clone, Debug)]
pub struct UnverifiedOrder {
    /// Whose.
    pub endpoint: EndpointUid,
    /// What to write under [`Unverified::key`]; `None` deletes.
    pub unverified: Option<Arc<Unverified>>,
}
