//! Changes of the configuration reach services that run.

use std::time::{Duration, Instant};

use hooklane_test_support::wait_until;
use serde_json::json;

use crate::harness::{DEADLINE, Event, Pipeline, Service, subscription};

/// A change is applied within a second, on a machine that has time for it. The
/// command that makes it takes about as long when it has, and how much longer
/// it takes when not says how busy the machine is.
const SOON: Duration = Duration::from_secs(3);
const COMMANDS: u32 = 4;
const INGEST_OFFSET: &str = "hooklane_config_applied_offset";
const DISPATCHER_OFFSET: &str = "hooklane_config_applied_offset";

/// Goal: new, changed, paused and deleted resources count for services that
/// run, soon after the command returned.
/// Method: one life of an endpoint; probes show when a change counts, what
/// the receiver gets afterwards shows that nothing old is left.
#[test]
fn changes_reach_running_services() {
    let p = Pipeline::new("config");
    p.apply(&[p.source()]);
    let [ingest, dispatcher, _scheduler] = p.start_all();
    let mut probes = Probes { p: &p, sent: 0 };

    let soon = soon_after(|| {
        drop(p.apply(&[
            p.endpoint("/hook", json!({})),
            subscription("all", "/hook", json!({})),
        ]));
    });
    probes.until_at("/hook", "a new endpoint and subscription", soon);

    let moved = json!({"url": p.receiver.url("/moved")});
    let soon = soon_after(|| drop(p.apply(&[p.endpoint("/hook", moved)])));
    probes.until_at("/moved", "a changed URL", soon);
    probes.delivered(&ingest);
    let old = p.receiver.count("/hook");
    let new = p.receiver.count("/moved");
    probes.send(20);
    p.receiver.wait_count("/moved", new + 20, DEADLINE).unwrap();
    probes.delivered(&ingest);
    assert_eq!(
        p.receiver.count("/hook"),
        old,
        "the old URL is called no more"
    );

    let paused = |paused: bool| {
        p.endpoint(
            "/hook",
            json!({"url": p.receiver.url("/moved"), "paused": paused}),
        )
    };
    applied(&dispatcher, DISPATCHER_OFFSET, "a pause", || {
        drop(p.apply(&[paused(true)]))
    });
    let before = p.receiver.count("/moved");
    probes.send(5);
    dispatcher.wait_metric("hooklane_parked_total", &[("reason", "paused")], 5.0);
    assert_eq!(p.receiver.count("/moved"), before, "called while paused");
    applied(&dispatcher, DISPATCHER_OFFSET, "its end", || {
        drop(p.apply(&[paused(false)]))
    });
    p.receiver
        .wait_count("/moved", before + 5, DEADLINE)
        .unwrap();
    probes.delivered(&ingest);

    applied(&ingest, INGEST_OFFSET, "a deleted subscription", || {
        p.command(&["delete", "subscription", "all", "--tenant", "acme"]);
    });
    let unmatched = [("fate", "unmatched")];
    let count = ingest.metric("hooklane_events_total", &unmatched);
    probes.send(5);
    ingest.wait_metric("hooklane_events_total", &unmatched, count + 5.0);
    assert_eq!(
        p.receiver.count("/moved"),
        before + 5,
        "called for a deleted subscription"
    );
    let books = p.settled(DEADLINE);
    assert_eq!(
        (&books["dead"], &books["repeats"]),
        (&json!(0), &json!(0)),
        "{books:#}"
    );
}

/// Goal: a configuration record that can't be read changes nothing, for those
/// that run and for those that start later, and it is told.
/// Method: write rubbish under an endpoint's key; deliveries go on, also with
/// a dispatcher and an ingest that were started afterwards.
#[test]
fn a_broken_record_keeps_the_last_good_value() {
    let p = Pipeline::new("broken");
    p.apply(&[
        p.source(),
        p.endpoint("/hook", json!({})),
        subscription("all", "/hook", json!({})),
    ]);
    let [ingest, dispatcher, _scheduler] = p.start_all();
    let mut probes = Probes { p: &p, sent: 0 };
    for key in [
        "Endpoint/acme/hook",
        "Subscription/acme/all",
        "Source//shop",
    ] {
        p.write(
            &p.names.config(),
            key,
            b"{\"apiVersion\": \"hooklane/v1\", \"kind\": ",
        );
    }
    ingest.wait_metric("hooklane_config_problems_total", &[], 3.0);
    dispatcher.wait_metric("hooklane_config_problems_total", &[], 3.0);
    probes.send(10);
    p.receiver.wait_count("/hook", 10, DEADLINE).unwrap();

    ingest.stop();
    dispatcher.stop();
    use crate::harness::Kind::{Dispatcher, Ingest};
    let _restarted = p.start([Ingest, Dispatcher]);
    probes.send(10);
    p.receiver.wait_count("/hook", 20, DEADLINE).unwrap();
    let books = p.settled(DEADLINE);
    assert_eq!(
        (&books["matched"], &books["delivered"]),
        (&json!(20), &json!(20)),
        "{books:#}"
    );
}

/// Makes a change and waits until a service has it.
fn applied(service: &Service, offset: &str, what: &str, change: impl FnOnce()) {
    let before = service.metric(offset, &[]);
    let soon = soon_after(change);
    let made = Instant::now();
    wait_until(&format!("{what} to be applied"), soon, || {
        service.metric(offset, &[]) > before
    })
    .unwrap_or_else(|error| panic!("{error}: {}", service.process.log()));
    println!("{what}: {:?} after the command", made.elapsed());
}

/// Makes a change, and says how soon it has to count.
fn soon_after(change: impl FnOnce()) -> Duration {
    let begin = Instant::now();
    change();
    SOON.max(begin.elapsed() * COMMANDS)
}

/// Events that only matter in that they arrive.
struct Probes<'a> {
    p: &'a Pipeline,
    sent: usize,
}

impl Probes<'_> {
    fn send(&mut self, n: usize) {
        let events: Vec<Event> = (0..n)
            .map(|n| Event::new(format!("probe{}", self.sent + n), "acme", "probe"))
            .collect();
        self.sent += n;
        self.p.events.store(&events);
    }

    /// Waits until all that was sent has been read and delivered.
    fn delivered(&self, ingest: &Service) {
        #[allow(clippy::cast_precision_loss, reason = "a few hundred")]
        let sent = self.sent as f64;
        ingest.wait_metric("hooklane_events_total", &[], sent);
        self.p.settled(DEADLINE);
    }

    /// Sends until one arrives on the path.
    fn until_at(&mut self, path: &str, what: &str, soon: Duration) {
        let begin = Instant::now();
        wait_until(&format!("{what} to count"), soon, || {
            self.send(1);
            self.p.receiver.count(path) > 0
        })
        .unwrap();
        println!("{what}: {:?} after the command", begin.elapsed());
    }
}
