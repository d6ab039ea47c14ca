//! Several dispatchers.

use hooklane_test_support::wait_until;
use serde_json::json;

use crate::harness::{DEADLINE, Event, Kind, LANES, Load, Pipeline, Wants, subscription};

/// So many that with any placement each of three dispatchers has some: all
/// miss the lanes of one in 1 of 700,000 placements.
const ENDPOINTS: usize = 36;

/// Goal: dispatchers share the lanes, and one that comes or goes in order
/// loses nothing and repeats nothing.
/// Method: 1, then 3, then 1 again by SIGTERM, under 300 deliveries a second
/// to receivers that answer at once; each of the three has to deliver some.
#[test]
fn one_to_three_and_back_loses_and_repeats_nothing() {
    let p = Pipeline::new("scale");
    let wanted = declare(&p);
    let [_ingest, _scheduler, first] =
        p.start([Kind::Ingest, Kind::RetryScheduler, Kind::Dispatcher]);
    let load = p.events.load(300, |n| {
        Event::new(format!("e{n}"), "acme", &format!("t{}", n % ENDPOINTS))
    });
    more(&p, &load, 300);

    let [second, third] = p.start([Kind::Dispatcher, Kind::Dispatcher]);
    for service in [&first, &second, &third] {
        service.owns(LANES / 3);
        service.wait_metric("hooklane_delivered_total", &[], 100.0);
    }
    more(&p, &load, 300);

    second.stop();
    more(&p, &load, 300);
    first.stop();
    third.owns(LANES);
    more(&p, &load, 300);

    let events = load.stop();
    let expected = p.expect(&wanted, &events);
    expected.wait(&p.receiver, DEADLINE);
    let books = p.settled(DEADLINE);
    println!("{books:#}");
    expected.check_once(&p.receiver);
    assert_eq!(
        (&books["repeats"], &books["dead"]),
        (&json!(0), &json!(0)),
        "{books:#}"
    );
    third.stop();
}

/// Waits until so many more deliveries came.
fn more(p: &Pipeline, load: &Load, deliveries: usize) {
    let until = p.receiver.read(<[_]>::len) + deliveries;
    let came = wait_until("deliveries to go on", DEADLINE, || {
        p.receiver.read(<[_]>::len) >= until
    });
    came.unwrap_or_else(|error| panic!("{error}: {} sent", load.sent()));
}

fn declare(p: &Pipeline) -> Vec<Wants> {
    let mut manifests = vec![p.source()];
    let mut wanted = Vec::new();
    for n in 0..ENDPOINTS {
        let (path, name, event_type) = (format!("/e{n}"), format!("s{n}"), format!("t{n}"));
        manifests.push(p.endpoint(&path, json!({})));
        manifests.push(subscription(
            &name,
            &path,
            json!({"eventTypes": [event_type]}),
        ));
        wanted.push(Wants::new(("acme", &name), &path, move |event| {
            event.event_type == event_type
        }));
    }
    p.apply(&manifests);
    wanted
}
