//! Where reading begins on a partition that the group has no offset for.
//!
//! It is decided once, from what the source says, and committed before the
//! first record is read: from then on the group's offset counts, and a reader
//! that finds neither its offset nor a rule for one does not exist.
//!
//! `hooklane apply` resolves `startFrom: latest` when it creates a source, so
//! that what is produced between then and the first reader is not missed. A
//! partition that is not in that list is newer and starts at 0. The group's
//! offset belongs to the topic: a source that is deleted and created again
//! goes on where the group stood.

use std::sync::Arc;
use std::time::Duration;

use hooklane_kafka::consumer::{ConsumerError, GroupConsumer};
use hooklane_kafka::record::TopicPartition;
use hooklane_model::resource::{Source, StartFrom};

use crate::view::View;

/// How long one question to the brokers may take. Polling stands still
/// meanwhile, which the group allows for a minute.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// The offset each partition begins at, those without a committed one
/// committed now.
pub(crate) fn resolve(
    consumer: &GroupConsumer,
    view: &View,
    partitions: &[TopicPartition],
) -> Result<Vec<(TopicPartition, i64)>, ConsumerError> {
    let mut starts = Vec::with_capacity(partitions.len());
    let mut first = Vec::new();
    for (tp, committed) in consumer.committed(partitions, ASK_TIMEOUT)? {
        let start = match committed {
            Some(offset) => offset,
            None => {
                let ask = || consumer.watermarks(&tp, ASK_TIMEOUT);
                let start = start_of(view.sources_of(&tp.topic), tp.partition, ask)?;
                first.push((tp.clone(), start));
                start
            }
        };
        starts.push((tp, start));
    }
    if !first.is_empty() {
        consumer.commit_sync(&first)?;
        for (tp, offset) in &first {
            tracing::info!(
                topic = &*tp.topic,
                partition = tp.partition,
                offset,
                "first offset committed"
            );
        }
    }
    Ok(starts)
}

/// The earliest of what the sources of a topic ask for. The log's ends are
/// asked for only if a source depends on them.
fn start_of<E>(
    sources: &[Arc<Source>],
    partition: i32,
    ends: impl Fn() -> Result<(i64, i64), E>,
) -> Result<i64, E> {
    let mut earliest = None;
    for source in sources {
        let start = match (source.spec.start_from, &source.start_offsets) {
            (StartFrom::Earliest, _) => ends()?.0,
            (StartFrom::Latest, Some(offsets)) => offsets.get(&partition).copied().unwrap_or(0),
            (StartFrom::Latest, None) => ends()?.1,
        };
        earliest = Some(earliest.map_or(start, |other: i64| other.min(start)));
    }
    match earliest {
        Some(start) => Ok(start),
        // The last source of the topic went away a moment ago.
        None => Ok(ends()?.1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hooklane_model::resource::{Manifest, parse_yaml};

    fn source(start: &str, offsets: Option<&[(i32, i64)]>) -> Arc<Source> {
        let yaml = format!(
            "apiVersion: hooklane/v1\nkind: Source\nmetadata: {{name: s}}\n\
             spec: {{topic: shop, tenant: {{fixed: acme}}, startFrom: {start}}}"
        );
        let Manifest::Source(mut source) = parse_yaml(&yaml).unwrap().remove(0).manifest else {
            panic!("a source");
        };
        source.start_offsets = offsets.map(|list| list.iter().copied().collect());
        Arc::new(source)
    }

    #[test]
    fn a_source_says_where_to_begin() {
        let latest = source("latest", Some(&[(0, 7)]));
        let unresolved = source("latest", None);
        let earliest = source("earliest", None);
        let all = [unresolved.clone(), latest.clone(), earliest.clone()];
        let cases = [
            (vec![latest.clone()], 0, 7),
            (vec![latest], 1, 0),
            (vec![unresolved], 0, 90),
            (vec![earliest], 0, 5),
            (all.to_vec(), 0, 5),
            (vec![], 0, 90),
        ];
        for (sources, partition, expected) in cases {
            let start = start_of(&sources, partition, || Ok::<_, ()>((5, 90)));
            assert_eq!(
                start,
                Ok(expected),
                "{partition} of {} sources",
                sources.len()
            );
        }
        let resolved = [source("latest", Some(&[(0, 7)]))];
        assert_eq!(
            start_of(&resolved, 0, || Err("brokers are away")),
            Ok(7),
            "nobody was asked"
        );
    }
}
