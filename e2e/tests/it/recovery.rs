//! Backlogs: of an endpoint that was dead, and of one that was paused.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hooklane_test_support::{Answer, Script, wait_until};
use serde_json::json;

use crate::harness::{DEADLINE, Event, Pipeline, Wants, subscription};
use crate::limit::most_beyond;

/// Deliveries for the dead endpoint. `HOOKLANE_E2E_BACKLOG=100000` is what the
/// service is made for, and takes a test build about ten minutes.
const BACKLOG: usize = 20_000;
const BACKLOG_VARIABLE: &str = "HOOKLANE_E2E_BACKLOG";
const PER_SECOND: u32 = 500;
const BURST: u32 = 50;
/// What the sender's thread may be late, beside what the receiver's is.
const SENDER_LATE: f64 = 0.1;
/// How long a probe, and then the backlog, may be waited for.
const PATIENCE: Duration = Duration::from_secs(600);
/// Deliveries in memory at the most, beside what the limit lets start within
/// the queue wait of 10 s: what is read ahead of what is sent.
const READ_AHEAD: u32 = 10_000;

/// Goal: the backlog of an endpoint that was dead comes back when it lives: all
/// of it, at the limit and not as a herd, and it never was in memory.
/// Method: an endpoint that answers 503 until everything for it is parked, and
/// then 200; windows of the limit by the receiver's clock, memory by metrics
/// sampled all the while.
#[test]
fn a_dead_endpoint_gets_its_backlog_at_its_limit() {
    let p = Pipeline::new("backlog");
    let lives = Arc::new(AtomicBool::new(false));
    let alive = lives.clone();
    let script = Script::by(move |_| {
        Answer::status(if alive.load(Ordering::SeqCst) {
            200
        } else {
            503
        })
    });
    p.receiver.script("/hook", script);
    let limit = json!({"perSecond": PER_SECOND, "burst": BURST});
    p.apply(&[
        p.source(),
        p.endpoint("/hook", json!({"rateLimit": limit, "maxConcurrency": 32})),
        subscription("all", "/hook", json!({})),
    ]);
    let wanted = [Wants::new(("acme", "all"), "/hook", |_| true)];
    let [ingest, dispatcher, _scheduler] = p.start_all();
    let count = std::env::var_os(BACKLOG_VARIABLE)
        .map_or(BACKLOG, |text| text.to_str().unwrap().parse().unwrap());
    let events: Vec<Event> = (0..count)
        .map(|n| Event::new(format!("e{n}"), "acme", "order"))
        .collect();
    for some in events.chunks(10_000) {
        p.events.store(some);
    }
    let mut most_in_memory: f64 = 0.0;
    let mut sample = || {
        let scrape = dispatcher.scrape();
        let value = |name| scrape.value(name, &[]).unwrap();
        most_in_memory = most_in_memory.max(value("hooklane_deliveries_in_memory"));
        scrape.sum("hooklane_parked_total", &[])
    };
    #[allow(clippy::cast_precision_loss, reason = "a hundred thousand at most")]
    let all = count as f64;
    wait_until("all to be parked", PATIENCE, || {
        let parked = sample();
        parked >= all && ingest.metric("hooklane_matched_deliveries_total", &[]) >= all
    })
    .unwrap();
    p.receiver_is_even();
    let refused = p.receiver.count("/hook");
    lives.store(true, Ordering::SeqCst);
    let alive = Instant::now();
    wait_until("a probe", PATIENCE, || {
        sample();
        p.receiver.count("/hook") > refused
    })
    .unwrap();
    println!(
        "{refused} requests refused; a probe {:.1?} after",
        alive.elapsed()
    );
    wait_until("the backlog", PATIENCE, || {
        sample();
        p.receiver.count("/hook") >= refused + count
    })
    .unwrap();
    println!("{count} deliveries {:.1?} after it lived", alive.elapsed());
    let expected = p.expect(&wanted, &events);
    let tally = expected.wait(&p.receiver, PATIENCE);
    expected.check(&tally);
    let books = p.settled(DEADLINE);
    assert_eq!(
        (&books["delivered"], &books["dead"], &books["repeats"]),
        (&json!(count), &json!(0), &json!(0)),
        "{books:#}"
    );

    came_at_the_limit(&p);
    println!("{most_in_memory} deliveries in memory at the most");
    // What waits for Kafka to take it back is in memory, too, and grows with
    // the size: the more is due at a time, the later its acks.
    let bound = f64::from(PER_SECOND * 10 + READ_AHEAD).max(all / 5.0);
    assert!(
        most_in_memory <= bound,
        "{most_in_memory} deliveries in memory"
    );
}

/// No window of the whole run held more requests than the limit lets through.
fn came_at_the_limit(p: &Pipeline) {
    let times = p.receiver.read(|all| {
        let begin = all[0].at;
        let mine = all.iter().filter(|request| request.route() == "/hook");
        mine.map(|request| request.at.saturating_duration_since(begin).as_secs_f64())
            .collect()
    });
    let beyond = most_beyond(times, |at| f64::from(PER_SECOND) * at, f64::from(BURST));
    let late = p.receiver.longest_stall().as_secs_f64() + SENDER_LATE;
    println!("{beyond:.1} beyond the limit");
    assert!(
        beyond <= f64::from(PER_SECOND) * late,
        "{beyond} requests too many in a window"
    );
}

/// Goal: pausing and resuming under load loses nothing and repeats nothing,
/// and nothing is sent meanwhile.
/// Method: a pause while deliveries flow; once the dispatcher has applied it
/// and a hundred more are parked, the receiver must have heard of none of
/// them.
#[test]
fn a_pause_under_load_loses_nothing() {
    let p = Pipeline::new("pause");
    p.apply(&[
        p.source(),
        p.endpoint("/hook", json!({})),
        subscription("all", "/hook", json!({})),
    ]);
    let wanted = [Wants::new(("acme", "all"), "/hook", |_| true)];
    let [_ingest, dispatcher, _scheduler] = p.start_all();
    let load = p
        .events
        .load(50, |n| Event::new(format!("e{n}"), "acme", "order"));
    p.receiver.wait_count("/hook", 50, DEADLINE).unwrap();
    let pause = |paused: bool| {
        let before = dispatcher.metric("hooklane_config_applied_offset", &[]);
        p.apply(&[p.endpoint("/hook", json!({"paused": paused}))]);
        dispatcher.wait_metric("hooklane_config_applied_offset", &[], before + 1.0);
    };
    pause(true);
    let paused = [("reason", "paused")];
    let one = dispatcher.metric("hooklane_parked_total", &paused) + 1.0;
    // The worker has it, too, when it parks; what it had started is open.
    dispatcher.wait_metric("hooklane_parked_total", &paused, one);
    wait_until("no request to be open", DEADLINE, || {
        dispatcher.metric("hooklane_requests_in_flight", &[]) == 0.0
    })
    .unwrap();
    p.receiver_is_even();
    let before = p.receiver.count("/hook");
    dispatcher.wait_metric("hooklane_parked_total", &paused, one + 100.0);
    assert_eq!(p.receiver.count("/hook"), before, "called while paused");
    pause(false);
    p.receiver
        .wait_count("/hook", before + 50, DEADLINE)
        .unwrap();
    let events = load.stop();
    let expected = p.expect(&wanted, &events);
    expected.wait(&p.receiver, DEADLINE);
    p.settled(DEADLINE);
    expected.check_once(&p.receiver);
}
