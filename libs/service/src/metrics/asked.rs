//! Gauges whose values are asked for at each scrape, because whoever would
//! set them may be what stands still.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

/// The rows of a family with one label: the label's value and the gauge's.
pub(super) type Rows = Box<dyn Fn() -> Vec<(String, f64)> + Send + Sync>;

/// A family that is asked for.
pub(super) struct AskedGauges {
    pub(super) vec: prometheus::GaugeVec,
    pub(super) rows: Rows,
}

impl Collector for AskedGauges {
    fn desc(&self) -> Vec<&Desc> {
        self.vec.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.vec.reset();
        for (value, gauge) in (self.rows)() {
            self.vec.with_label_values(&[&value]).set(gauge);
        }
        self.vec.collect()
    }
}
