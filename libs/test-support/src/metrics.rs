//! Prometheus text, read back: so that a test can ask for a number.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::{Context, ensure};

use crate::http;

/// One line of an exposition.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Name, with `_bucket`, `_sum` or `_count` where it is part of a histogram.
    pub name: String,
    /// Labels by name.
    pub labels: BTreeMap<String, String>,
    /// Value.
    pub value: f64,
}

/// All samples of one scrape.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scrape {
    /// In order of the text.
    pub samples: Vec<Sample>,
    /// Type (`counter`, `gauge`, `histogram`) by family name.
    pub types: BTreeMap<String, String>,
}

impl Scrape {
    /// Reads the text exposition format.
    ///
    /// # Errors
    /// On the first line that is not of it.
    pub fn parse(text: &str) -> anyhow::Result<Scrape> {
        let mut scrape = Scrape::default();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            if let Some(family) = line.strip_prefix("# TYPE ") {
                let (name, kind) = family.split_once(' ').with_context(|| line.to_owned())?;
                scrape.types.insert(name.to_owned(), kind.to_owned());
            } else if !line.starts_with('#') {
                scrape
                    .samples
                    .push(sample(line).with_context(|| line.to_owned())?);
            }
        }
        Ok(scrape)
    }

    /// The samples of this name that have at least these labels.
    pub fn matching<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&'a str, &'a str)],
    ) -> impl Iterator<Item = &'a Sample> {
        self.samples.iter().filter(move |sample| {
            let has =
                |(key, value): &(&str, &str)| sample.labels.get(*key).is_some_and(|v| v == value);
            sample.name == name && labels.iter().all(has)
        })
    }

    /// Their sum; 0 when there are none.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.matching(name, labels).map(|sample| sample.value).sum()
    }

    /// The value of the only one; `None` when there are none or several.
    #[must_use]
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut found = self.matching(name, labels);
        let first = found.next()?;
        found.next().is_none().then_some(first.value)
    }
}

/// Scrapes `http://addr/metrics`.
///
/// # Errors
/// When it doesn't answer 200 with the text format.
pub fn scrape(addr: SocketAddr) -> anyhow::Result<Scrape> {
    let (status, text) = http::get(addr, "/metrics")?;
    ensure!(status == 200, "{addr}/metrics answers {status}: {text}");
    Scrape::parse(&text)
}

fn sample(line: &str) -> anyhow::Result<Sample> {
    let end = line.find(['{', ' ']).context("no value")?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (key, after) = rest.split_once("=\"").context("a label without a value")?;
            let (value, after) = quoted(after)?;
            labels.insert(key.trim().to_owned(), value);
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        rest = &rest[1..];
    }
    // A timestamp may follow.
    let value = rest
        .split_whitespace()
        .next()
        .context("no value")?
        .parse()?;
    Ok(Sample {
        name: name.to_owned(),
        labels,
        value,
    })
}

/// Reads up to the closing quote; gives the value and what follows.
fn quoted(text: &str) -> anyhow::Result<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match chars.next().context("an escape at the end")?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    anyhow::bail!("a label value without an end")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_labels_and_values() {
        let text = "# HELP a_total Help.\n# TYPE a_total counter\na_total{k=\"x\",e=\"q\\\"\\\\\\n,}\"} 3\n\
                    a_total{k=\"y\"} 4.5 1700000000\nb 1e3\nh_bucket{le=\"+Inf\"} 7\n";
        let scrape = Scrape::parse(text).unwrap();
        assert_eq!(scrape.types["a_total"], "counter");
        assert_eq!(scrape.sum("a_total", &[]), 7.5);
        assert_eq!(scrape.value("a_total", &[]), None);
        assert_eq!(scrape.value("a_total", &[("e", "q\"\\\n,}")]), Some(3.0));
        assert_eq!(scrape.value("a_total", &[("k", "y")]), Some(4.5));
        assert_eq!(scrape.value("b", &[]), Some(1000.0));
        assert_eq!(scrape.value("h_bucket", &[("le", "+Inf")]), Some(7.0));
        assert_eq!(scrape.value("nothing", &[]), None);
    }

    #[test]
    fn names_the_line_that_is_wrong() {
        for line in ["a", "a{k=\"x} 1", "a{k} 1", "a one"] {
            let error = Scrape::parse(line).unwrap_err();
            assert_eq!(error.to_string(), line);
        }
    }
}
