//! Durations as people write them in manifests and configuration: `15s`, `5m`.

use std::time::Duration;

use thiserror::Error;

/// Why a text is not a duration.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum DurationError {
    /// Not a number with a unit, or several of those.
    #[error(
        "`{0}` is not a duration; write a number and a unit, as in 250ms, 15s, 5m, 2h, 3d or 1h30m"
    )]
    Syntax(String),
    /// More than the type holds.
    #[error("`{0}` is too long a duration")]
    TooLong(String),
}

/// Units in falling order with their milliseconds.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Reads `15s`, `250ms`, `3d` or a sum such as `1h30m`.
///
/// # Errors
/// [`DurationError`] names the text and shows the accepted forms.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let syntax = || DurationError::Syntax(text.to_owned());
    let too_long = || DurationError::TooLong(text.to_owned());
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(syntax());
    }
    let mut millis: u64 = 0;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .ok_or_else(syntax)?;
        let number = &rest[..digits];
        rest = &rest[digits..];
        let letters = rest
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(rest.len());
        let unit = &rest[..letters];
        rest = &rest[letters..];
        if number.is_empty() {
            return Err(syntax());
        }
        let number: u64 = number.parse().map_err(|_| too_long())?;
        let factor = UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(syntax)?
            .1;
        millis = number
            .checked_mul(factor)
            .and_then(|part| millis.checked_add(part))
            .ok_or_else(too_long)?;
    }
    Ok(Duration::from_millis(millis))
}

/// Writes a duration so that [`parse`] reads it back, to the millisecond.
#[must_use]
pub fn format(duration: Duration) -> String {
    let mut millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, factor) in UNITS {
        let count = millis / factor;
        millis %= factor;
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_people_write() {
        for (text, millis) in [
            ("15s", 15_000),
            ("250ms", 250),
            ("1h30m", 5_400_000),
            ("3d", 259_200_000),
            ("0s", 0),
            (" 5m ", 300_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn refuses_the_rest() {
        for text in ["", "15", "s", "1.5s", "-1s", "5 m", "5min", "1s2"] {
            assert!(
                matches!(parse(text), Err(DurationError::Syntax(_))),
                "{text}"
            );
        }
        assert!(matches!(
            parse("99999999999999999999d"),
            Err(DurationError::TooLong(_))
        ));
        assert!(matches!(
            parse("300000000000d"),
            Err(DurationError::TooLong(_))
        ));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(millis in 0u64..u64::MAX / 2) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse(&format(duration)), Ok(duration));
        }
    }
}
