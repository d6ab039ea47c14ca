//! Where requests of one endpoint pass on their way out: the limit is
//! measured at the first byte, so that is where its tokens are taken.
//!
//! A request is decided first and starts later, when it has a connection.
//! Were the token taken at the decision, ten requests that connect for five
//! seconds would all send their first bytes in one instant. So the core lets
//! no more requests go than the bucket has tokens for, and each takes its
//! token when it starts: a pass that is out has a token waiting for it,
//! unless the limit was changed meanwhile. Whoever carries the request out
//! asks [`Pass::start`] in the poll that writes its first byte.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use hooklane_model::resource::RateLimit;

use crate::Mono;
use crate::bucket::{Bucket, BucketClock};

/// The gate of one endpoint, shared with its passes in the same thread.
#[derive(Clone, Debug)]
pub(crate) struct Gate(Rc<RefCell<Inner>>);

#[derive(Debug)]
struct Inner {
    bucket: Option<Bucket>,
    /// Passes that are out and have not started.
    out: u32,
    /// Nothing starts any more: the lane has been let go.
    closed: bool,
    /// Nothing starts for now: the endpoint is paused, disabled or gone.
    stopped: bool,
    /// How often all that was out was called back for good.
    recalls: u32,
    /// Nothing starts before: a hold that came while requests were
    /// connecting.
    not_before: Mono,
    /// Only probes start: the breaker has opened meanwhile.
    probes_only: bool,
    /// The core waits for the next start.
    waited_for: bool,
    /// Whether a token was ever taken.
    used: bool,
}

/// When the next request may be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Now,
    NotBefore(Mono),
    /// When one that is out has started or failed.
    AfterStart,
}

/// What a request needs to start.
#[derive(Clone, Debug)]
pub struct Pass(Rc<Ticket>);

#[derive(Debug)]
struct Ticket {
    gate: Gate,
    probe: bool,
    /// The gate's recalls when it was let go.
    recalls: u32,
    /// Whether its place among those that are out is given back.
    started: Cell<bool>,
    /// Whether it has started before, and is to once more.
    repeats: Cell<bool>,
}

impl Gate {
    pub(crate) fn new(bucket: Option<Bucket>) -> Self {
        Self(Rc::new(RefCell::new(Inner {
            bucket,
            out: 0,
            closed: false,
            stopped: false,
            recalls: 0,
            not_before: Mono(0),
            probes_only: false,
            waited_for: false,
            used: false,
        })))
    }

    /// When the next request may be decided.
    pub(crate) fn next(&self, now: Mono) -> Next {
        let mut inner = self.0.borrow_mut();
        let out = inner.out;
        let at = match &inner.bucket {
            None => return Next::Now,
            Some(bucket) => bucket.holds_at(out.saturating_add(1)),
        };
        match at {
            Some(at) if at <= now => Next::Now,
            Some(at) => Next::NotBefore(at),
            None => {
                inner.waited_for = true;
                Next::AfterStart
            }
        }
    }

    /// Lets a request go; see [`Gate::next`].
    pub(crate) fn pass(&self, probe: bool) -> Pass {
        let mut inner = self.0.borrow_mut();
        inner.out += 1;
        Pass(Rc::new(Ticket {
            gate: self.clone(),
            probe,
            recalls: inner.recalls,
            started: Cell::new(false),
            repeats: Cell::new(false),
        }))
    }

    /// A request has ended. One that never started gives its place back; if
    /// it tried to connect, that is a call to the receiver too, and costs
    /// the token that waited for it. One that only waited to be made again
    /// has paid for what it was.
    pub(crate) fn ended(&self, pass: &Pass, called: bool) {
        if !pass.0.started.replace(true) {
            let mut inner = self.0.borrow_mut();
            inner.out -= 1;
            let unpaid = called && !pass.0.repeats.get();
            if unpaid && let Some(bucket) = &mut inner.bucket {
                let _none_left = bucket.take();
                inner.used = true;
            }
        }
    }

    /// Nothing starts any more.
    pub(crate) fn close(&self) {
        self.0.borrow_mut().closed = true;
    }

    /// Says whether the endpoint is not to be called at all.
    pub(crate) fn set_stopped(&self, stopped: bool) {
        self.0.borrow_mut().stopped = stopped;
    }

    /// What is out now does not start any more, whatever comes; it was for a
    /// receiver that has to agree first. Also what waits to be made again: by
    /// then another URL's receiver may have agreed to more.
    pub(crate) fn recall(&self) {
        let mut inner = self.0.borrow_mut();
        inner.recalls = inner.recalls.wrapping_add(1);
    }

    /// Nothing starts before then.
    pub(crate) fn hold(&self, until: Mono) {
        let mut inner = self.0.borrow_mut();
        inner.not_before = inner.not_before.max(until);
    }

    /// Says whether only probes start.
    pub(crate) fn set_probes_only(&self, only: bool) {
        self.0.borrow_mut().probes_only = only;
    }

    /// Takes another limit; the level is carried over.
    pub(crate) fn set_limit(&self, limit: Option<RateLimit>, clock: &BucketClock) {
        let mut inner = self.0.borrow_mut();
        inner.bucket = match (inner.bucket.take(), limit) {
            (Some(bucket), Some(limit)) => Some(bucket.changed_to(limit)),
            // It was unlimited: what it sent lately is not known.
            (None, Some(limit)) => Some(Bucket::empty_since(limit, clock, clock.mono())),
            (_, None) => None,
        };
    }

    /// Another bucket in place of one that nothing was taken from.
    pub(crate) fn replace_unused(&self, bucket: Bucket) -> bool {
        let mut inner = self.0.borrow_mut();
        let unused = !inner.used && inner.out == 0 && inner.bucket.is_some();
        if unused {
            inner.bucket = Some(bucket);
        }
        unused
    }

    /// When the next token is there, beside those that passes wait for.
    pub(crate) fn next_free(&self) -> Option<Mono> {
        let inner = self.0.borrow();
        let bucket = inner.bucket.as_ref()?;
        // More are out than it ever holds: as if all had started just now.
        Some(bucket.holds_at(inner.out + 1).unwrap_or(bucket.full_at()))
    }

    /// When the bucket is full, if nothing more is taken.
    pub(crate) fn full_at(&self) -> Mono {
        let inner = self.0.borrow();
        inner.bucket.as_ref().map_or(Mono(0), Bucket::full_at)
    }
}

impl Ticket {
    /// Whether it may not start whatever the time.
    fn is_shut_out(&self, inner: &Inner) -> bool {
        let recalled = self.recalls != inner.recalls;
        recalled || inner.closed || inner.stopped || (inner.probes_only && !self.probe)
    }
}

impl Pass {
    /// Asks to write the first byte now. `false`: not a byte may be sent, and
    /// the attempt ends as [`crate::AttemptEnd::NotStarted`].
    ///
    /// Every call that is answered with `true` is a start of its own: whoever
    /// has to begin again on another connection asks again.
    #[must_use]
    pub fn start(&self, now: Mono) -> bool {
        let Ticket { gate, started, .. } = &*self.0;
        let mut inner = gate.0.borrow_mut();
        if self.0.is_shut_out(&inner) || now < inner.not_before {
            return false;
        }
        if let Some(bucket) = &mut inner.bucket {
            if bucket.take_at(now).is_err() {
                return false;
            }
            inner.used = true;
        }
        if !started.replace(true) {
            inner.out -= 1;
        }
        true
    }

    /// The request was made, and is to be made again within its attempt. It
    /// is out once more, like one that connects: were it not counted, the core
    /// would let another go for each token that comes, and it might wait for
    /// ever.
    pub fn again(&self) {
        let Ticket { gate, started, .. } = &*self.0;
        if started.replace(false) {
            gate.0.borrow_mut().out += 1;
            self.0.repeats.set(true);
        }
    }

    /// When [`Pass::start`] is to be asked next, as far as is known now; `None`
    /// if it will be refused until something else changes.
    #[must_use]
    pub fn free_at(&self, now: Mono) -> Option<Mono> {
        let inner = self.0.gate.0.borrow();
        if self.0.is_shut_out(&inner) {
            return None;
        }
        let bucket = inner.bucket.as_ref();
        let token = bucket.map_or(Some(now), |bucket| bucket.holds_at(1));
        token.map(|at| at.max(inner.not_before).max(now))
    }

    /// Whether the core waits to be told of this start by
    /// [`crate::Event::Started`]. Asking resets it.
    #[must_use]
    pub fn is_waited_for(&self) -> bool {
        let mut inner = self.0.gate.0.borrow_mut();
        std::mem::take(&mut inner.waited_for)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU32;
    use std::time::Duration;

    fn at(ms: u64) -> Mono {
        Mono(1_000_000_000_000 + ms * 1_000_000)
    }

    fn gate(burst: u32) -> (Gate, BucketClock) {
        let clock = BucketClock::default();
        clock.set(at(0));
        let limit = RateLimit {
            period: Duration::from_millis(100),
            burst: NonZeroU32::new(burst).unwrap(),
        };
        let bucket = Bucket::empty_since(limit, &clock, at(0));
        (Gate::new(Some(bucket)), clock)
    }

    #[test]
    fn no_more_are_out_than_there_are_tokens() {
        let (gate, clock) = gate(2);
        assert_eq!(gate.next(at(0)), Next::NotBefore(at(100)));
        clock.set(at(1_000));
        let one = gate.pass(false);
        assert_eq!(gate.next(at(1_000)), Next::Now);
        let two = gate.pass(false);
        assert_eq!(gate.next(at(1_000)), Next::AfterStart);
        // Both connect for four seconds: two first bytes at once are within
        // the burst, and the next is a period later.
        assert!(one.start(at(5_000)) && one.is_waited_for() && two.start(at(5_000)));
        assert_eq!(gate.next(at(5_000)), Next::NotBefore(at(5_100)));
        assert!(!one.start(at(5_050)), "beginning again is another start");
        assert!(one.start(at(5_100)));
    }

    #[test]
    fn one_that_never_started_gives_its_place_back() {
        let (gate, clock) = gate(1);
        clock.set(at(1_000));
        let pass = gate.pass(false);
        gate.ended(&pass, false);
        assert_eq!(gate.next(at(1_000)), Next::Now);
        let pass = gate.pass(false);
        gate.ended(&pass, true);
        assert_eq!(gate.next(at(1_000)), Next::NotBefore(at(1_100)));
    }

    #[test]
    fn one_that_is_made_again_takes_another_token_and_its_turn() {
        let (gate, clock) = gate(1);
        clock.set(at(1_000));
        let first = gate.pass(false);
        assert!(first.start(at(1_000)));
        first.again();
        // No other is let go for the token that it waits for.
        assert_eq!(gate.next(at(1_050)), Next::AfterStart);
        assert_eq!(first.free_at(at(1_050)), Some(at(1_100)));
        assert!(!first.start(at(1_099)), "a start of its own");
        clock.set(at(1_100));
        assert_eq!(first.free_at(at(1_100)), Some(at(1_100)));
        assert!(first.start(at(1_100)) && first.is_waited_for());
        gate.ended(&first, true);
        assert_eq!(gate.next(at(1_100)), Next::NotBefore(at(1_200)));
    }

    #[test]
    fn one_that_is_not_made_again_after_all_costs_nothing_more() {
        let (gate, clock) = gate(1);
        clock.set(at(1_000));
        let pass = gate.pass(false);
        assert!(pass.start(at(1_000)));
        pass.again();
        clock.set(at(1_100));
        gate.ended(&pass, true);
        assert_eq!(gate.next(at(1_100)), Next::Now);
    }

    #[test]
    fn what_is_made_again_waits_for_holds_and_for_no_closed_gate() {
        let (gate, clock) = gate(1);
        clock.set(at(1_000));
        let pass = gate.pass(false);
        assert!(pass.start(at(1_000)));
        pass.again();
        gate.hold(at(5_000));
        assert_eq!(pass.free_at(at(1_100)), Some(at(5_000)));
        gate.set_probes_only(true);
        assert_eq!(pass.free_at(at(1_100)), None);
        gate.set_probes_only(false);
        gate.set_stopped(true);
        assert_eq!(pass.free_at(at(1_100)), None);
        gate.set_stopped(false);
        gate.close();
        assert_eq!(pass.free_at(at(1_100)), None);
        assert!(!pass.start(at(9_000)));
    }

    #[test]
    fn what_is_recalled_stays_where_it_is_and_others_start() {
        let (gate, clock) = gate(2);
        clock.set(at(1_000));
        let (connects, repeats) = (gate.pass(false), gate.pass(false));
        assert!(repeats.start(at(1_000)));
        repeats.again();
        gate.recall();
        clock.set(at(9_000));
        for pass in [&connects, &repeats] {
            assert!(!pass.start(at(9_000)));
            assert_eq!(pass.free_at(at(9_000)), None);
            gate.ended(pass, false);
        }
        assert_eq!(gate.next(at(9_000)), Next::Now);
        assert!(gate.pass(false).start(at(9_000)));
    }

    #[test]
    fn nothing_starts_through_a_closed_gate_or_a_limit_that_came_meanwhile() {
        let gate = Gate::new(None);
        let clock = BucketClock::default();
        clock.set(at(0));
        let (one, two) = (gate.pass(false), gate.pass(false));
        let limit = RateLimit {
            period: Duration::from_millis(100),
            burst: NonZeroU32::MIN,
        };
        gate.set_limit(Some(limit), &clock);
        assert!(!one.start(at(50)));
        assert!(one.start(at(100)) && !two.start(at(150)));
        gate.close();
        assert!(!two.start(at(10_000)));
    }
}
