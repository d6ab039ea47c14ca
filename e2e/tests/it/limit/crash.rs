//! Owners that die, and owners that sleep.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use hooklane_test_support::wait_until;

use super::field::Field;
use crate::harness::{DEADLINE, Kind, LANES, Pipeline};

/// Of a short session, see `with_short_sessions`.
const SESSION: Duration = Duration::from_secs(8);
/// Threads that send, of a dispatcher as the tests start it. Each may have been
/// frozen between its look at the lease and the request's first byte.
const WORKERS: u32 = 1;

/// Goal: windows hold over a rebalance, a crash and a freeze, counted over all
/// dispatchers; one that slept through its session sends at most one request
/// per worker thread when it wakes, and finds out that its lanes are gone.
/// Method: two dispatchers under more load than the limits let through. One is
/// killed and replaced; then one is stopped for two sessions, with deliveries
/// waiting in its memory that the other delivers meanwhile. Woken, what it
/// sends shows as repeats.
#[test]
fn the_limit_holds_over_a_kill_and_a_freeze() {
    let p = Pipeline::new("crash")
        .with_short_sessions()
        .with_long_queues();
    let field = Field::declare(&p);
    let [_ingest, _scheduler, mut first, mut second] = p.start([
        Kind::Ingest,
        Kind::RetryScheduler,
        Kind::Dispatcher,
        Kind::Dispatcher,
    ]);
    first.owns(LANES / 2);
    let load = Field::load(&p, 20);
    field.more(&p, 20);

    first.process.kill9();
    second.owns(LANES);
    field.more(&p, 20);

    let [third] = p.start([Kind::Dispatcher]);
    third.owns(LANES / 2);
    second.owns(LANES / 2);
    field.more(&p, 20);

    let frozen = Instant::now();
    second.process.pause().unwrap();
    third.owns(LANES);
    wait_until("two sessions", DEADLINE, || frozen.elapsed() > SESSION * 2).unwrap();
    let before = p.receiver.read(<[_]>::len);
    second.process.resume().unwrap();
    wait_until("it to notice", DEADLINE, || {
        second.process.log().contains("\"lost\":true")
    })
    .unwrap();
    p.receiver_is_even();
    let repeats = p.receiver.read(|all| {
        let (old, new) = all.split_at(before);
        let known: HashSet<&str> = old.iter().map(|r| r.webhook_id()).collect();
        let again = new.iter().map(|r| r.webhook_id());
        again
            .filter(|id| !id.is_empty() && known.contains(id))
            .count()
    });
    println!("{repeats} requests sent by the one that slept");
    assert!(repeats <= usize::try_from(WORKERS).unwrap());
    second.owns(LANES / 2);
    field.more(&p, 5);
    field.finish(&p, load, WORKERS);
}
