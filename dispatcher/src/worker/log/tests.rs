use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::testing::{endpoint, entry};

fn log(partitions: u16) -> AttemptsLog {
    AttemptsLog::new(NonZeroU16::new(partitions).unwrap())
}

fn deliveries(batch: &Batch) -> Vec<String> {
    let entries: Vec<Value> = serde_json::from_slice(batch.value()).unwrap();
    let told = |entry: &Value| entry["delivery"].as_str().unwrap().to_owned();
    entries.iter().map(told).collect()
}

#[test]
fn attempts_wait_for_others_until_they_are_old() {
    let mut log = log(3);
    let begin = Mono(1_000_000_000);
    assert!(!log.is_open());
    assert_eq!(log.add(&entry(1, &endpoint(1), true, 1), begin).count(), 0);
    assert_eq!(
        log.add(&entry(2, &endpoint(2), true, 1), begin.after(LINGER / 2))
            .count(),
        0
    );
    assert!(log.is_open() && !log.is_ripe(begin.after(LINGER / 2)));
    assert!(log.is_ripe(begin.after(LINGER)), "by the oldest");
    assert!(log.close().count() > 0);
    assert!(!log.is_open() && !log.is_ripe(begin.after(LINGER * 10)));
}

#[test]
fn a_record_is_full_at_its_bound() {
    let mut log = log(1);
    let endpoint = endpoint(1);
    let mut full = Vec::new();
    for n in 0..u32::try_from(2 * ENTRIES_MAX + 2).unwrap() {
        full.extend(log.add(&entry(n, &endpoint, true, 1), Mono(0)));
    }
    let sizes: Vec<usize> = full.iter().map(|batch| deliveries(batch).len()).collect();
    assert_eq!(sizes, [ENTRIES_MAX, ENTRIES_MAX]);
}

/// Together with others, an attempt that is larger than a record may be would
/// have them refused, too.
#[test]
fn a_large_attempt_stands_alone() {
    let mut log = log(1);
    let endpoint = endpoint(1);
    let mut records: Vec<Batch> = log.add(&entry(1, &endpoint, true, 1), Mono(0)).collect();
    records.extend(log.add(&entry(2, &endpoint, true, 2 * BYTES_MAX), Mono(0)));
    records.extend(log.add(&entry(3, &endpoint, true, 1), Mono(0)));
    records.extend(log.close());
    let held: Vec<usize> = records
        .iter()
        .map(|batch| deliveries(batch).len())
        .collect();
    assert_eq!(held, [1, 1, 1]);
    for (batch, n) in records.iter().zip(1..) {
        let settled = log.acked(batch.number().unwrap());
        assert_eq!(settled, [WorkId { slot: n, seq: n }], "its own deliveries");
    }
}

#[test]
fn a_record_that_settles_nothing_is_waited_for_by_nobody() {
    let mut log = log(1);
    assert_eq!(
        log.add(&entry(1, &endpoint(1), false, 1), Mono(0)).count(),
        0
    );
    let batch = log.close().next().unwrap();
    assert_eq!(batch.number(), None);
}

#[test]
fn a_buffer_is_filled_again_and_starts_empty() {
    let mut log = log(1);
    let endpoint = endpoint(1);
    for n in 0..3 {
        assert_eq!(log.add(&entry(n, &endpoint, true, 1), Mono(0)).count(), 0);
        let batch = log.close().next().unwrap();
        assert_eq!(deliveries(&batch).len(), 1);
        log.sent(batch);
        assert_eq!(log.spare.len(), 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever comes in: each attempt is in one record, those at one endpoint
    /// are in one partition and in their order, and the ack of a record
    /// settles exactly the deliveries whose last attempt it holds.
    #[test]
    fn nothing_is_lost_and_order_is_kept(
        attempts in prop::collection::vec((0u128..6, any::<bool>(), 1usize..3_000), 1..300),
        close_after in 1usize..100,
    ) {
        let mut log = log(4);
        let endpoints: Vec<_> = (0..6).map(endpoint).collect();
        let mut records: Vec<Batch> = Vec::new();
        let (mut expected, mut terminal) = (BTreeMap::<String, Vec<String>>::new(), BTreeSet::new());
        for (n, (uid, ends, bytes)) in (0u32..).zip(&attempts) {
            let entry = entry(n, &endpoints[usize::try_from(*uid).unwrap()], *ends, *bytes);
            expected
                .entry(entry.endpoint.meta.name.clone())
                .or_default()
                .push(entry.target.delivery.to_string());
            if *ends {
                terminal.insert(entry.work);
            }
            records.extend(log.add(&entry, Mono(0)));
            if (n as usize).is_multiple_of(close_after) {
                records.extend(log.close());
            }
        }
        records.extend(log.close());
        let (mut found, mut at) = (BTreeMap::<String, Vec<String>>::new(), BTreeMap::new());
        let mut settled = Vec::new();
        for batch in &records {
            let entries: Vec<Value> = serde_json::from_slice(batch.value()).unwrap();
            prop_assert!((1..=ENTRIES_MAX).contains(&entries.len()));
            prop_assert!(entries.len() == 1 || batch.value().len() <= BYTES_MAX + 1);
            for entry in &entries {
                let name = entry["endpoint"].as_str().unwrap().to_owned();
                let partition = at.entry(name.clone()).or_insert(batch.partition());
                prop_assert_eq!(*partition, batch.partition());
                let delivery = entry["delivery"].as_str().unwrap().to_owned();
                found.entry(name).or_default().push(delivery);
            }
            if let Some(number) = batch.number() {
                settled.extend(log.acked(number));
                prop_assert!(log.acked(number).is_empty(), "once");
            }
        }
        prop_assert_eq!(found, expected);
        prop_assert_eq!(settled.len(), terminal.len());
        prop_assert_eq!(settled.into_iter().collect::<BTreeSet<_>>(), terminal);
    }
}
