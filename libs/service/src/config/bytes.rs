//! Sizes as people write them: `64KiB`, `256MiB`.

/// Units in bytes. Only powers of two: a memory limit in `MB` is nearly
/// always meant as `MiB`, so the other is refused and not guessed.
const UNITS: [(&str, u64); 4] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// Reads a size; `None` if it is not one or does not fit.
pub(super) fn parse(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let factor = UNITS.iter().find(|(name, _)| *name == unit)?.1;
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// A size as a person would write it: in the largest unit that divides it.
pub(super) fn format(bytes: u64) -> String {
    let (unit, factor) = UNITS
        .into_iter()
        .rev()
        .find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor))
        .unwrap_or(UNITS[0]);
    format!("{}{unit}", bytes / factor)
}

#[cfg(test)]
mod tests {
    use super::{format, parse};

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("256MiB", Some(268_435_456)),
            ("64KiB", Some(65_536)),
            ("1GiB", Some(1_073_741_824)),
            (" 7B ", Some(7)),
            ("7", None),
            ("MiB", None),
            ("1MB", None),
            ("1 MiB", None),
            ("-1B", None),
            ("99999999999999999999B", None),
            ("99999999999999GiB", None),
        ] {
            assert_eq!(parse(text), bytes, "{text}");
        }
    }

    #[test]
    fn sizes_are_shown_as_they_are_written() {
        for (bytes, text) in [
            (0, "0B"),
            (1, "1B"),
            (1_025, "1025B"),
            (65_536, "64KiB"),
            (1 << 20, "1MiB"),
            (3 << 30, "3GiB"),
        ] {
            assert_eq!(format(bytes), text);
            assert_eq!(parse(text), Some(bytes));
        }
    }
}
