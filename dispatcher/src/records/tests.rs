use std::collections::{BTreeMap, BTreeSet};

use hooklane_engine::DeadReason;
use hooklane_service::metrics::Registry;
use serde_json::Value;

use super::*;
use crate::attempt::failed_end;
use crate::metrics::EndClass;
use crate::metrics::failures::{Failures, UNSENDABLE};
use crate::testing::{endpoint, entry};

fn failed(reason: &'static str, side: Side) -> Ended {
    ended(&AttemptEnd::Failed { reason, side })
}

#[test]
fn a_tenant_cannot_tell_refused_from_silent_and_forbidden() {
    let forbidden = failed("forbidden_address", Side::Receiver);
    assert!(forbidden.hides_time);
    for (reason, side) in [
        ("connect_refused", Side::Receiver),
        ("connect_timeout", Side::Network),
        ("connect", Side::Network),
        ("dns_internal", Side::Network),
    ] {
        assert_eq!(failed(reason, side), forbidden, "{reason}");
    }
    let blocked = ended(&AttemptEnd::Blocked {
        reason: "proxy",
        side: Side::Us,
    });
    assert_eq!(
        (blocked.failure, blocked.side),
        (Some("internal"), Some("us"))
    );
    let timeout = failed("timeout_response_headers", Side::Receiver);
    assert_eq!(timeout.failure, Some("timeout_response_headers"));
    assert_eq!(timeout.side, Some("receiver"));
    assert_eq!(failed("no_valid_secret", Side::Us).side, Some("us"));
}

/// A row of the table in docs/formats.md: what a reason is called for tenants,
/// and on whose side it is, for them and for operators.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    shown: String,
    side: String,
    metric_side: String,
}

/// The table "Failures", by reason.
fn documented() -> BTreeMap<String, Row> {
    let page = include_str!("../../../docs/formats.md");
    let table = page.split("| reason (metric) |").nth(1).unwrap();
    let rows = table.lines().skip(2).take_while(|l| l.starts_with('|'));
    let mut found = BTreeMap::new();
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, reasons, failure, side, _when, _] = cells[..] else {
            panic!("{row}");
        };
        let (side, of_metric) = side.split_once(" (metric: ").unwrap_or((side, ""));
        let word = |text: &str| text.trim_matches('`').to_owned();
        let metric_side = match of_metric.strip_suffix(')') {
            Some(other) => word(other),
            None => word(side),
        };
        for reason in reasons.split(", ").map(word) {
            let shown = match failure {
                "the same" => reason.clone(),
                other => word(other),
            };
            let told = Row {
                shown,
                side: word(side),
                metric_side: metric_side.clone(),
            };
            assert_eq!(found.insert(reason, told), None, "{row}");
        }
    }
    found
}

fn side_of(word: &str) -> Side {
    let sides = [Side::Receiver, Side::Network, Side::Us];
    let found = sides.into_iter().find(|side| side.as_str() == word);
    found.unwrap_or_else(|| panic!("{word} is no side"))
}

/// Every way in which an attempt can end without a response, as the sender
/// finds it or before there is a request.
fn every_end(documented: &BTreeMap<String, Row>) -> Vec<(&'static str, AttemptEnd)> {
    let sent = FailureReason::ALL.into_iter().map(|reason| {
        let end = failed_end(reason);
        (reason.as_str(), end)
    });
    // What they say of sides stands where they are found.
    let unsendable = UNSENDABLE.iter().map(|reason| {
        let row = documented.get(*reason);
        let row = row.unwrap_or_else(|| panic!("docs/formats.md: no {reason}"));
        let side = side_of(&row.metric_side);
        (*reason, AttemptEnd::Failed { reason, side })
    });
    sent.chain(unsendable).collect()
}

/// Goal: no reason is known in one place and not in another. Method: every
/// one, as a metric, in the attempts log, in a dead letter and in the
/// documentation, which lists no other.
#[test]
fn every_failure_is_in_the_metrics_the_records_and_the_documentation() {
    let documented = documented();
    let registry = Registry::new("test");
    let failures = Failures::register(&registry).unwrap();
    let ends = every_end(&documented);
    for (reason, end) in &ends {
        let row = documented.get(*reason);
        let row = row.unwrap_or_else(|| panic!("docs/formats.md: no {reason}"));
        failures.count(end);
        assert_eq!(failures.counted(reason), 1, "{reason}");
        let class = EndClass::of(end).as_str();
        assert_eq!(class, format!("failed_{}", row.metric_side), "{reason}");

        let mut entry = entry(1, &endpoint(1), false, 1);
        entry.result.end = end.clone();
        let mut logged = Vec::new();
        attempt(&entry, &mut logged);
        let logged: Value = serde_json::from_slice(&logged).unwrap();
        assert_eq!(logged["failure"], row.shown, "{reason}");
        assert_eq!(logged["side"], row.side, "{reason}");
        assert_eq!(logged.get("status"), None, "{reason}");

        let order = BuryOrder {
            work: entry.work,
            endpoint: Some(entry.endpoint.clone()),
            envelope: entry.envelope.clone(),
            target: entry.target,
            reason: DeadReason::Exhausted,
            last: Some(entry.result.clone()),
            without_bytes: false,
        };
        let note: Value = serde_json::from_slice(&dead_note(&order, UnixMillis(0))).unwrap();
        assert_eq!(note["lastFailure"], row.shown, "{reason}");
        assert_eq!(note["lastSide"], row.side, "{reason}");
    }
    let known: BTreeSet<&str> = ends.iter().map(|(reason, _)| *reason).collect();
    let listed: BTreeSet<&str> = documented.keys().map(String::as_str).collect();
    assert_eq!(listed, known);
    assert_eq!(failures.counted("other"), 0);
}

/// Goal: an alert watches for reasons that there are. Method: those that the
/// page's expressions name.
#[test]
fn alerts_name_reasons_that_there_are() {
    let page = include_str!("../../../docs/operations.md");
    let documented = documented();
    let named = page.split("failures_total{reason=~\"").skip(1);
    let named: Vec<&str> = named
        .flat_map(|rest| rest.split('"').next().unwrap().split("\\|"))
        .collect();
    assert!(named.contains(&"proxy") && named.len() > 3, "{named:?}");
    for reason in named {
        assert!(documented.contains_key(reason), "{reason}");
    }
}
