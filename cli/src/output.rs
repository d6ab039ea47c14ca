//! How data is shown.

use std::io::{self, Write};

use clap::ValueEnum;
use hooklane_model::time::UnixMillis;
use serde_json::Value;

use crate::error::CliError;

/// How resources are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// The stored documents.
    Json,
    /// The stored documents, as can be applied again.
    Yaml,
    /// `kind/tenant/name`.
    Name,
}

/// How one thing is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OneFormat {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
    /// For programs that like YAML.
    Yaml,
}

impl OneFormat {
    /// Writes `value` if it is to be shown as data; `false` says that it is
    /// for people.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn data(
        self,
        out: &mut dyn Write,
        value: impl FnOnce() -> Value,
    ) -> Result<bool, CliError> {
        match self {
            Self::Table => return Ok(false),
            Self::Json => json(out, &value())?,
            Self::Yaml => write!(out, "{}", yaml(&value())?)?,
        }
        Ok(true)
    }
}

/// How reports are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

/// Writes rows in columns that are as wide as they must be, the first row
/// being the heading.
///
/// # Errors
/// Those of `out`.
pub fn table(out: &mut dyn Write, rows: &[Vec<String>]) -> io::Result<()> {
    table_with_gap(out, rows, 3)
}

/// The same with `gap` spaces between columns.
///
/// # Errors
/// Those of `out`.
pub fn table_with_gap(out: &mut dyn Write, rows: &[Vec<String>], gap: usize) -> io::Result<()> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            let gap = width + gap - cell.chars().count();
            line.extend(std::iter::repeat_n(' ', gap));
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// Writes a JSON value over several lines.
///
/// # Errors
/// Those of `out`.
pub fn json(out: &mut dyn Write, value: &Value) -> Result<(), CliError> {
    writeln!(out, "{value:#}")?;
    Ok(())
}

/// A value as YAML, ending in a line break.
///
/// # Errors
/// None for values that came from YAML or JSON.
pub fn yaml(value: &Value) -> Result<String, CliError> {
    Ok(serde_norway::to_string(value)?)
}

/// How long ago `then` was, in its largest unit.
#[must_use]
pub fn age(now: UnixMillis, then: UnixMillis) -> String {
    let seconds = now.since(then).as_secs();
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A number of bytes in its largest unit, to a tenth.
#[must_use]
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1 << 10 {
        return format!("{bytes} B");
    }
    let unit = (bytes.ilog2() / 10).min(4);
    let tenths = (u128::from(bytes) * 10) >> (10 * unit);
    let name = UNITS[unit as usize - 1];
    format!("{}.{} {name}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_characters() {
        let rows = [
            vec!["NAME", "X", "LAST"],
            vec!["Zürich", "", "a"],
            vec!["b", "long", ""],
        ];
        let rows: Vec<Vec<String>> = rows
            .iter()
            .map(|row| row.iter().map(ToString::to_string).collect())
            .collect();
        let mut out = Vec::new();
        table(&mut out, &rows).unwrap();
        let shown = String::from_utf8(out).unwrap();
        assert_eq!(
            shown,
            "NAME     X      LAST\n\
             Zürich          a\n\
             b        long\n"
        );
    }

    #[test]
    fn sizes_are_round() {
        for (bytes, shown) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1.0 KiB"),
            (1_600, "1.5 KiB"),
            ((1 << 20) - 1, "1023.9 KiB"),
            (5 << 30, "5.0 GiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(size(bytes), shown);
        }
    }

    #[test]
    fn ages_are_round() {
        let now = UnixMillis(1_000_000_000_000);
        for (seconds, shown) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (7_199, "119m"),
            (7_200, "2h"),
            (172_799, "47h"),
            (172_800, "2d"),
        ] {
            assert_eq!(age(now, UnixMillis(now.0 - seconds * 1000)), shown);
        }
        assert_eq!(age(now, UnixMillis(now.0 + 5_000)), "0s", "a clock behind");
    }
}
