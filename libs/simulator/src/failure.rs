//! Which promise was broken, and how to see it again.

use std::fmt;

use crate::Options;
use crate::notes::Line;

/// What the oracle holds the engine to, by the promise it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A delivery that has not ended is in no durable place any more.
    Lost,
    /// A delivery ended more than once in a world without faults.
    EndedTwice,
    /// A delivery was recorded as delivered and no receiver has it.
    Phantom,
    /// A request was repeated in a world without faults.
    Repeat,
    /// More requests started than rate x window + burst.
    Limit,
    /// A request was ordered without a lease.
    Lease,
    /// A request was ordered in a lane that is given up.
    GivenUp,
    /// A record or request stayed in memory beyond the bound.
    Age,
    /// More requests open than there are slots.
    Slots,
    /// One endpoint has more requests open than its share.
    Share,
    /// One tenant has more requests open than its share, or others' turns.
    Tenant,
    /// The byte budget is exceeded, or not kept.
    Bytes,
    /// A ready endpoint was passed over again and again.
    Starved,
    /// An attempt before its due time.
    Due,
    /// An attempt while the endpoint asked to be left alone.
    Hold,
    /// An attempt to an endpoint that a person paused.
    Pause,
    /// An attempt whose receiver has not agreed to it, or a receiver asked that
    /// is not to be asked.
    Consent,
    /// More requests in a minute than the receiver allows.
    Allowed,
    /// An attempt to an endpoint whose breaker must be open, or a burst
    /// beyond single probes.
    Breaker,
    /// A delivery expired although its endpoint had long recovered.
    Recovery,
    /// A request with another endpoint's or an older spec, or to one that is
    /// disabled or gone.
    Target,
    /// A poison record is not in the poison topic, or a good one is.
    Poison,
    /// An attempt number that does not follow from what happened.
    Attempts,
    /// A terminal record or a status whose reason is not so.
    Reason,
    /// A watermark that went back or beyond what was read.
    Watermark,
    /// At rest, the books do not close.
    Books,
    /// At rest, something is still remembered.
    Leak,
}

impl Rule {
    /// Its stable name: the promise and what it is about.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Lost => "P1.lost",
            Self::EndedTwice => "P1.twice",
            Self::Phantom => "P1.phantom",
            Self::Repeat => "P2.repeat",
            Self::Limit => "P3.limit",
            Self::Lease => "P3.lease",
            Self::GivenUp => "P3.given-up",
            Self::Age => "P4.age",
            Self::Slots => "P4.slots",
            Self::Share => "P4.share",
            Self::Tenant => "P4.tenant",
            Self::Bytes => "P4.bytes",
            Self::Starved => "P4.starved",
            Self::Due => "P5.due",
            Self::Hold => "P5.hold",
            Self::Pause => "P5.pause",
            Self::Consent => "P8.consent",
            Self::Allowed => "P3.allowed",
            Self::Breaker => "P5.breaker",
            Self::Recovery => "P6.recovery",
            Self::Target => "P8.target",
            Self::Poison => "P9.poison",
            Self::Attempts => "attempts",
            Self::Reason => "reason",
            Self::Watermark => "watermark",
            Self::Books => "P10.books",
            Self::Leak => "P10.leak",
        }
    }
}

/// A rule that was broken.
#[derive(Debug)]
pub struct Failure {
    /// The world.
    pub options: Options,
    /// Which rule.
    pub rule: Rule,
    /// At which step.
    pub step: u64,
    /// What was seen.
    pub what: String,
    /// What led to it.
    pub history: Vec<Line>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options { seed, steps } = self.options;
        for line in &self.history {
            writeln!(f, "{line}")?;
        }
        writeln!(
            f,
            "rule {} broken at step {} of seed {seed}: {}",
            self.rule.name(),
            self.step,
            self.what
        )?;
        write!(
            f,
            "again: cargo run --release -p hooklane-simulator --bin simulate -- --seed {seed} --steps {steps} --trace"
        )
    }
}

impl std::error::Error for Failure {}
