//! Endpoints that are dead, slow or loud, beside endpoints that are well.

use std::time::{Duration, Instant};

use hooklane_test_support::{
    Answer, Fault, Gate, OnConnect, Receiver, Script, refused_url, wait_until,
};
use serde_json::{Value, json};

use crate::harness::{DEADLINE, Event, Pipeline, Service, subscription, subscription_of};

/// Endpoints that are well, and as many that are dead.
const HEALTHY: usize = 500;
const TIMEOUT: Duration = Duration::from_secs(5);
/// The default of `dispatcher.queue_wait`.
const QUEUE_WAIT: Duration = Duration::from_secs(10);
/// What the oldest open record may be older than wait and timeout.
const SLACK: Duration = Duration::from_secs(5);
/// Windows of this length are compared. Something else on the machine only ever
/// makes a window worse, so the best of some is what the dispatcher can do; what
/// the dispatcher itself did wrong would be in all of them.
const WINDOW: Duration = Duration::from_secs(4);
const WINDOWS: usize = 4;
/// How many are tried at the most beside a disturbance, if none is good enough.
const WINDOWS_MAX: usize = 10;
/// Events to endpoints that are well, and as many to dead ones.
const PER_SECOND: usize = 200;
/// A p99 below this is good whatever the baseline was.
const GOOD: Duration = Duration::from_millis(50);

/// Goal: with half of all endpoints dead, in every way and in the same lanes,
/// those that are well see at most twice the latency, the watermark follows,
/// and memory stays within its budget.
/// Method: one dispatcher; from the store of an event to its arrival, p99 of
/// windows of 800 deliveries without the dead, then with them in the same run;
/// the best window of either. Metrics are sampled all the while.
#[test]
fn the_dead_do_not_slow_the_healthy() {
    let p = Pipeline::new("isolation");
    let dead = Dead::start();
    declare(&p, &dead);
    let [_ingest, dispatcher, _scheduler] = p.start_all();
    let mut run = Run::new(&p, &dispatcher, PER_SECOND, |n| {
        Event::new(format!("e{n}"), "acme", &format!("well{}", n % HEALTHY))
    });
    let baseline = run.best(None, |_| Vec::new());
    let beside = run.best(Some(baseline), |n| {
        let to = format!("dead{}", n % HEALTHY);
        vec![Event::new(format!("x{n}"), "acme", &to)]
    });
    println!(
        "p99 {baseline:.1?} alone and {beside:.1?} beside {HEALTHY} dead; oldest open {:.1} s",
        run.oldest
    );
    assert!(dead.all_were_called(), "one of the kinds was not called");
    is_within(beside, baseline);
    let most = (QUEUE_WAIT + TIMEOUT + SLACK).as_secs_f64();
    assert!(run.oldest <= most, "a record was open for {} s", run.oldest);
}

/// Receivers that are dead, each in its way.
struct Dead {
    talks: Receiver,
    resets: Receiver,
    refused: String,
}

const KINDS: usize = 5;

impl Dead {
    fn start() -> Self {
        let talks = Receiver::start().unwrap();
        talks.script("/hangs", Script::always(Answer::fault(Fault::Hang)));
        let every = Duration::from_secs(1);
        let drips = Answer::fault(Fault::DripBody(every)).body("never to be read whole");
        talks.script("/drips", Script::always(drips));
        let resets = Receiver::start().unwrap();
        resets.on_connect(OnConnect::Reset);
        Self {
            talks,
            resets,
            refused: refused_url("/refuses").unwrap(),
        }
    }

    /// Of the nth dead endpoint.
    fn url(&self, n: usize) -> String {
        match n % KINDS {
            0 => self.refused.clone(),
            1 => self.talks.url("/hangs"),
            2 => self.talks.url("/drips"),
            3 => self.resets.url("/resets"),
            // No TLS is spoken there.
            _ => self.talks.url("/tls").replacen("http", "https", 1),
        }
    }

    fn all_were_called(&self) -> bool {
        self.talks.count("/hangs") > 0
            && self.talks.count("/drips") > 0
            && self.resets.connections() > 0
            // Those of the other two, and those that no request came on.
            && self.talks.connections() > self.talks.requests().len()
    }
}

fn declare(p: &Pipeline, dead: &Dead) {
    let mut manifests = vec![p.source()];
    let mut add = |name: String, url: Option<String>| {
        let mut spec = json!({"timeout": format!("{}s", TIMEOUT.as_secs())});
        if let Some(url) = url {
            spec["url"] = json!(url);
        }
        let path = format!("/{name}");
        manifests.push(p.endpoint(&path, spec));
        manifests.push(subscription(&name, &path, json!({"eventTypes": [name]})));
    };
    for n in 0..HEALTHY {
        add(format!("well{n}"), None);
        add(format!("dead{n}"), Some(dead.url(n)));
    }
    p.apply(&manifests);
}

/// Goal: a tenant with a hundred times the events of another, more than its
/// endpoint takes, leaves the others their latency.
/// Method: as above, with ten quiet tenants; the loud one's endpoint is slow.
#[test]
fn the_loud_do_not_slow_the_quiet() {
    let p = Pipeline::new("loud");
    let slow = Answer::status(200).after(Duration::from_millis(100));
    let receiver = Receiver::start().unwrap();
    receiver.script("/loud", Script::always(slow));
    let mut manifests = quiet(&p);
    let url = json!({"url": receiver.url("/loud")});
    manifests.push(p.endpoint_of("loud", "/loud", url));
    manifests.push(subscription_of("loud", "all", "/loud", json!({})));
    p.apply(&manifests);
    let [_ingest, dispatcher, _scheduler] = p.start_all();
    let mut run = Run::new(&p, &dispatcher, QUIET * QUIET_PER_SECOND, |n| {
        Event::new(format!("e{n}"), &format!("quiet{}", n % QUIET), "order")
    });
    let baseline = run.best(None, |_| Vec::new());
    let beside = run.best(Some(baseline), |n| {
        let loud = (0..100 / QUIET).map(|i| Event::new(format!("l{n}-{i}"), "loud", "order"));
        loud.collect()
    });
    println!("p99 {baseline:.1?} alone and {beside:.1?} beside the loud");
    assert!(receiver.count("/loud") > 0);
    is_within(beside, baseline);
}

/// Goal: an event with 10,000 targets does not make those after it wait until
/// it is done.
/// Method: none of its receivers answers before all that was sent after it, by
/// tenants of their own, has arrived; what would wait for it waits for ever. It
/// has more endpoints than would take every slot, were its tenant given them.
#[test]
fn a_wide_event_is_overtaken() {
    let p = Pipeline::new("wide");
    let gate = Gate::default();
    let wide = Receiver::start().unwrap();
    let mut manifests = quiet(&p);
    for n in 0..WIDE {
        let path = format!("/wide{n}");
        wide.script(&path, Script::always(Answer::status(200).behind(&gate)));
        let spec = json!({"url": wide.url(&path), "timeout": "60s"});
        manifests.push(p.endpoint_of("wide", &path, spec));
    }
    for n in 0..TARGETS {
        let (name, path) = (format!("all{n}"), format!("/wide{}", n % WIDE));
        manifests.push(subscription_of("wide", &name, &path, json!({})));
    }
    p.apply(&manifests);
    let [_ingest, dispatcher, _scheduler] = p.start_all();
    p.events.store(&[Event::new("w", "wide", "order")]);
    // It has what it can get before anything else is sent.
    dispatcher.wait_metric("hooklane_requests_in_flight", &[], SHARE);
    let quiet = (0..QUIET).map(|n| Event::new(format!("e{n}"), &format!("quiet{n}"), "order"));
    p.events.store(&quiet.collect::<Vec<_>>());
    let arrived = p.receiver.wait_count("/quiet", QUIET, DEADLINE);
    arrived.unwrap_or_else(|error| panic!("{error}: {}", dispatcher.process.log()));
    println!("{} of {TARGETS} are open", wide.requests().len());
    let failed = dispatcher.metric("hooklane_attempts_total", &[("outcome", "retry")]);
    assert!(failed < 1.0, "{failed} had to fail before the quiet came");
    gate.open();
    let books = p.settled(DEADLINE);
    assert_eq!(books["delivered"], TARGETS + QUIET, "{books:#}");
}

const QUIET: usize = 10;
const QUIET_PER_SECOND: usize = 5;
/// Of the wide event; they live at this many endpoints, which could have eight
/// requests open each: more than `dispatcher.slots` (1000).
const TARGETS: usize = 10_000;
const WIDE: usize = 200;
/// Slots that one tenant gets: half, by the default of
/// `dispatcher.tenant_percent`.
const SHARE: f64 = 500.0;

/// A source, and tenants with an endpoint each that takes everything.
fn quiet(p: &Pipeline) -> Vec<Value> {
    let mut manifests = vec![p.source()];
    for n in 0..QUIET {
        let tenant = format!("quiet{n}");
        manifests.push(p.endpoint_of(&tenant, "/quiet", json!({})));
        manifests.push(subscription_of(&tenant, "all", "/quiet", json!({})));
    }
    manifests
}

/// The p99 that may be beside a disturbance.
fn bound(baseline: Duration) -> Duration {
    (baseline * 2).max(GOOD)
}

/// A p99 beside a disturbance is within what P4 promises of the one without.
fn is_within(beside: Duration, baseline: Duration) {
    assert!(
        beside <= bound(baseline),
        "p99 {beside:?} beside it, {baseline:?} without"
    );
}

/// Events to endpoints that are well, when they were sent, and what the
/// dispatcher said meanwhile.
struct Run<'a> {
    p: &'a Pipeline,
    dispatcher: &'a Service,
    per_second: usize,
    make: Box<dyn Fn(usize) -> Event>,
    sent: Vec<Instant>,
    /// The oldest open record that any sample showed, in seconds.
    oldest: f64,
}

impl<'a> Run<'a> {
    fn new(
        p: &'a Pipeline,
        dispatcher: &'a Service,
        per_second: usize,
        make: impl Fn(usize) -> Event + 'static,
    ) -> Self {
        let mut run = Self {
            p,
            dispatcher,
            per_second,
            make: Box::new(make),
            sent: Vec::new(),
            oldest: 0.0,
        };
        // Connections are made, code is warm.
        run.window(&|_| Vec::new());
        run
    }

    /// The p99 of the best of some windows, each event with `others` beside it;
    /// of some more, as long as none comes near the baseline.
    fn best(
        &mut self,
        baseline: Option<Duration>,
        others: impl Fn(usize) -> Vec<Event>,
    ) -> Duration {
        let (mut all, mut best) = (Vec::new(), Duration::MAX);
        let far = |best| baseline.is_some_and(|baseline| best > bound(baseline));
        while all.len() < WINDOWS || (far(best) && all.len() < WINDOWS_MAX) {
            let p99 = self.window(&others);
            all.push(p99);
            best = best.min(p99);
        }
        println!("p99 of windows: {all:.1?}");
        best
    }

    /// One window's events, and the p99 of their latency; waits until all of
    /// them came.
    fn window(&mut self, others: &dyn Fn(usize) -> Vec<Event>) -> Duration {
        let begin = Instant::now();
        let first = self.sent.len();
        let count = self.per_second * usize::try_from(WINDOW.as_secs()).unwrap();
        let mut sampled = begin;
        for n in first..first + count {
            let turn = u32::try_from(n - first).unwrap();
            let due = begin + WINDOW * turn / u32::try_from(count).unwrap();
            wait_until("an event's turn", DEADLINE, || Instant::now() >= due).unwrap();
            self.sent.push(Instant::now());
            self.p.events.send(&(self.make)(n));
            for other in others(n) {
                self.p.events.send(&other);
            }
            if sampled.elapsed() > Duration::from_millis(500) {
                sampled = Instant::now();
                self.sample();
            }
        }
        let came = || self.p.receiver.read(<[_]>::len);
        wait_until("the window's deliveries", DEADLINE, || {
            came() >= first + count
        })
        .unwrap();
        self.p99(first)
    }

    fn sample(&mut self) {
        let scrape = self.dispatcher.scrape();
        let value = |name| scrape.value(name, &[]).unwrap();
        self.oldest = self.oldest.max(value("hooklane_oldest_open_seconds"));
        let bytes = value("hooklane_delivery_bytes");
        let most = value("hooklane_delivery_bytes_max");
        assert!(bytes <= most, "{bytes} of {most} bytes");
    }

    fn p99(&self, first: usize) -> Duration {
        let mut late: Vec<Duration> = self.p.receiver.read(|all| {
            let of = |body: &[u8]| -> usize {
                let id = serde_json::from_slice::<Value>(body).unwrap()["id"].clone();
                id.as_str().unwrap()[1..].parse().unwrap()
            };
            let mine = all.iter().map(|request| (of(&request.body), request.at));
            mine.filter(|(n, _)| *n >= first)
                .map(|(n, at)| at.saturating_duration_since(self.sent[n]))
                .collect()
        });
        late.sort_unstable();
        late[late.len() * 99 / 100]
    }
}
