//! Metrics: families registered in one place per component, every label
//! child resolved at start, so that a zero is exported before the first event
//! and nothing looks up a label on a hot path.
//!
//! Names are `hooklane_<noun>_<unit>`, counters end in `_total`, units are
//! seconds and bytes. A label's values come from an enum ([`LabelValue`]) or
//! from a list known at start; per-partition gauges have a cap and must be
//! removed with the partition, and gauges by names that tenants choose have a
//! bound and are replaced together. Never a label with a URL, an id or an
//! error's text: those have no bound.

mod asked;
pub mod buckets;
mod doc;
mod handle;
mod keyed;
mod label;
mod partition;
mod process;
mod registry;

pub use doc::{FamilyDoc, reference_markdown};
pub use handle::{Counter, Gauge, GaugeF64, Histogram};
pub use keyed::KeyedGauges;
pub use label::{By, By2, LabelValue};
pub use partition::PartitionGauges;
pub use registry::{MetricsError, Registry};

#[cfg(test)]
mod tests;
