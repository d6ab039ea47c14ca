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
/// Bytes of an event.
const PAYLOAD: u16 = 1_024;
/// Bytes of deliveries that the dispatcher may hold: half of the backlog, and
/// twice what the limit lets start within the queue wait of 10 s.
const MEMORY: &str = "12MiB";
/// Deliveries that may come above that. Reading pauses there; under way to the
/// worker are then a turn's nine batches at the most, and as many behind them.
const UNDER_WAY: u16 = 18 * 256;

/// Goal: the backlog of an endpoint that was dead comes back when it lives: all
/// of it, at the limit and not as a herd, and in a memory that it does not fit.
/// Method: an endpoint that answers 503 until everything for it is parked, and
/// then 200; windows of the limit by the receiver's clock, bytes by metrics
/// sampled all the while. How many deliveries that are says nothing: what is
/// parked counts until Kafka has acked it, however slow Kafka is.
#[test]
fn a_dead_endpoint_gets_its_backlog_at_its_limit() {
    let p = Pipeline::new("backlog").set("HOOKLANE__DISPATCHER__MEMORY", MEMORY);
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
        .map(|n| {
            Event::new(format!("e{n}"), "acme", "order").payload(vec![b'x'; usize::from(PAYLOAD)])
        })
        .collect();
    for some in events.chunks(10_000) {
        p.events.store(some);
    }
    #[allow(clippy::cast_precision_loss, reason = "a hundred thousand at most")]
    let all = count as f64;
    let each = f64::from(PAYLOAD) + 200.0;
    let under_way = f64::from(UNDER_WAY) * each;
    let bound = dispatcher.metric("hooklane_delivery_bytes_max", &[]) + under_way;
    let backlog = all * each;
    assert!(backlog > bound, "{backlog} bytes would fit into {bound}");
    let mut most_bytes: f64 = 0.0;
    let mut sample = || {
        let scrape = dispatcher.scrape();
        most_bytes = most_bytes.max(scrape.value("hooklane_delivery_bytes", &[]).unwrap());
        scrape.sum("hooklane_parked_total", &[])
    };
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
    println!("{most_bytes} bytes of deliveries at the most, of {backlog}");
    assert!(most_bytes <= bound, "{most_bytes} bytes, over {bound}");
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
