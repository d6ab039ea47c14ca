//! Values compared exactly: text, number, boolean, null.

use std::cmp::Ordering;

use serde_json::Value;

/// A number in a form in which equal values are equal: whole numbers as
/// integers however they were written, the rest as the bits of a double.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Number {
    Int(i128),
    /// Never whole below 2^64, never NaN.
    Float(u64),
}

/// Doubles from here on stay doubles: no JSON integer of ours is as large.
const INT_END: f64 = 18_446_744_073_709_551_616.0;

impl Number {
    pub(crate) fn of(number: &serde_json::Number) -> Self {
        if let Some(int) = number.as_i64() {
            return Self::Int(i128::from(int));
        }
        if let Some(int) = number.as_u64() {
            return Self::Int(i128::from(int));
        }
        // Every number without arbitrary precision is one of the three.
        Self::of_f64(number.as_f64().unwrap_or(0.0))
    }

    #[allow(
        clippy::cast_possible_truncation,
        reason = "whole and below 2^64 in size, so the integer is exact"
    )]
    fn of_f64(float: f64) -> Self {
        if float.fract() == 0.0 && float.abs() < INT_END {
            Self::Int(float as i128)
        } else {
            Self::Float(float.to_bits())
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        match (*self, *other) {
            (Self::Int(a), Self::Int(b)) => a.cmp(&b),
            (Self::Float(a), Self::Float(b)) => f64::from_bits(a).total_cmp(&f64::from_bits(b)),
            (Self::Int(a), Self::Float(b)) => int_against_float(a, f64::from_bits(b)),
            (Self::Float(a), Self::Int(b)) => int_against_float(b, f64::from_bits(a)).reverse(),
        }
    }
}

/// Exact, where a cast of the integer to a double would round it.
#[allow(
    clippy::cast_possible_truncation,
    reason = "the float is below 2^64 in size where it is cast, and floored"
)]
fn int_against_float(int: i128, float: f64) -> Ordering {
    if float >= INT_END {
        Ordering::Less
    } else if float <= -INT_END {
        Ordering::Greater
    } else if int <= float.floor() as i128 {
        Ordering::Less
    } else {
        Ordering::Greater
    }
}

/// What a condition can be equal to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scalar {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
}

impl Scalar {
    /// `None` for lists and objects.
    pub(crate) fn of(value: &Value) -> Option<Self> {
        Some(match value {
            Value::Null => Self::Null,
            Value::Bool(flag) => Self::Bool(*flag),
            Value::Number(number) => Self::Number(Number::of(number)),
            Value::String(text) => Self::Text(text.clone()),
            Value::Array(_) | Value::Object(_) => return None,
        })
    }

    /// Whether `value` is this scalar, without copying it.
    pub(crate) fn equals(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Null, Value::Null) => true,
            (Self::Bool(a), Value::Bool(b)) => a == b,
            (Self::Number(a), Value::Number(b)) => *a == Number::of(b),
            (Self::Text(a), Value::String(b)) => a == b,
            _ => false,
        }
    }

    pub(crate) fn equals_text(&self, text: &str) -> bool {
        matches!(self, Self::Text(own) if own == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        Number::of(&serde_json::from_str(text).unwrap())
    }

    #[test]
    fn one_number_however_written() {
        for (a, b) in [
            ("1", "1.0"),
            ("300", "3e2"),
            ("0", "-0.0"),
            ("18446744073709551615", "18446744073709551615"),
        ] {
            assert_eq!(number(a), number(b), "{a} {b}");
        }
        assert_ne!(number("9007199254740993"), number("9007199254740992"));
        assert_ne!(number("0.1"), number("0.2"));
    }

    #[test]
    fn order_is_exact() {
        let rising = [
            "-1e300",
            "-1.5",
            "-1",
            "-0.5",
            "0",
            "0.5",
            "1",
            "1.5",
            "9007199254740992",
            "9007199254740993",
            "18446744073709551615",
            "1e20",
        ];
        for (i, a) in rising.iter().enumerate() {
            for (j, b) in rising.iter().enumerate() {
                assert_eq!(number(a).cmp(&number(b)), i.cmp(&j), "{a} {b}");
            }
        }
    }
}
