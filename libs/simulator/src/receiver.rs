//! Receivers: how they answer, and for how long.

use std::time::Duration;

use hooklane_engine::{AttemptEnd, Directive, Mono, Side};

/// How a receiver is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Well,
    Slow,
    Flaky,
    Refuses,
    Hangs,
    Throttles,
    Unavailable,
    Rejects,
    Gone,
}

/// One endpoint's receiver.
#[derive(Clone, Debug)]
pub(crate) struct Receiver {
    mood: Mood,
    until: Mono,
    /// Answers of 410 are for one generation of the spec.
    gone_for: u64,
}

impl Receiver {
    pub(crate) fn new() -> Self {
        Self {
            mood: Mood::Well,
            until: Mono(0),
            gone_for: 0,
        }
    }

    /// Well for ever.
    pub(crate) fn recover(&mut self) {
        self.mood = Mood::Well;
        self.until = Mono(u64::MAX);
    }

    fn look(&mut self, rng: &mut fastrand::Rng, now: Mono, trouble: u32) {
        if now < self.until {
            return;
        }
        self.until = now.after(Duration::from_secs(rng.u64(2..90)));
        self.mood = if rng.u32(0..100) >= trouble {
            Mood::Well
        } else {
            [
                Mood::Slow,
                Mood::Flaky,
                Mood::Flaky,
                Mood::Refuses,
                Mood::Hangs,
                Mood::Throttles,
                Mood::Throttles,
                Mood::Unavailable,
                Mood::Rejects,
                Mood::Gone,
            ][rng.usize(0..10)]
        };
    }

    /// What comes of a request that starts now, and how long it takes.
    pub(crate) fn answer(
        &mut self,
        rng: &mut fastrand::Rng,
        now: Mono,
        trouble: u32,
        (generation, timeout): (u64, Duration),
    ) -> (Duration, AttemptEnd) {
        self.look(rng, now, trouble);
        let quick = Duration::from_micros(rng.u64(300..200_000));
        let status = |status, retry_after| AttemptEnd::Response {
            status,
            retry_after,
            directive: None,
        };
        let (took, end) = match self.mood {
            Mood::Well => (quick, status(200, None)),
            Mood::Slow => (timeout.mul_f64(0.2 + rng.f64()), status(204, None)),
            Mood::Flaky => (quick, flaky(rng)),
            Mood::Refuses => (
                Duration::from_millis(1),
                AttemptEnd::Failed {
                    reason: "refused",
                    side: Side::Receiver,
                },
            ),
            Mood::Hangs => (Duration::MAX, status(200, None)),
            Mood::Throttles => (quick, status(429, retry_after(rng))),
            Mood::Unavailable => (quick, status(503, retry_after(rng))),
            Mood::Rejects => (quick, status(400 + rng.u16(0..7), None)),
            // An older answer may come late: the URL it is about is not the
            // present one's fault.
            Mood::Gone if self.gone_for <= generation && rng.u32(0..6) == 0 => {
                self.gone_for = generation + 1;
                (timeout.mul_f64(rng.f64()), status(410, None))
            }
            Mood::Gone => (quick, status(500, None)),
        };
        if took > timeout {
            let end = AttemptEnd::Failed {
                reason: "timeout",
                side: Side::Receiver,
            };
            return (timeout, end);
        }
        (took, end)
    }
}

fn retry_after(rng: &mut fastrand::Rng) -> Option<Duration> {
    match rng.u32(0..10) {
        0 | 1 => None,
        2 => Some(Duration::ZERO),
        // A date far away, or a number without sense.
        3 => Some(Duration::from_secs(1 << 40)),
        _ => Some(Duration::from_millis(rng.u64(300..60_000))),
    }
}

fn flaky(rng: &mut fastrand::Rng) -> AttemptEnd {
    let directive = match rng.u32(0..60) {
        0 => Some(Directive::Abort),
        1 => Some(Directive::Disable),
        _ => None,
    };
    let status = [200, 200, 200, 500, 502, 504, 408, 425, 404, 301][rng.usize(0..10)];
    AttemptEnd::Response {
        status,
        retry_after: None,
        directive,
    }
}
