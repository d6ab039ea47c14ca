//! Gauges by names that tenants choose, and so bounded: only the rows given
//! last are exported.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use super::registry::locked;

/// Gauges whose rows are replaced together.
#[derive(Clone, Debug)]
pub struct KeyedGauges {
    vec: prometheus::GaugeVec,
    rows_max: usize,
    exported: Arc<Mutex<BTreeSet<Vec<String>>>>,
}

impl KeyedGauges {
    pub(super) fn new(vec: prometheus::GaugeVec, rows_max: usize) -> Self {
        Self {
            vec,
            rows_max,
            exported: Arc::default(),
        }
    }

    /// Exports these rows and no others: label values in the order that the
    /// family was declared with, and the value. Rows beyond the bound are
    /// left out.
    pub fn replace(&self, rows: impl IntoIterator<Item = (Vec<String>, f64)>) {
        let mut exported = locked(&self.exported);
        let mut now = BTreeSet::new();
        for (labels, value) in rows.into_iter().take(self.rows_max) {
            // As many labels as are declared, or the row is nobody's.
            if let Ok(gauge) = self.vec.get_metric_with_label_values(&labels) {
                gauge.set(value);
                now.insert(labels);
            }
        }
        for gone in exported.difference(&now) {
            // Present until now, so it is there to be removed.
            self.vec.remove_label_values(gone).ok();
        }
        *exported = now;
    }
}
