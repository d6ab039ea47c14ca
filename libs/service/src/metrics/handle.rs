//! The handles that code holds: cheap to clone, safe to share.

use std::time::Duration;

/// A number that only grows.
#[derive(Clone, Debug)]
pub struct Counter(pub(super) prometheus::IntCounter);

impl Counter {
    /// One more.
    pub fn inc(&self) {
        self.0.inc();
    }

    /// `n` more.
    pub fn add(&self, n: u64) {
        self.0.inc_by(n);
    }

    /// Its value, for tests and live views.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.get()
    }
}

/// A whole number that goes up and down.
#[derive(Clone, Debug)]
pub struct Gauge(pub(super) prometheus::IntGauge);

impl Gauge {
    /// One more.
    pub fn inc(&self) {
        self.0.inc();
    }

    /// One less.
    pub fn dec(&self) {
        self.0.dec();
    }

    /// `n` more, or less.
    pub fn add(&self, n: i64) {
        self.0.add(n);
    }

    /// Exactly `n`.
    pub fn set(&self, n: i64) {
        self.0.set(n);
    }

    /// Exactly that many; a length, a number of bytes.
    pub fn set_len(&self, n: usize) {
        self.0.set(i64::try_from(n).unwrap_or(i64::MAX));
    }

    /// Its value, for tests and live views.
    #[must_use]
    pub fn get(&self) -> i64 {
        self.0.get()
    }
}

/// A number with fractions that goes up and down: seconds, ratios.
#[derive(Clone, Debug)]
pub struct GaugeF64(pub(super) prometheus::Gauge);

impl GaugeF64 {
    /// Exactly `value`.
    pub fn set(&self, value: f64) {
        self.0.set(value);
    }

    /// A duration in seconds.
    pub fn set_duration(&self, value: Duration) {
        self.0.set(value.as_secs_f64());
    }

    /// Its value, for tests and live views.
    #[must_use]
    pub fn get(&self) -> f64 {
        self.0.get()
    }
}

/// A distribution.
#[derive(Clone, Debug)]
pub struct Histogram(pub(super) prometheus::Histogram);

impl Histogram {
    /// One observation in the family's unit.
    pub fn observe(&self, value: f64) {
        self.0.observe(value);
    }

    /// One duration, in seconds.
    pub fn observe_duration(&self, value: Duration) {
        self.0.observe(value.as_secs_f64());
    }

    /// How many observations there were, for tests and live views.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.get_sample_count()
    }
}
