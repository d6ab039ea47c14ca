//! A dispatcher whose way to Kafka is cut.

use std::time::Instant;

use hooklane_test_support::wait_until;

use crate::harness::{DEADLINE, Kind, LANES, Pipeline};
use crate::limit::field::Field;

/// Fifteen seconds' worth: one that is cut off and sends on has something to
/// send until the other has taken over.
const BACKLOG: usize = 75;
const STARTED: &str = "hooklane_queue_wait_seconds_count";

/// Goal: a dispatcher that is cut off stops sending when its lease ends, the
/// other takes over, limits hold over both, nothing is lost, and when the
/// network is back the first takes part again.
/// Method: one of two dispatchers comes to Kafka by a proxy that swallows
/// everything for longer than a session, receivers stay in its reach; later
/// every connection is reset once.
#[test]
fn a_dispatcher_that_is_cut_off_stops_in_time_and_comes_back() {
    let p = Pipeline::with_far_side("partition")
        .with_short_sessions()
        .with_long_queues();
    let field = Field::declare(&p);
    let [_ingest, _scheduler, near] =
        p.start([Kind::Ingest, Kind::RetryScheduler, Kind::Dispatcher]);
    let mut far = p.spawn_at(Kind::Dispatcher, &p.cluster().far());
    far.wait_ready();
    far.owns(LANES / 2);
    near.owns(LANES / 2);
    let load = Field::load(&p, BACKLOG);
    field.more(&p, 20);

    let network = &p.cluster().network()[0];
    let cut = Instant::now();
    network.swallow();
    wait_until("the lease to end", DEADLINE, || {
        far.metric("hooklane_lease_seconds", &[]) == 0.0
    })
    .unwrap();
    println!(
        "the lease is known to have ended {:.1?} after the cut",
        cut.elapsed()
    );
    let started = far.metric(STARTED, &[]);
    near.owns(LANES);
    println!(
        "the other has all lanes {:.1?} after the cut",
        cut.elapsed()
    );
    field.more(&p, 20);
    assert!(far.process.ended().is_none(), "{}", far.process.log());
    let after = far.metric(STARTED, &[]);
    assert_eq!(after, started, "requests started after the lease");
    assert!(started > 0.0, "it had sent before");

    network.forward();
    far.owns(LANES / 2);
    near.owns(LANES / 2);
    field.more(&p, 10);

    network.reset();
    far.owns(LANES / 2);
    field.more(&p, 10);
    field.finish(&p, load, 0);
    assert!(far.metric(STARTED, &[]) > after, "it has sent again");
}
