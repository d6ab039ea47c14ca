//! Names, duplicates, zero series, and the list that the docs are made from.

use super::*;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Color {
    Red,
    Blue,
}

impl LabelValue for Color {
    const ALL: &'static [Self] = &[Self::Red, Self::Blue];
    fn as_str(self) -> &'static str {
        match self {
            Self::Red => "red",
            Self::Blue => "blue",
        }
    }
}

fn lines(registry: &Registry, name: &str) -> Vec<String> {
    let text = registry.render().unwrap();
    let ours = |line: &&str| line.starts_with(name);
    text.lines().filter(ours).map(str::to_owned).collect()
}

#[test]
fn every_series_is_there_before_anything_happened() {
    let registry = Registry::new("test");
    registry.counter("hooklane_plain_total", "Plain.").unwrap();
    registry
        .counter_by::<Color>("hooklane_by_total", "By.", "color")
        .unwrap();
    registry
        .counter_by2::<Color, Color>("hooklane_pairs_total", "Pairs.", ["a", "b"])
        .unwrap();
    registry
        .counter_each("hooklane_each_total", "Each.", "rung", &["15s", "1m"])
        .unwrap();
    registry
        .histogram_by::<Color>("hooklane_took_seconds", "Took.", &[1.0], "color")
        .unwrap();
    assert_eq!(
        lines(&registry, "hooklane_plain"),
        ["hooklane_plain_total 0"]
    );
    assert_eq!(
        lines(&registry, "hooklane_by"),
        [
            r#"hooklane_by_total{color="blue"} 0"#,
            r#"hooklane_by_total{color="red"} 0"#
        ]
    );
    assert_eq!(lines(&registry, "hooklane_pairs").len(), 4);
    assert_eq!(
        lines(&registry, "hooklane_each"),
        [
            r#"hooklane_each_total{rung="15s"} 0"#,
            r#"hooklane_each_total{rung="1m"} 0"#
        ]
    );
    assert_eq!(
        lines(&registry, "hooklane_took_seconds_count"),
        [
            r#"hooklane_took_seconds_count{color="blue"} 0"#,
            r#"hooklane_took_seconds_count{color="red"} 0"#
        ]
    );
    assert_eq!(
        lines(&registry, "hooklane_build_info"),
        [format!(
            r#"hooklane_build_info{{component="test",version="{}"}} 1"#,
            env!("CARGO_PKG_VERSION")
        )]
    );
}

#[test]
fn a_handle_moves_its_own_series_only() {
    let registry = Registry::new("test");
    let by = registry
        .counter_by::<Color>("hooklane_by_total", "By.", "color")
        .unwrap();
    let pairs = registry
        .counter_by2::<Color, Color>("hooklane_p_total", "P.", ["a", "b"])
        .unwrap();
    let each = registry
        .gauge_each("hooklane_each", "Each.", "rung", &["1m", "15s"])
        .unwrap();
    by.get(Color::Blue).add(3);
    pairs.get(Color::Red, Color::Blue).inc();
    each[1].set_len(5);
    assert!(
        lines(&registry, "hooklane_by").contains(&r#"hooklane_by_total{color="blue"} 3"#.into())
    );
    assert_eq!(by.iter().map(|(_, counter)| counter.get()).sum::<u64>(), 3);
    let moved: Vec<_> = lines(&registry, "hooklane_p_")
        .into_iter()
        .filter(|line| !line.ends_with(" 0"))
        .collect();
    assert_eq!(moved, [r#"hooklane_p_total{a="red",b="blue"} 1"#]);
    assert!(lines(&registry, "hooklane_each").contains(&r#"hooklane_each{rung="15s"} 5"#.into()));
}

#[test]
fn duplicates_and_names_against_the_rules_are_errors() {
    let registry = Registry::new("test");
    registry.counter("hooklane_a_total", "A.").unwrap();
    for (error, expected) in [
        (
            registry.counter("hooklane_a_total", "A.").err(),
            "metric `hooklane_a_total` cannot be registered",
        ),
        (
            registry
                .counter_by::<Color>("hooklane_a_total", "B.", "c")
                .err(),
            "metric `hooklane_a_total` cannot be registered",
        ),
        (
            registry.counter("hooklane_c-d_total", "Dash.").err(),
            "metric `hooklane_c-d_total` cannot be registered",
        ),
        (
            registry.counter("a_total", "A.").err(),
            "metric `a_total` does not begin with `hooklane_`",
        ),
        (
            registry.counter("hooklane_a", "A.").err(),
            "metric `hooklane_a` breaks the rule that counters, and only they, end in `_total`",
        ),
    ] {
        assert_eq!(
            error.map(|error| error.to_string()).as_deref(),
            Some(expected)
        );
    }
    let gauge = registry
        .gauge("hooklane_b_total", "B.")
        .err()
        .map(|error| error.to_string());
    assert_eq!(
        gauge.as_deref(),
        Some(
            "metric `hooklane_b_total` breaks the rule that counters, and only they, end in `_total`"
        )
    );
}

#[test]
fn two_registries_in_one_process_share_nothing() {
    let (one, two) = (Registry::new("one"), Registry::new("two"));
    one.counter("hooklane_a_total", "A.").unwrap().inc();
    two.counter("hooklane_a_total", "A.").unwrap();
    assert_eq!(lines(&two, "hooklane_a_total"), ["hooklane_a_total 0"]);
}

#[test]
fn a_partition_is_exported_while_it_is_owned_and_up_to_a_cap() {
    let registry = Registry::new("test");
    let lag = registry
        .partition_gauges("hooklane_lag_records", "Lag.")
        .unwrap();
    lag.set("hooklane.deliveries", 3, 7.0);
    lag.set("hooklane.deliveries", 4, 0.5);
    assert_eq!(
        lines(&registry, "hooklane_lag"),
        [
            r#"hooklane_lag_records{partition="3",topic="hooklane.deliveries"} 7"#,
            r#"hooklane_lag_records{partition="4",topic="hooklane.deliveries"} 0.5"#,
        ]
    );
    lag.remove("hooklane.deliveries", 3);
    lag.remove("hooklane.deliveries", 9);
    assert_eq!(lines(&registry, "hooklane_lag").len(), 1);
    for partition in 0..10_000 {
        lag.set("t", partition, 1.0);
    }
    assert_eq!(
        lines(&registry, "hooklane_lag").len(),
        PartitionGauges::PARTITIONS_MAX
    );
}

#[test]
fn the_process_reports_itself_with_fractions_of_seconds() {
    let registry = Registry::new("test");
    let value = |name: &str| -> f64 {
        let line = lines(&registry, name).pop().unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    assert!(value("process_resident_memory_bytes") > 1e6);
    assert!(value("process_open_fds") >= 3.0);
    assert!(value("process_max_fds") >= value("process_open_fds"));
    assert!(value("process_threads") >= 1.0);
    let before = value("process_cpu_seconds_total");
    let mut after = before;
    while after == before {
        after = value("process_cpu_seconds_total");
    }
    assert!(after > before, "{before} {after}");
    assert!(
        after.fract() > 0.0 || before.fract() > 0.0,
        "{before} {after}"
    );
}

/// Goal: docs/metrics.md misses nothing. Method: what is scraped and what is
/// listed are the same names.
#[test]
fn the_list_of_families_is_what_is_scraped() {
    let registry = Registry::new("test");
    registry
        .counter_by::<Color>("hooklane_by_total", "By | colour.", "color")
        .unwrap();
    registry
        .histogram("hooklane_took_seconds", "Took.", buckets::ATTEMPT_SECONDS)
        .unwrap();
    let lag = registry
        .partition_gauges("hooklane_lag_records", "Lag.")
        .unwrap();
    let listed = registry.families();
    lag.set("t", 0, 1.0);
    let text = registry.render().unwrap();
    let scraped: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .collect();
    let names: Vec<_> = listed
        .iter()
        .map(|doc| (doc.name.as_str(), doc.kind))
        .collect();
    assert_eq!(names, scraped);
    assert_eq!(registry.families(), listed);
    let markdown = reference_markdown(&[("test", listed)]);
    for row in [
        "## test\n\n| Name | Type | Labels | Meaning |\n",
        "| `hooklane_by_total` | counter | `color` | By \\| colour. |\n",
        "| `hooklane_lag_records` | gauge | `topic`, `partition` | Lag. |\n",
        "| `hooklane_took_seconds` | histogram |  | Took. |\n",
        "| `process_cpu_seconds_total` | counter |  | CPU time",
    ] {
        assert!(markdown.contains(row), "{row}\n{markdown}");
    }
}

#[test]
fn buckets_rise_and_are_few() {
    for list in [
        buckets::ATTEMPT_SECONDS,
        buckets::EVENT_SECONDS,
        buckets::LATENESS_SECONDS,
        buckets::WAIT_SECONDS,
        buckets::SIZE_BYTES,
        buckets::COUNT,
    ] {
        assert!(list.is_sorted() && list.len() <= 16, "{list:?}");
    }
}

#[test]
fn keyed_gauges_export_the_rows_given_last_and_no_more_than_their_bound() {
    let registry = Registry::new("test");
    let gauges = registry
        .keyed_gauges("hooklane_waiting", "Waiting.", &["tenant", "endpoint"], 2)
        .unwrap();
    let row = |endpoint: &str, value| (vec!["acme".to_owned(), endpoint.to_owned()], value);
    let exported = || {
        let text = registry.render().unwrap();
        let rows = text
            .lines()
            .filter(|line| line.starts_with("hooklane_waiting{"));
        rows.map(str::to_owned).collect::<Vec<_>>()
    };
    gauges.replace([row("a", 1.0), row("b", 2.0), row("c", 3.0)]);
    assert_eq!(
        exported(),
        [
            r#"hooklane_waiting{endpoint="a",tenant="acme"} 1"#,
            r#"hooklane_waiting{endpoint="b",tenant="acme"} 2"#,
        ]
    );
    gauges.replace([row("b", 5.0)]);
    assert_eq!(
        exported(),
        [r#"hooklane_waiting{endpoint="b",tenant="acme"} 5"#]
    );
    gauges.replace([]);
    assert!(exported().is_empty());
}
