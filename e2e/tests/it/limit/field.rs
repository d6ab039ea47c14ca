//! Endpoints with limits, spread over the lanes, and what they must have got.

use std::time::Instant;

use hooklane_test_support::wait_until;
use serde_json::{Value, json};

use super::most_beyond;
use crate::harness::{DEADLINE, Event, Load, Pipeline, Wants, subscription};

/// So many that with any placement each of two dispatchers has some: all miss
/// the lanes of one in 1 of 2,000 placements.
const ENDPOINTS: usize = 12;
const PER_SECOND: u32 = 5;
/// Half of them have next to no burst: there a single request too many is
/// seen. The other half have one that a new owner, or one that slept, must not
/// begin with.
const BURSTS: [u32; 2] = [1, 20];
/// A little more than the limit: there is always something that waits, and
/// buckets are as good as empty.
const EVENTS_PER_SECOND: u32 = 6;
/// What the sender's thread may be late, beside what the receiver's is.
const SENDER_LATE: f64 = 0.1;

/// The endpoints' paths, and what their subscriptions want.
pub(crate) struct Field {
    paths: Vec<String>,
    wanted: Vec<Wants>,
}

/// Events for a field.
pub(crate) struct FieldLoad {
    backlog: Vec<Event>,
    load: Load,
}

impl Field {
    /// Declares the endpoints, each of which takes every event.
    pub(crate) fn declare(p: &Pipeline) -> Self {
        let paths: Vec<String> = (0..ENDPOINTS).map(|n| format!("/limited{n}")).collect();
        let (mut manifests, mut wanted) = (vec![p.source()], Vec::new());
        for (n, path) in paths.iter().enumerate() {
            let limit = json!({"perSecond": PER_SECOND, "burst": BURSTS[n % 2]});
            let spec = json!({"rateLimit": limit, "maxConcurrency": 32});
            let name = format!("to{n}");
            manifests.push(p.endpoint(path, spec));
            manifests.push(subscription(&name, path, json!({})));
            wanted.push(Wants::new(("acme", &name), path, |_| true));
        }
        p.apply(&manifests);
        Self { paths, wanted }
    }

    /// Events for all of them, faster than they take them, and so many at once
    /// before: a backlog in the dispatchers' memory.
    pub(crate) fn load(p: &Pipeline, backlog: usize) -> FieldLoad {
        let event = |prefix: &str, n: usize| Event::new(format!("{prefix}{n}"), "acme", "order");
        let backlog: Vec<Event> = (0..backlog).map(|n| event("b", n)).collect();
        p.events.store(&backlog);
        let load = p.events.load(EVENTS_PER_SECOND, move |n| event("e", n));
        FieldLoad { backlog, load }
    }

    /// Waits until each endpoint got so many more requests.
    pub(crate) fn more(&self, p: &Pipeline, requests: usize) {
        let counts = || self.paths.iter().map(|path| p.receiver.count(path));
        let before: Vec<usize> = counts().collect();
        wait_until("requests at every endpoint", DEADLINE, || {
            counts()
                .zip(&before)
                .all(|(now, before)| now >= before + requests)
        })
        .unwrap_or_else(|error| {
            let now: Vec<usize> = counts().collect();
            panic!("{error}: {before:?} before and {now:?} now")
        });
    }

    /// Ends the load: everything was delivered in the end, and each endpoint's
    /// limit held, but for `extra` requests.
    pub(crate) fn finish(&self, p: &Pipeline, load: FieldLoad, extra: u32) {
        let mut events = load.backlog;
        events.extend(load.load.stop());
        let expected = p.expect(&self.wanted, &events);
        let mut tally = expected.wait(&p.receiver, DEADLINE);
        let books: Value = p.settled(DEADLINE);
        tally.update(&p.receiver);
        expected.check(&tally);
        assert_eq!(
            (&books["delivered"], &books["dead"]),
            (&json!(expected.len()), &json!(0)),
            "{books:#}"
        );
        // A request that was read late brings those after it closer to it.
        let late = p.receiver.longest_stall().as_secs_f64() + SENDER_LATE;
        let most = f64::from(PER_SECOND) * late + f64::from(extra);
        for (path, burst) in self.paths.iter().zip(BURSTS.iter().cycle()) {
            let beyond = self.beyond(p, path, f64::from(*burst));
            println!("{path}: {beyond:.2} beyond rate x window + {burst}, allowed {most:.2}");
            assert!(
                beyond <= most,
                "{path}: {beyond} requests too many in a window; {most} explained"
            );
        }
        println!("{} deliveries, {} repeats", expected.len(), tally.repeats());
    }

    fn beyond(&self, p: &Pipeline, path: &str, burst: f64) -> f64 {
        let times = p.receiver.read(|all| {
            let begin: Instant = all[0].at;
            let mine = all.iter().filter(|request| request.route() == path);
            mine.map(|request| {
                let since = request.at.checked_duration_since(begin);
                since.unwrap_or_default().as_secs_f64()
            })
            .collect()
        });
        most_beyond(times, |at| f64::from(PER_SECOND) * at, burst)
    }
}
