//! Liveness by age alone, readiness by phase and conditions.

use hooklane_model::time::UnixMillis;

use super::*;
use crate::clock::TestClock;
use crate::lifecycle::Shutdown;
use crate::metrics::Registry;

fn probes() -> (Probes, Lifecycle, Arc<TestClock>) {
    let clock = Arc::new(TestClock::at(UnixMillis(0)));
    let registry = Registry::new("test");
    let deadline = Duration::from_secs(25);
    let lifecycle = Lifecycle::new(&registry, clock.clone(), Shutdown::new(), deadline).unwrap();
    (
        Probes::new(clock.clone(), lifecycle.clone()),
        lifecycle,
        clock,
    )
}

#[test]
fn only_a_loop_that_stands_still_is_unhealthy() {
    let (probes, _, clock) = probes();
    let poll = probes.heartbeat("poll", Duration::from_secs(10));
    let worker = probes.heartbeat("worker 0", Duration::from_secs(60));
    clock.advance(Duration::from_secs(10));
    assert_eq!(probes.stale(), []);
    clock.advance(Duration::from_millis(1));
    let age = Duration::from_millis(10_001);
    let expected = Stale {
        name: "poll".into(),
        doing: "its turn",
        age,
        max_age: Duration::from_secs(10),
    };
    assert_eq!(probes.stale(), [expected]);
    poll.beat();
    assert_eq!(probes.stale(), []);
    clock.advance(Duration::from_secs(3600));
    worker.retire();
    assert_eq!(probes.stale().len(), 1, "a retired loop is not watched");
    drop(poll);
    assert_eq!(
        probes.stale().len(),
        1,
        "a loop that just ended is as dead as one that hangs"
    );
}

#[test]
fn readiness_lists_what_is_missing() {
    let (probes, lifecycle, _) = probes();
    let joined = probes.condition("group joined");
    let loaded = probes.condition("config loaded");
    assert_eq!(
        probes.missing(),
        ["phase is starting", "group joined", "config loaded"]
    );
    loaded.set(true);
    lifecycle.enter(Phase::Ready);
    assert_eq!(probes.missing(), ["group joined"]);
    joined.set(true);
    assert!(probes.missing().is_empty());
    lifecycle.enter(Phase::Draining);
    assert_eq!(probes.missing(), ["phase is draining"]);
}
