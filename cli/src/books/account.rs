//! Reading the topics into a ledger.

use std::collections::BTreeMap;

use hooklane_kafka::record::TopicPartition;
use hooklane_kafka::scan::{group_offsets, scan};
use hooklane_model::ladder::Rung;

use super::{Account, Ledger};
use crate::cluster::{Cluster, PATIENCE};
use crate::error::CliError;

/// Takes stock of a cluster, which may be at work.
///
/// The order makes the account exact nevertheless: a service commits a record
/// only when what came of it is in the topics, so whoever reads the committed
/// offsets first and the topics' ends after them finds it there. Attempts and
/// dead letters come last: they are where deliveries end.
///
/// # Errors
/// When a topic or the offsets of a group cannot be read.
pub fn take_stock(cluster: &Cluster) -> Result<Account, CliError> {
    let (settings, names) = (&cluster.settings, &cluster.names);
    let delays: Vec<String> = Rung::ALL.iter().map(|rung| names.delay(*rung)).collect();
    let group = |name: &str| format!("{}{name}", names.prefix());
    let mut committed: BTreeMap<TopicPartition, i64> = group_offsets(
        settings,
        &group("dispatcher"),
        &[names.deliveries()],
        PATIENCE,
    )?;
    committed.extend(group_offsets(
        settings,
        &group("retry-scheduler"),
        &delays,
        PATIENCE,
    )?);
    let mut topics = vec![names.deliveries()];
    topics.extend(delays);
    topics.extend([names.attempts(), names.dead()]);
    let mut ledger = Ledger::new(names, committed);
    scan(settings, &topics, PATIENCE, &mut |record| {
        ledger.add(&record);
    })?;
    Ok(ledger.close())
}
