//! A thread of the dispatcher that stands still is found.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use hooklane_model::time::{Clock, UnixMillis};
use hooklane_service::clock::{BootClock, Monotonic, SystemClock};
use hooklane_test_support::{Scrape, get, wait_until};
use serde_json::json;

use crate::harness::{DEADLINE, Harness, Time};

/// A wall clock that does not answer worker 0 while it is shut.
#[derive(Default)]
struct Door {
    state: Mutex<(bool, bool)>,
    opened: Condvar,
}

impl Door {
    fn set_shut(&self, shut: bool) {
        self.state.lock().unwrap().0 = shut;
        self.opened.notify_all();
    }

    /// Whether the worker stands before it.
    fn holds(&self) -> bool {
        self.state.lock().unwrap().1
    }
}

impl Clock for Door {
    fn now(&self) -> UnixMillis {
        if std::thread::current().name() == Some("worker-0") {
            let mut state = self.state.lock().unwrap();
            while state.0 {
                state.1 = true;
                state = self.opened.wait(state).unwrap();
            }
            state.1 = false;
        }
        SystemClock.now()
    }
}

/// Boot time, and what the test adds to it.
#[derive(Default)]
struct Ahead(AtomicU64);

impl Ahead {
    fn jump(&self, by: Duration) {
        let nanos = u64::try_from(by.as_nanos()).unwrap();
        self.0.fetch_add(nanos, Ordering::SeqCst);
    }
}

impl Monotonic for Ahead {
    fn nanos(&self) -> u64 {
        BootClock.nanos() + self.0.load(Ordering::SeqCst)
    }
}

/// Goal: a worker that stands still in a call is named, first by metric and
/// readiness, then by liveness, while the consumer's thread goes on; and when
/// it goes on, nothing is lost and nothing wants a restart.
/// Method: a clock that does not answer it, and boot time that jumps.
#[test]
fn a_worker_that_stands_still_is_found() {
    let (door, ahead) = (Arc::new(Door::default()), Arc::new(Ahead::default()));
    let time = Time {
        wall: door.clone(),
        boot: ahead.clone(),
    };
    let h = Harness::start_at(time, json!(["1s"]), &["/a"]);
    let admin = h.context().serve_admin().unwrap();
    let ask = |path: &str| get(admin.local_addr(), path).unwrap();
    let alive = || ask("/healthz").0 == 200;
    assert!(alive());

    door.set_shut(true);
    wait_until("the worker to stand still", DEADLINE, || door.holds()).unwrap();
    h.produce(b"{}", &["/a"], 1);
    ahead.jump(Duration::from_secs(16));
    wait_until(
        "readiness to name the worker, and only it",
        DEADLINE,
        || {
            let missing = h.context().probes.missing();
            missing.len() == 1 && missing[0].starts_with("worker 0 stands still at ")
        },
    )
    .unwrap();
    let (status, body) = ask("/readyz");
    assert_eq!(status, 503, "{body}");
    assert!(alive(), "there is time yet");
    let scrape = Scrape::parse(&ask("/metrics").1).unwrap();
    let age = |thread| {
        let labels = [("thread", thread)];
        scrape.value("hooklane_turn_age_seconds", &labels).unwrap()
    };
    assert!(age("worker 0") >= 16.0 && age("consumer") < age("worker 0"));

    ahead.jump(Duration::from_secs(16));
    wait_until("liveness to end", DEADLINE, || {
        let (status, body) = ask("/healthz");
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        let stale = body["stale"].as_array().unwrap();
        status == 503 && stale.len() == 1 && stale[0]["heartbeat"] == "worker 0"
    })
    .unwrap();
    assert_eq!(h.receiver.count("/a"), 0);

    door.set_shut(false);
    h.receiver.wait_count("/a", 1, DEADLINE).unwrap();
    wait_until("life again", DEADLINE, || {
        alive() && h.context().probes.missing().is_empty()
    })
    .unwrap();
    h.wait_committed();
    h.stop();
}
