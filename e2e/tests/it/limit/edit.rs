//! A limit that is changed while it binds.

use std::time::{Duration, Instant};

use hooklane_test_support::wait_until;
use serde_json::json;

use super::most_beyond;
use crate::harness::{DEADLINE, Event, Pipeline, Wants, subscription};

const BURST: u32 = 20;
/// A second, on a machine that is not busy; the command that changes the limit
/// takes about as long, and longer when it is.
const SOON: Duration = Duration::from_secs(1);
/// What the sender's thread may be late, beside what the receiver's is.
const SENDER_LATE: f64 = 0.1;

/// Goal: an edit counts within a second, up and down, and grants no burst.
/// Method: so many deliveries wait that the bucket stays empty: once the first
/// burst is gone, no window may hold one request more than the limits in force
/// allow, and a faster limit must show.
#[test]
fn an_edited_limit_counts_at_once_and_grants_nothing() {
    let p = Pipeline::new("edit").with_long_queues();
    let limited = |per_second: u32| {
        let limit = json!({"perSecond": per_second, "burst": BURST});
        p.endpoint("/hook", json!({"rateLimit": limit, "maxConcurrency": 32}))
    };
    p.apply(&[
        p.source(),
        limited(5),
        subscription("all", "/hook", json!({})),
    ]);
    let wanted = [Wants::new(("acme", "all"), "/hook", |_| true)];
    let _services = p.start_all();
    let events: Vec<Event> = (0..200)
        .map(|n| Event::new(format!("e{n}"), "acme", "order"))
        .collect();
    p.events.store(&events);
    let until = |requests| p.receiver.wait_count("/hook", requests, DEADLINE).unwrap();
    // The first burst, and then some at the limit.
    let steady = usize::try_from(BURST).unwrap() + 10;
    until(steady);

    let (up_from, _) = edit(&p, &limited(15));
    let waiting = Instant::now();
    let old = p.receiver.count("/hook");
    // Six seconds' worth, and eighteen at the old limit.
    until(old + 90);
    let took = waiting.elapsed();
    println!("90 requests in {took:.1?} at 15 a second");
    assert!(
        took < Duration::from_secs(12),
        "{took:?}: nearer to the limit before the edit"
    );

    let (_, down_by) = edit(&p, &limited(3));
    wait_until("the edit to count", DEADLINE, || Instant::now() > down_by).unwrap();
    until(p.receiver.count("/hook") + 12);
    let (end, _) = edit(&p, &limited(200));
    let expected = p.expect(&wanted, &events);
    expected.wait(&p.receiver, DEADLINE);
    p.settled(DEADLINE);
    expected.check_once(&p.receiver);

    // What the limits allow up to a time, at the most.
    let allowed = |at: Instant| {
        let seconds =
            |from: Instant, to: Instant| at.min(to).saturating_duration_since(from).as_secs_f64();
        let begin = up_from.checked_sub(DEADLINE).unwrap();
        5.0 * seconds(begin, up_from)
            + 15.0 * seconds(up_from, down_by)
            + 3.0 * seconds(down_by, end)
    };
    let times: Vec<Instant> = p.receiver.read(|all| {
        let steady = all.iter().map(|request| request.at).skip(steady);
        steady.take_while(|at| *at < end).collect()
    });
    let zero = up_from.checked_sub(DEADLINE).unwrap();
    let late = p.receiver.longest_stall().as_secs_f64() + SENDER_LATE;
    let beyond = most_beyond(
        times.iter().map(|at| (*at - zero).as_secs_f64()).collect(),
        |at| allowed(zero + Duration::from_secs_f64(at)),
        1.0,
    );
    println!("{beyond:.2} beyond the limits, allowed {:.2}", 15.0 * late);
    assert!(
        beyond <= 15.0 * late,
        "{beyond} requests too many in a window"
    );
}

/// Makes an edit; between when and when it began to count.
fn edit(p: &Pipeline, endpoint: &serde_json::Value) -> (Instant, Instant) {
    let begin = Instant::now();
    p.apply(std::slice::from_ref(endpoint));
    let end = Instant::now();
    (begin, end + SOON.max(end - begin))
}
