//! Enums whose values are words in records and labels of metrics.
//!
//! The trait lives here so that whoever owns such an enum can implement it
//! without knowing a metrics library.

/// An enum that can be a label: its values are all there from the start.
pub trait LabelValue: Copy + PartialEq + 'static {
    /// Every value, each once.
    const ALL: &'static [Self];

    /// The text in the exposition: lower-case words joined by underscores.
    fn as_str(self) -> &'static str;

    /// Its place in [`LabelValue::ALL`].
    fn index(self) -> usize {
        let at = Self::ALL.iter().position(|value| *value == self);
        at.expect("LabelValue::ALL lists every value of the enum")
    }
}
