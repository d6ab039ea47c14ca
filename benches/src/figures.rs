//! Values of repeated runs, and how they are shown.

use std::fmt;

/// The values of one figure over all rounds; shown as median (min-max).
#[derive(Clone, Debug, Default)]
pub(crate) struct Spread(Vec<f64>);

impl Spread {
    pub(crate) fn add(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The middle value, or the mean of the two in the middle; NaN of nothing.
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        match sorted.len() {
            0 => f64::NAN,
            n if n % 2 == 1 => sorted[n / 2],
            n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
        }
    }

    /// Where a quarter and three quarters of the values lie below; NaN of
    /// nothing.
    pub(crate) fn quartiles(&self) -> (f64, f64) {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
        let quarter = sorted.len() / 4;
        (
            at(quarter),
            at((3 * sorted.len() / 4).min(sorted.len().saturating_sub(1))),
        )
    }

    fn ends(&self) -> (f64, f64) {
        let least = self.0.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        (least, most)
    }
}

impl FromIterator<f64> for Spread {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.pad("-");
        }
        let (least, most) = self.ends();
        // Whole numbers for rates, three digits for seconds and ratios.
        let digits = if self.median() >= 100.0 { 0 } else { 3 };
        let text = format!(
            "{:.digits$} ({least:.digits$}-{most:.digits$})",
            self.median()
        );
        f.pad(&text)
    }
}

/// A count as a float; exact for every count that a run can reach.
#[allow(
    clippy::cast_precision_loss,
    reason = "counts of a run are far below 2^52"
)]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

/// `cost` of `count` things, as the cost of 100,000.
pub(crate) fn per_100_000(cost: f64, count: u64) -> f64 {
    cost * 1e5 / float(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(values: &[f64]) -> Spread {
        values.iter().copied().collect()
    }

    #[test]
    fn the_median_is_the_middle_whatever_the_order() {
        assert_eq!(spread(&[3.0, 1.0, 2.0]).median(), 2.0);
        assert_eq!(spread(&[4.0, 1.0, 2.0, 3.0]).median(), 2.5);
        assert!(spread(&[]).median().is_nan());
    }

    #[test]
    fn a_spread_shows_median_and_ends() {
        assert_eq!(spread(&[3.0, 1.0, 2.0]).to_string(), "2.000 (1.000-3.000)");
        assert_eq!(spread(&[2000.4, 1000.0]).to_string(), "1500 (1000-2000)");
        assert_eq!(spread(&[]).to_string(), "-");
    }

    #[test]
    fn quartiles_cut_off_a_quarter_at_each_end() {
        assert_eq!(spread(&[5.0, 1.0, 4.0, 2.0, 3.0]).quartiles(), (2.0, 4.0));
        assert_eq!(spread(&[1.0]).quartiles(), (1.0, 1.0));
        assert!(spread(&[]).quartiles().0.is_nan());
    }

    #[test]
    fn costs_scale_to_100_000() {
        assert_eq!(per_100_000(3.0, 200_000), 1.5);
    }
}
