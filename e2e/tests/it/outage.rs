//! Brokers that go away.

use std::time::{Duration, Instant};

use hooklane_test_support::{wait_for, wait_until};
use serde_json::json;

use crate::harness::{DEADLINE, Event, Kind, LANES, Load, Pipeline, Service, Wants, subscription};

/// Until the broker is started again, which takes it the rest of 30 s.
const OUTAGE: Duration = Duration::from_secs(26);
/// How soon deliveries go on after that, on a machine on which the broker
/// starts at once: nobody may have lost its membership, which would cost the
/// group another 45 s.
const SOON: Duration = Duration::from_secs(15);
/// An outage in which nobody has to: a session of 45 s less the time to come
/// back. On a busy machine the broker may take longer to start.
const WITHIN_SESSION: Duration = Duration::from_secs(38);
const SERVICES: [Kind; 4] = [
    Kind::Ingest,
    Kind::RetryScheduler,
    Kind::Dispatcher,
    Kind::Dispatcher,
];

/// Goal: services survive a Kafka that is away for 30 s, and go on by
/// themselves when it is back.
/// Method: SIGKILL of the only broker under load, restart on the same data;
/// no process may end meanwhile, and everything is delivered in the end.
#[test]
fn services_survive_thirty_seconds_without_kafka() {
    let p = Pipeline::with_own_cluster("outage", 1);
    let wanted = declare(&p);
    let mut services = p.start(SERVICES);
    let load = load(&p);
    more(&p, &mut services, 200);

    p.cluster().kill(1).unwrap();
    let end = Instant::now() + OUTAGE;
    wait_until("the outage to last", OUTAGE * 2, || {
        all_run(&mut services);
        Instant::now() >= end
    })
    .unwrap();
    let restart = Instant::now();
    p.cluster().restart(1).unwrap();

    let back = Instant::now();
    // A machine that is slow to start the broker is slow in what follows.
    let soon = SOON + (back - restart) * 2;
    more(&p, &mut services, 500);
    let (took, outage) = (back.elapsed(), OUTAGE + (back - end));
    println!("500 deliveries {took:?} after an outage of {outage:?}");
    assert!(
        took < soon || outage > WITHIN_SESSION,
        "{took:?} after an outage of {outage:?}"
    );
    finish(&p, &wanted, load, &mut services);
}

/// Goal: with three brokers and three replicas, losing one stops nothing.
/// Method: SIGKILL of the broker that leads a lane, under load; it stays
/// dead, and everything is delivered all the same.
#[test]
fn one_of_three_brokers_is_not_missed() {
    let p = Pipeline::with_own_cluster("three", 3);
    let wanted = declare(&p);
    let mut services = p.start(SERVICES);
    let load = load(&p);
    more(&p, &mut services, 200);

    let victim = leaders(&p, |_| true)[0];
    p.cluster().kill(victim).unwrap();
    let killed = Instant::now();
    more(&p, &mut services, 500);
    println!("500 deliveries {:?} after the kill", killed.elapsed());
    finish(&p, &wanted, load, &mut services);
    leaders(&p, |leader| leader != victim);
}

/// Waits until every lane is led, by a broker that `fits`; who leads each.
fn leaders(p: &Pipeline, fits: impl Fn(usize) -> bool) -> Vec<usize> {
    wait_for("a leader of each lane", DEADLINE, || {
        let known = p.cluster().leaders(&p.names.deliveries()).ok()?;
        let leaders: Vec<usize> = known.into_iter().map(|(_, leader)| leader).collect();
        let led = leaders.iter().all(|leader| *leader != 0 && fits(*leader));
        (led && leaders.len() == usize::from(LANES)).then_some(leaders)
    })
    .unwrap()
}

fn declare(p: &Pipeline) -> Vec<Wants> {
    let mut manifests = vec![p.source()];
    let mut wanted = Vec::new();
    for name in ["a", "b", "c", "d"] {
        let path = format!("/{name}");
        manifests.push(p.endpoint(&path, json!({})));
        manifests.push(subscription(name, &path, json!({})));
        wanted.push(Wants::new(("acme", name), &path, |_| true));
    }
    p.apply(&manifests);
    wanted
}

fn load(p: &Pipeline) -> Load {
    p.events
        .load(50, |n| Event::new(format!("e{n}"), "acme", "order"))
}

fn all_run(services: &mut [Service]) {
    for service in services {
        let ended = service.process.ended();
        assert!(
            ended.is_none(),
            "{:?} ended: {ended:?}\n{}",
            service.kind,
            service.process.log()
        );
    }
}

/// Waits until so many more deliveries came.
fn more(p: &Pipeline, services: &mut [Service], deliveries: usize) {
    let until = p.receiver.read(<[_]>::len) + deliveries;
    wait_until("deliveries to go on", DEADLINE, || {
        all_run(services);
        p.receiver.read(<[_]>::len) >= until
    })
    .unwrap();
}

/// Everything was delivered. Repeats are allowed: what was delivered and not
/// committed when the brokers went.
fn finish(p: &Pipeline, wanted: &[Wants], load: Load, services: &mut [Service]) {
    let events = load.stop();
    let expected = p.expect(wanted, &events);
    let mut tally = expected.wait(&p.receiver, DEADLINE);
    let books = p.settled(DEADLINE);
    tally.update(&p.receiver);
    expected.check(&tally);
    println!("{} deliveries, {} repeats", expected.len(), tally.repeats());
    assert_eq!(
        (&books["delivered"], &books["dead"]),
        (&json!(expected.len()), &json!(0)),
        "{books:#}"
    );
    all_run(services);
}
