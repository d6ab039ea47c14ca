//! Under construction.

/// Why a filter or pattern is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct FilterError {
    /// Path below the filter, beginning with `.` or `[`, or empty.
    pub path: String,
    /// Why.
    pub reason: String,
}
/// Filter.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter(serde_json::Value);
impl Filter {
    /// Parse.
    pub fn parse(value: &serde_json::Value) -> Result<Self, Vec<FilterError>> {
        Ok(Self(value.clone()))
    }
}
/// Pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventTypePattern(String);
impl EventTypePattern {
    /// Parse.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        Ok(Self(text.to_owned()))
    }
}
