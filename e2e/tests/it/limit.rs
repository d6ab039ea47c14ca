//! The rate limit of an endpoint, over changes of owners and of the limit.

mod crash;
mod edit;
pub(crate) mod field;

use std::time::Instant;

use hooklane_model::time::UnixMillis;
use serde_json::{Value, json};

use crate::harness::{DEADLINE, Event, Kind, Pipeline, Service, Wants, subscription};

const PER_SECOND: f64 = 20.0;
/// Two seconds' worth: more than a new owner earns during a hand-over, so that
/// one who began with a full bucket would be seen.
const BURST: u32 = 40;
/// The sender's times are whole milliseconds, and a request starts as soon as
/// its thread comes to it after the decision.
const SENDER_JITTER: f64 = 0.05;
/// The receiver's thread has to come to a request, too, on cores that others
/// use; requests that it finds together did not start together.
const RECEIVER_JITTER: f64 = 0.25;

/// Goal: in every window, requests started <= rate x window + burst, also
/// while the lane goes from one dispatcher to the next and the next.
/// Method: more load than the limit, two dispatchers, each stopped in order
/// and replaced; every window between two requests is looked at, by the
/// receiver's clock and by the start times in the attempts topic.
#[test]
fn the_limit_holds_over_a_rolling_restart() {
    let p = Pipeline::new("limit");
    let limit =
        json!({"rateLimit": {"perSecond": PER_SECOND, "burst": BURST}, "maxConcurrency": 32});
    p.apply(&[
        p.source(),
        p.endpoint("/hook", limit),
        subscription("all", "/hook", json!({})),
    ]);
    let wanted = [Wants::new(("acme", "all"), "/hook", |_| true)];
    let [_ingest, _scheduler, one, other] = p.start([
        Kind::Ingest,
        Kind::RetryScheduler,
        Kind::Dispatcher,
        Kind::Dispatcher,
    ]);
    let load = p
        .events
        .load(30, |n| Event::new(format!("e{n}"), "acme", "order"));
    // Until the first burst is used up and a queue has grown.
    more(&p, 160);
    // The owner first, and then whoever has it then: two hand-overs at least.
    let owner = |service: &Service| service.metric("hooklane_deliveries_in_memory", &[]) > 0.0;
    let (first, second) = if owner(&one) {
        (one, other)
    } else {
        (other, one)
    };
    first.stop();
    let [third] = p.start([Kind::Dispatcher]);
    more(&p, 80);
    let (next, _last) = if owner(&second) {
        (second, third)
    } else {
        (third, second)
    };
    next.stop();
    more(&p, 80);
    let events = load.stop();
    let expected = p.expect(&wanted, &events);
    expected.wait(&p.receiver, DEADLINE);
    p.settled(DEADLINE);
    expected.check_once(&p.receiver);

    let received = p.receiver.read(|all| {
        let begin: Instant = all[0].at;
        all.iter()
            .map(|request| request.at.duration_since(begin).as_secs_f64())
            .collect()
    });
    let records = p.records(&p.names.attempts());
    let attempts = records.iter().flat_map(|record| {
        serde_json::from_slice::<Vec<Value>>(record.value.as_ref().unwrap()).unwrap()
    });
    let started = attempts.map(|attempt| {
        let at = UnixMillis::from_rfc3339(attempt["startedAt"].as_str().unwrap()).unwrap();
        at.since(UnixMillis(0)).as_secs_f64()
    });
    let beyond = |times| most_beyond(times, |at| PER_SECOND * at, f64::from(BURST));
    let (started, received) = (beyond(started.collect()), beyond(received));
    println!(
        "{} requests; at most {started:.1} beyond rate x window + burst by the sender, {received:.1} by the receiver",
        expected.len()
    );
    assert!(
        started <= PER_SECOND * SENDER_JITTER,
        "{started} too many by the sender's clock"
    );
    assert!(
        received <= PER_SECOND * RECEIVER_JITTER,
        "{received} too many by the receiver's clock"
    );
}

/// The most that any window between two of these times holds beyond rate x
/// window + burst. Negative when the limit was never reached. The rate by what
/// it allows up to a time.
pub(crate) fn most_beyond(mut times: Vec<f64>, allowed: impl Fn(f64) -> f64, burst: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
    for (n, at) in times.iter().enumerate() {
        // What lies between i and j is j - i + 1 requests in t_j - t_i.
        let ahead = f64::from(u32::try_from(n).unwrap()) - allowed(*at);
        least = least.min(ahead);
        most = most.max(ahead - least + 1.0 - burst);
    }
    most
}

/// Waits until so many more deliveries came.
fn more(p: &Pipeline, deliveries: usize) {
    let until = p.receiver.count("/hook") + deliveries;
    p.receiver.wait_count("/hook", until, DEADLINE).unwrap();
}
