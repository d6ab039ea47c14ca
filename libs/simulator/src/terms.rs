//! How receivers answer when they are asked for their consent.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use hooklane_engine::{Side, VerifyEnd};
use hooklane_model::id::EndpointUid;
use hooklane_model::resource::Fingerprint;

/// What tells the stream from that of the rest of the world.
const OTHER: u64 = 0x5EED_C045;

pub(crate) struct Terms {
    rng: fastrand::Rng,
    by_question: BTreeMap<(EndpointUid, Fingerprint), Term>,
}

/// What one receiver makes of one question.
#[derive(Clone, Copy)]
struct Term {
    /// So often it does not agree.
    refusals: u32,
    allowed: Option<NonZeroU32>,
}

impl Terms {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            rng: fastrand::Rng::with_seed(seed ^ OTHER),
            by_question: BTreeMap::new(),
        }
    }

    /// The chances of who asks.
    pub(crate) fn asking(&mut self) -> fastrand::Rng {
        self.rng.fork()
    }

    /// How long it takes until a request is written.
    pub(crate) fn connect(&mut self) -> Duration {
        match self.rng.u32(0..6) {
            0 => Duration::from_millis(self.rng.u64(0..4_000)),
            _ => Duration::from_millis(self.rng.u64(0..50)),
        }
    }

    /// How a receiver answers, and after what time. At rest everybody agrees,
    /// to any number.
    pub(crate) fn answer(
        &mut self,
        key: (EndpointUid, Fingerprint),
        timeout: Duration,
        resting: bool,
    ) -> (Duration, VerifyEnd) {
        let rng = &mut self.rng;
        let took = Duration::from_micros(rng.u64(300..200_000));
        if resting {
            return (took, VerifyEnd::Consented { per_minute: None });
        }
        let term = self.by_question.entry(key).or_insert_with(|| Term {
            refusals: [0, 0, 1, 5][rng.usize(0..4)],
            allowed: NonZeroU32::new([0, 0, 2, 6, 30, 130, 1_000][rng.usize(0..7)]),
        });
        let failed = |reason, side, retry_after| VerifyEnd::Failed {
            reason,
            status: None,
            side,
            retry_after,
        };
        if term.refusals > 0 {
            term.refusals -= 1;
            let wait = Duration::from_secs(rng.u64(0..100));
            return match rng.u32(0..4) {
                0 => (timeout, failed("timeout", Side::Network, None)),
                1 => (took, failed("no_origin", Side::Us, None)),
                2 => (took, failed("status", Side::Receiver, Some(wait))),
                _ => (took, failed("no_consent", Side::Receiver, None)),
            };
        }
        let took = match rng.u32(0..5) {
            0 => timeout.mul_f64(rng.f64()),
            _ => took,
        };
        let per_minute = term.allowed;
        (took, VerifyEnd::Consented { per_minute })
    }
}
