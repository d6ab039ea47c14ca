//! The one kind of series that comes and goes: gauges per owned partition.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::handle::GaugeF64;
use super::registry::locked;

/// Gauges per owned partition; a partition's series goes when it is removed.
#[derive(Clone, Debug)]
pub struct PartitionGauges {
    vec: prometheus::GaugeVec,
    owned: Arc<Mutex<BTreeMap<(String, i32), GaugeF64>>>,
}

impl PartitionGauges {
    /// Most series of one family: every lane (512) and rung of a process that
    /// owns all, with room. A partition beyond it is not exported.
    pub const PARTITIONS_MAX: usize = 2_048;

    pub(super) fn new(vec: prometheus::GaugeVec) -> Self {
        Self {
            vec,
            owned: Arc::default(),
        }
    }

    /// Sets a partition's value, exporting it from now on.
    pub fn set(&self, topic: &str, partition: i32, value: f64) {
        let mut owned = locked(&self.owned);
        let key = (topic.to_owned(), partition);
        if !owned.contains_key(&key) {
            if owned.len() >= Self::PARTITIONS_MAX {
                return;
            }
            let labels = [topic, &partition.to_string()];
            // Two labels are declared and two given: it cannot fail.
            let Ok(gauge) = self.vec.get_metric_with_label_values(&labels) else {
                return;
            };
            owned.insert(key.clone(), GaugeF64(gauge));
        }
        if let Some(gauge) = owned.get(&key) {
            gauge.set(value);
        }
    }

    /// Stops exporting a partition: it belongs to somebody else now.
    pub fn remove(&self, topic: &str, partition: i32) {
        if locked(&self.owned)
            .remove(&(topic.to_owned(), partition))
            .is_some()
        {
            // Present until now, so it is there to be removed.
            self.vec
                .remove_label_values(&[topic, &partition.to_string()])
                .ok();
        }
    }
}
