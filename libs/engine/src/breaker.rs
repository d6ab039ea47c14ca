//! The circuit breaker of one endpoint, in the electrical sense: closed,
//! requests flow; open, none do; half-open, a single probe finds out.
//!
//! Pure: it is told what ends and when, and says what may start. It knows
//! nothing of queues; what waits while it is open is parked by the core.

use std::time::Duration;

use hooklane_model::label::LabelValue;
use hooklane_model::resource::BreakerPolicy;

use crate::Mono;

/// Shortest and longest time between two probes. The longest is what bounds
/// recovery while parking is stateless; the shortest keeps a receiver that
/// refuses within a millisecond from being asked all the time.
const OPEN_MIN: Duration = Duration::from_secs(1);
const OPEN_MAX: Duration = Duration::from_secs(5 * 60);
/// The range from which the first open time is drawn; it doubles each time a
/// probe fails.
const OPEN_FIRST: Duration = Duration::from_secs(10);

/// A breaker's state, for people and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Requests flow.
    Closed,
    /// No request starts.
    Open,
    /// A probe is on its way, or may be.
    HalfOpen,
}

impl LabelValue for BreakerState {
    const ALL: &'static [Self] = &[Self::Closed, Self::Open, Self::HalfOpen];

    fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// What an attempt says about its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// It answered.
    Alive,
    /// It failed as an endpoint fails: network, timeout, 5xx, 408, 425.
    Failed,
    /// Nothing: the fault is ours, or nothing was sent.
    Nothing,
}

/// What may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admit {
    /// A request like any other.
    Request,
    /// A single probe.
    Probe,
    /// Nothing before then.
    NotBefore(Mono),
    /// Nothing until a request ends.
    Busy,
}

/// A circuit breaker.
#[derive(Clone, Debug)]
pub(crate) struct Breaker {
    policy: Option<BreakerPolicy>,
    position: Position,
    /// Failures one after the other.
    in_a_row: u32,
    /// Requests of the present half of the window and of the one before it.
    halves: [Half; 2],
    half_began: Mono,
    /// How often in a row it has opened without closing fully.
    trips: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Half {
    requests: u32,
    failures: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    /// Closed; while it comes back, with so many requests at a time.
    Closed(Option<u32>),
    Open(Mono),
    /// The probe is on its way.
    HalfOpen,
}

impl Breaker {
    pub(crate) fn new(policy: Option<BreakerPolicy>) -> Self {
        Self {
            policy,
            position: Position::Closed(None),
            in_a_row: 0,
            halves: [Half::default(); 2],
            half_began: Mono(0),
            trips: 0,
        }
    }

    /// The breaker under another spec: whoever changed it wants to see it
    /// tried at once, but not by a herd.
    pub(crate) fn reset(&mut self, policy: Option<BreakerPolicy>) {
        let ramp = match self.position {
            Position::Closed(ramp) => ramp,
            Position::Open(_) | Position::HalfOpen => Some(1),
        };
        *self = Self::new(policy);
        self.position = Position::Closed(ramp);
    }

    pub(crate) fn state(&self, now: Mono) -> BreakerState {
        match self.position {
            Position::Closed(_) => BreakerState::Closed,
            Position::Open(until) if until > now => BreakerState::Open,
            Position::Open(_) | Position::HalfOpen => BreakerState::HalfOpen,
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.position, Position::Closed(_))
    }

    /// Until when nothing starts; `None` if something may.
    pub(crate) fn open_until(&self, now: Mono) -> Option<Mono> {
        match self.position {
            Position::Open(until) if until > now => Some(until),
            _ => None,
        }
    }

    /// Whether there is nothing to remember: it is closed for good and has
    /// seen no failure that could still count.
    pub(crate) fn forgets_at(&self) -> Mono {
        let Some(policy) = self.policy else {
            return Mono(0);
        };
        let clean = self.in_a_row == 0 && self.halves.iter().all(|half| half.failures == 0);
        match self.position {
            Position::Closed(None) if clean => Mono(0),
            Position::Open(until) => until.after(OPEN_MAX),
            Position::Closed(_) | Position::HalfOpen => {
                self.half_began.after(policy.window.max(OPEN_MAX))
            }
        }
    }

    /// What may start while so many requests are open.
    pub(crate) fn admits(&self, now: Mono, in_flight: u32) -> Admit {
        match self.position {
            Position::Closed(Some(ramp)) if in_flight >= ramp => Admit::Busy,
            Position::Closed(_) => Admit::Request,
            Position::Open(until) if until > now => Admit::NotBefore(until),
            Position::Open(_) => Admit::Probe,
            Position::HalfOpen => Admit::Busy,
        }
    }

    /// The probe is on its way.
    pub(crate) fn probing(&mut self) {
        self.position = Position::HalfOpen;
    }

    /// The probe came to nothing that says anything.
    fn probe_again(&mut self, now: Mono) {
        self.position = Position::Open(now.after(OPEN_MIN));
    }

    /// Takes the end of a request. `slots` is the concurrency at which it is
    /// back to normal. Returns whether it has opened by this.
    pub(crate) fn ended(
        &mut self,
        now: Mono,
        (sign, probe): (Sign, bool),
        slots: u32,
        rng: &mut fastrand::Rng,
    ) -> bool {
        if self.policy.is_none() {
            return false;
        }
        match (self.position, sign) {
            (Position::HalfOpen, Sign::Nothing) if probe => self.probe_again(now),
            (Position::HalfOpen, Sign::Alive) if probe => {
                self.position = Position::Closed(Some(1));
                self.in_a_row = 0;
                self.halves = [Half::default(); 2];
            }
            (Position::HalfOpen, Sign::Failed) if probe => return self.open(now, rng),
            (Position::Closed(ramp), Sign::Alive | Sign::Failed) => {
                return self.count(now, sign == Sign::Failed, (ramp, slots), rng);
            }
            // What was started before it opened says what is known.
            (Position::Open(_) | Position::HalfOpen, _) | (_, Sign::Nothing) => {}
        }
        false
    }

    fn count(
        &mut self,
        now: Mono,
        failed: bool,
        (ramp, slots): (Option<u32>, u32),
        rng: &mut fastrand::Rng,
    ) -> bool {
        let Some(policy) = self.policy else {
            return false;
        };
        // Half windows: the ratio is over the last half to whole window.
        let half = policy.window / 2;
        if now.since(self.half_began) >= half {
            let far = now.since(self.half_began) >= policy.window;
            let last = if far { Half::default() } else { self.halves[0] };
            self.halves = [Half::default(), last];
            self.half_began = now;
        }
        self.halves[0].requests += 1;
        if !failed {
            self.in_a_row = 0;
            let next = ramp.map(|ramp| ramp.saturating_mul(2));
            self.position = Position::Closed(next.filter(|next| *next < slots));
            if self.position == Position::Closed(None) {
                self.trips = 0;
            }
            return false;
        }
        self.halves[0].failures += 1;
        self.in_a_row += 1;
        let requests = self.halves[0].requests + self.halves[1].requests;
        let failures = self.halves[0].failures + self.halves[1].failures;
        let often = requests >= policy.requests
            && f64::from(failures) >= policy.ratio * f64::from(requests);
        if ramp.is_some() || self.in_a_row >= policy.failures || often {
            return self.open(now, rng);
        }
        false
    }

    /// Opens for a time drawn from zero to a bound that doubles: full jitter,
    /// so that endpoints behind one dead host are not probed together.
    fn open(&mut self, now: Mono, rng: &mut fastrand::Rng) -> bool {
        let bound = OPEN_FIRST * 2_u32.saturating_pow(self.trips.min(8));
        let wait = bound.min(OPEN_MAX).mul_f64(rng.f64()).max(OPEN_MIN);
        self.position = Position::Open(now.after(wait));
        self.trips = self.trips.saturating_add(1);
        self.in_a_row = 0;
        self.halves = [Half::default(); 2];
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(millis: u64) -> Mono {
        Mono(1_000_000_000_000 + millis * 1_000_000)
    }

    struct Bench {
        breaker: Breaker,
        rng: fastrand::Rng,
        now: u64,
    }

    impl Bench {
        fn new() -> Self {
            Self {
                breaker: Breaker::new(Some(BreakerPolicy::default())),
                rng: fastrand::Rng::with_seed(1),
                now: 0,
            }
        }

        fn end(&mut self, sign: Sign, probe: bool) -> bool {
            self.now += 1;
            self.breaker
                .ended(at(self.now), (sign, probe), 8, &mut self.rng)
        }

        fn open(&mut self) {
            while !self.end(Sign::Failed, false) {}
        }

        fn wait_for_probe(&mut self) {
            while self.breaker.admits(at(self.now), 0) != Admit::Probe {
                self.now += 10;
            }
            self.breaker.probing();
        }
    }

    #[test]
    fn ten_failures_in_a_row_open_it_and_a_success_between_does_not() {
        let mut bench = Bench::new();
        for _ in 0..9 {
            assert!(!bench.end(Sign::Failed, false));
        }
        assert!(!bench.end(Sign::Alive, false));
        for _ in 0..9 {
            assert!(!bench.end(Sign::Failed, false));
        }
        assert!(!bench.end(Sign::Nothing, false), "our own fault");
        // 18 failures of 19 so far: the twentieth request is enough to say so.
        assert!(bench.end(Sign::Failed, false));
        assert_eq!(bench.breaker.state(at(bench.now)), BreakerState::Open);
    }

    #[test]
    fn seven_of_ten_open_it_once_there_are_twenty_and_half_never_does() {
        let mut bench = Bench::new();
        let opened: Vec<bool> = (0..20)
            .map(|i| {
                bench.end(
                    if i % 10 < 7 {
                        Sign::Failed
                    } else {
                        Sign::Alive
                    },
                    false,
                )
            })
            .collect();
        assert!(!opened[..19].contains(&true), "{opened:?}");
        let mut bench = Bench::new();
        for i in 0..1_000 {
            let sign = if i % 2 == 0 {
                Sign::Failed
            } else {
                Sign::Alive
            };
            assert!(!bench.end(sign, false));
        }
    }

    #[test]
    fn one_probe_at_a_time_and_the_way_back_doubles() {
        let mut bench = Bench::new();
        bench.open();
        let until = bench.breaker.open_until(at(bench.now)).unwrap();
        assert_eq!(
            bench.breaker.admits(at(bench.now), 0),
            Admit::NotBefore(until)
        );
        bench.wait_for_probe();
        assert_eq!(bench.breaker.admits(at(bench.now), 0), Admit::Busy);
        // Stragglers from before change nothing.
        bench.end(Sign::Alive, false);
        bench.end(Sign::Failed, false);
        assert_eq!(bench.breaker.state(at(bench.now)), BreakerState::HalfOpen);
        bench.end(Sign::Alive, true);
        let mut ramp = Vec::new();
        for _ in 0..4 {
            let open = (0..9).find(|n| bench.breaker.admits(at(bench.now), *n) == Admit::Busy);
            ramp.push(open);
            bench.end(Sign::Alive, false);
        }
        assert_eq!(ramp, [Some(1), Some(2), Some(4), None]);
    }

    #[test]
    fn a_failure_on_the_way_back_opens_it_again_and_for_longer() {
        let mut bench = Bench::new();
        bench.open();
        bench.wait_for_probe();
        bench.end(Sign::Alive, true);
        assert!(bench.end(Sign::Failed, false));
        assert_eq!(bench.breaker.trips, 2);
    }

    #[test]
    fn a_probe_that_says_nothing_is_made_again() {
        let mut bench = Bench::new();
        bench.open();
        bench.wait_for_probe();
        bench.end(Sign::Nothing, true);
        bench.wait_for_probe();
    }

    #[test]
    fn a_new_spec_closes_it_for_one_request_at_a_time() {
        let mut bench = Bench::new();
        bench.open();
        bench.breaker.reset(Some(BreakerPolicy::default()));
        assert_eq!(bench.breaker.admits(at(bench.now), 0), Admit::Request);
        assert_eq!(bench.breaker.admits(at(bench.now), 1), Admit::Busy);
    }

    proptest! {
        /// However long it fails: probes keep coming, never more than one at
        /// a time, never further apart than the bound.
        #[test]
        fn probes_come_one_by_one_and_for_ever(seed: u64, probes in 1u32..60) {
            let mut bench = Bench::new();
            bench.rng = fastrand::Rng::with_seed(seed);
            bench.open();
            for _ in 0..probes {
                let until = bench.breaker.open_until(at(bench.now)).unwrap();
                let wait = until.since(at(bench.now));
                prop_assert!(wait >= OPEN_MIN && wait <= OPEN_MAX);
                bench.now += u64::try_from(wait.as_millis()).unwrap() + 1;
                prop_assert_eq!(bench.breaker.admits(at(bench.now), 0), Admit::Probe);
                bench.breaker.probing();
                prop_assert!(bench.end(Sign::Failed, true));
            }
        }
    }
}
