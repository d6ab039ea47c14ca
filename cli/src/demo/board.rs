//! What is known while the demo runs: what was produced and for whom, what
//! the receiver answered, what the attempts and dead topics say. Three
//! threads write, the view reads; nothing here does IO.
//!
//! Memory: about 150 bytes a delivery; the size of a run is limited.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use hooklane_model::id::DeliveryId;

use super::endpoints::ROLES;
use super::tally::Tally;

/// An hour; what took longer is recorded as that.
const LATENCY_MAX_MICROS: u64 = 3_600_000_000;
/// Two significant digits are enough for a look.
const LATENCY_DIGITS: u8 = 2;

/// The board as the threads share it. Held for microseconds.
pub(super) type SharedBoard = Arc<Mutex<Board>>;

/// Takes the board.
pub(super) fn lock(board: &SharedBoard) -> MutexGuard<'_, Board> {
    // Counts stay usable, whoever panicked in between.
    board.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A delivery that must come of an event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    pub(super) endpoint: usize,
    produced: Instant,
    /// 2xx that the receiver answered.
    pub(super) received: u32,
}

/// What the receiver knows of one endpoint.
#[derive(Debug)]
pub(super) struct Received {
    /// Deliveries expected.
    pub(super) expected: u64,
    /// Of these, those answered with a 2xx.
    pub(super) delivered: u64,
    /// From the event's production to the first 2xx, in microseconds.
    pub(super) latency: Histogram<u64>,
}

/// Everything.
#[derive(Debug)]
pub(super) struct Board {
    pub(super) events: u64,
    pub(super) expected: HashMap<DeliveryId, Expected>,
    /// 2xx for deliveries that nobody expected.
    pub(super) strangers: u64,
    pub(super) endpoints: Vec<Received>,
    /// What the topics say so far.
    pub(super) tally: Tally,
}

impl Board {
    pub(super) fn new() -> Self {
        let endpoint = |_| Received {
            expected: 0,
            delivered: 0,
            latency: Histogram::new_with_bounds(1, LATENCY_MAX_MICROS, LATENCY_DIGITS)
                .expect("constant bounds, of which the upper is more than twice the lower"),
        };
        Self {
            events: 0,
            expected: HashMap::new(),
            strangers: 0,
            endpoints: (0..ROLES.len()).map(endpoint).collect(),
            tally: Tally::default(),
        }
    }

    /// An event is about to be produced, and these are to get it.
    pub(super) fn produced(&mut self, deliveries: &[(usize, DeliveryId)], now: Instant) {
        self.events += 1;
        for (endpoint, id) in deliveries {
            let expected = Expected {
                endpoint: *endpoint,
                produced: now,
                received: 0,
            };
            if self.expected.insert(*id, expected).is_none() {
                self.endpoints[*endpoint].expected += 1;
            }
        }
    }

    /// The receiver answers a request with a 2xx.
    pub(super) fn received(&mut self, endpoint: usize, id: DeliveryId) {
        let Some(expected) = self
            .expected
            .get_mut(&id)
            .filter(|e| e.endpoint == endpoint)
        else {
            self.strangers += 1;
            return;
        };
        expected.received += 1;
        if expected.received == 1 {
            let received = &mut self.endpoints[endpoint];
            received.delivered += 1;
            let took = expected.produced.elapsed();
            received.latency.saturating_record(micros(took));
        }
    }

    /// Deliveries of an endpoint that have not ended.
    pub(super) fn waiting_at(&self, endpoint: usize) -> u64 {
        let received = &self.endpoints[endpoint];
        let given_up = self.tally.endpoints[endpoint].given_up();
        received
            .expected
            .saturating_sub(received.delivered + given_up)
    }

    /// Deliveries that have not ended, by what the topics say: they know last.
    pub(super) fn waiting(&self) -> u64 {
        let expected = self.expected.len() as u64;
        expected.saturating_sub(self.tally.ended())
    }
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_counts_once_and_a_stranger_never() {
        let mut board = Board::new();
        let earlier = Instant::now() - Duration::from_millis(40);
        board.produced(&[(0, DeliveryId(1)), (2, DeliveryId(2))], earlier);
        assert_eq!((board.waiting(), board.waiting_at(0)), (2, 1));
        board.received(0, DeliveryId(1));
        board.received(0, DeliveryId(1));
        board.received(1, DeliveryId(2));
        board.received(0, DeliveryId(3));
        assert_eq!(board.endpoints[0].delivered, 1);
        let latency = &board.endpoints[0].latency;
        assert_eq!(latency.len(), 1);
        assert!(latency.max() >= 40_000, "{} us", latency.max());
        assert_eq!(board.expected[&DeliveryId(1)].received, 2);
        assert_eq!(board.strangers, 2, "another's delivery, and nobody's");
        assert_eq!((board.waiting_at(0), board.waiting_at(2)), (0, 1));
    }
}
