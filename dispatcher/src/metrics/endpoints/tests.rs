//! The endpoints with most waiting by name, and the rest as one.

use hooklane_model::lane::Lane;

use super::*;
use crate::testing::view_in;

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);
const WAITING: &str = "hooklane_endpoint_waiting_deliveries";

/// `endpoint value` of a family, in the order of the exposition.
fn rows(registry: &Registry, family: &str) -> Vec<String> {
    let text = registry.render().unwrap();
    let start = format!("{family}{{endpoint=\"");
    let rows = text.lines().filter_map(|line| line.strip_prefix(&start));
    rows.map(|row| {
        let (endpoint, rest) = row.split_once('"').unwrap();
        let value = rest.rsplit_once(' ').unwrap().1;
        format!("{endpoint} {value}")
    })
    .collect()
}

fn view(uid: u128, waiting: u64) -> EndpointView {
    view_in(Lane(1), uid, waiting)
}

fn show(metrics: &EndpointMetrics, worker: u16, views: &[EndpointView]) {
    let mut sum = metrics.sum();
    views.iter().for_each(|view| sum.add(view, NOW));
    metrics.publish(worker, sum);
}

/// Goal: the bound holds over all workers, sums are right, and a series goes
/// when its endpoint is no longer among the first.
#[test]
fn the_most_waiting_have_rows_and_the_rest_adds_up() {
    let registry = Registry::new("test");
    let metrics = EndpointMetrics::register(&registry, 2, 2).unwrap();
    show(
        &metrics,
        0,
        &[view(1, 1), view(2, 50), view(3, 30), view(4, 0)],
    );
    show(&metrics, 1, &[view(5, 40), view(6, 2)]);
    assert_eq!(rows(&registry, WAITING), ["_other 33", "e2 50", "e5 40"]);
    assert_eq!(
        rows(&registry, "hooklane_endpoint_waiting_bytes"),
        ["_other 33000", "e2 50000", "e5 40000"]
    );
    show(&metrics, 0, &[view(3, 30)]);
    assert_eq!(rows(&registry, WAITING), ["_other 2", "e3 30", "e5 40"]);
    show(&metrics, 1, &[]);
    assert_eq!(rows(&registry, WAITING), ["_other 0", "e3 30"]);
}

/// Goal: however many endpoints there are, the first and the sum are exact.
#[test]
fn of_many_the_first_are_found_whatever_their_order() {
    let registry = Registry::new("test");
    let metrics = EndpointMetrics::register(&registry, 3, 1).unwrap();
    let views: Vec<_> = (0..1_000)
        .map(|n| view(n.into(), n * 7919 % 1_000))
        .collect();
    let total: u64 = views.iter().map(EndpointView::waiting).sum();
    show(&metrics, 0, &views);
    let other = total - 999 - 998 - 997;
    let of = |waiting: u64| (0..1_000).find(|n| n * 7919 % 1_000 == waiting).unwrap();
    let mut expected = vec![format!("_other {other}")];
    expected.extend([999, 998, 997].map(|waiting| format!("e{} {waiting}", of(waiting))));
    expected.sort();
    let mut shown = rows(&registry, WAITING);
    shown.sort();
    assert_eq!(shown, expected);
}

#[test]
fn what_is_not_known_has_no_row_and_the_worst_stands_for_the_others() {
    let registry = Registry::new("test");
    let metrics = EndpointMetrics::register(&registry, 1, 1).unwrap();
    let later = |seconds: u64| Some(UnixMillis(NOW.0 + seconds * 1_000));
    let slow = |uid, seconds| EndpointView {
        oldest: Some(UnixMillis(NOW.0 - seconds * 1_000)),
        drain: Some(Duration::from_secs(seconds)),
        held_until: later(seconds),
        will_expire_at: later(seconds),
        ..view(uid, 1)
    };
    show(
        &metrics,
        0,
        &[view(1, 5), slow(2, 7), slow(3, 90), view(4, 2)],
    );
    let family = |name: &str| rows(&registry, &format!("hooklane_endpoint_{name}_seconds"));
    assert_eq!(family("oldest"), ["_other 90", "e1 0"]);
    assert_eq!(family("drain"), ["_other 90"]);
    assert_eq!(family("held"), ["_other 90"]);
    assert_eq!(family("expiry"), ["_other 7"]);
    show(&metrics, 0, &[]);
    assert!(family("expiry").is_empty());
}

/// Goal: two endpoints that take turns in the lead do not take turns in
/// having a series.
#[test]
fn a_row_is_kept_until_another_has_twice_as_much() {
    let registry = Registry::new("test");
    let metrics = EndpointMetrics::register(&registry, 1, 1).unwrap();
    show(&metrics, 0, &[view(1, 10), view(2, 9)]);
    for waiting in [11, 15, 19] {
        show(&metrics, 0, &[view(1, 10), view(2, waiting)]);
        let other = format!("_other {waiting}");
        assert_eq!(rows(&registry, WAITING), [&other, "e1 10"]);
    }
    show(&metrics, 0, &[view(1, 10), view(2, 21)]);
    assert_eq!(rows(&registry, WAITING), ["_other 10", "e2 21"]);
}

#[test]
fn without_rows_everything_is_one() {
    let registry = Registry::new("test");
    let metrics = EndpointMetrics::register(&registry, 0, 1).unwrap();
    show(&metrics, 0, &[view(1, 3), view(2, 4)]);
    assert_eq!(rows(&registry, WAITING), ["_other 7"]);
}
