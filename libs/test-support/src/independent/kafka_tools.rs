//! Kafka's own Java console tools: records that our client did not make, and
//! records of ours that another client reads.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use crate::kafka::java;
use crate::watchdog;

/// Between headers, key and value; not in JSON, names or ids.
const FIELDS: &str = "\u{1}";
const HEADERS: &str = "\u{2}";
const HEADER: &str = "\u{3}";
const NULL: &str = "\u{4}";

/// A record as the console tools know it: text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToolRecord {
    /// In order; names may repeat.
    pub headers: Vec<(String, String)>,
    /// Key.
    pub key: Option<String>,
    /// Value; `None` is a tombstone.
    pub value: Option<String>,
}

impl ToolRecord {
    /// A CloudEvent in binary mode: attributes as `ce_` headers, `data` as it is.
    #[must_use]
    pub fn cloudevent_binary(attributes: &[(&str, &str)], data: &str) -> ToolRecord {
        let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        headers.extend(
            attributes
                .iter()
                .map(|(name, value)| (format!("ce_{name}"), (*value).to_owned())),
        );
        ToolRecord {
            headers,
            key: None,
            value: Some(data.to_owned()),
        }
    }

    /// A CloudEvent in structured mode: everything in one JSON value.
    ///
    /// # Errors
    /// When `data` is not JSON.
    pub fn cloudevent_structured(
        attributes: &[(&str, &str)],
        data: &str,
    ) -> anyhow::Result<ToolRecord> {
        let mut event = serde_json::Map::new();
        event.extend(
            attributes
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).into())),
        );
        event.insert("datacontenttype".to_owned(), "application/json".into());
        event.insert(
            "data".to_owned(),
            serde_json::from_str(data).context("data")?,
        );
        let content_type = "application/cloudevents+json; charset=UTF-8";
        Ok(ToolRecord {
            headers: vec![("content-type".to_owned(), content_type.to_owned())],
            key: None,
            value: Some(serde_json::to_string(&event)?),
        })
    }

    /// The same with a key.
    #[must_use]
    pub fn key(self, key: &str) -> ToolRecord {
        ToolRecord {
            key: Some(key.to_owned()),
            ..self
        }
    }

    fn line(&self) -> anyhow::Result<String> {
        let pair = |(name, value): &(String, String)| format!("{name}{HEADER}{value}");
        let headers: Vec<_> = self.headers.iter().map(pair).collect();
        let headers = if headers.is_empty() {
            NULL.to_owned()
        } else {
            headers.join(HEADERS)
        };
        let key = self.key.as_deref().unwrap_or(NULL);
        let value = self.value.as_deref().unwrap_or(NULL);
        ensure!(
            !format!("{headers}{key}{value}").contains('\n'),
            "a record of several lines"
        );
        Ok(format!("{headers}{FIELDS}{key}{FIELDS}{value}\n"))
    }

    fn from_line(line: &str) -> anyhow::Result<ToolRecord> {
        let some = |text: &str| (text != NULL && text != "null").then(|| text.to_owned());
        let mut fields = line.splitn(3, FIELDS);
        let mut field = || {
            fields
                .next()
                .with_context(|| format!("not three fields: {line:?}"))
        };
        let (headers, key, value) = (field()?, field()?, field()?);
        let pair = |text: &str| {
            let (name, value) = text.split_once(':')?;
            Some((name.to_owned(), value.to_owned()))
        };
        let headers = if headers == "NO_HEADERS" { "" } else { headers };
        Ok(ToolRecord {
            headers: headers.split(HEADERS).filter_map(pair).collect(),
            key: some(key),
            value: some(value),
        })
    }
}

/// Writes records with Kafka's console producer (idempotent, acks of all).
///
/// # Errors
/// When the tool fails, with what it said.
pub fn produce(bootstrap: &str, topic: &str, records: &[ToolRecord]) -> anyhow::Result<()> {
    let mut lines = String::new();
    for record in records {
        lines.push_str(&record.line()?);
    }
    let mut command = java()?;
    command.arg("org.apache.kafka.tools.ConsoleProducer");
    command.args(["--bootstrap-server", bootstrap, "--topic", topic, "--sync"]);
    // Long enough for a busy machine; a topic that is not there costs all of it.
    command.args(["--max-block-ms", "15000"]);
    for (name, value) in [
        ("parse.key", "true"),
        ("parse.headers", "true"),
        ("headers.delimiter", FIELDS),
        ("headers.separator", HEADERS),
        ("headers.key.separator", HEADER),
        ("key.separator", FIELDS),
        ("null.marker", NULL),
    ] {
        command.args(["--property", &format!("{name}={value}")]);
    }
    // The console's reader needs a record per line, so its input is a file.
    let mut input = tempfile::tempfile()?;
    input.write_all(lines.as_bytes())?;
    std::io::Seek::rewind(&mut input)?;
    run("the console producer", command.stdin(input)).map(|_| ())
}

/// Reads the first `n` records of a topic with Kafka's console consumer.
///
/// # Errors
/// When fewer come within 30 s, or the tool fails.
pub fn consume(bootstrap: &str, topic: &str, n: usize) -> anyhow::Result<Vec<ToolRecord>> {
    let mut command = java()?;
    command.arg("org.apache.kafka.tools.consumer.ConsoleConsumer");
    command.args([
        "--bootstrap-server",
        bootstrap,
        "--topic",
        topic,
        "--from-beginning",
    ]);
    command.args(["--max-messages", &n.to_string(), "--timeout-ms", "90000"]);
    for (name, value) in [
        ("print.key", "true"),
        ("print.headers", "true"),
        ("key.separator", FIELDS),
        ("headers.separator", HEADERS),
        ("null.literal", NULL),
    ] {
        command.args(["--property", &format!("{name}={value}")]);
    }
    let text = run("the console consumer", &mut command)?;
    let records: Vec<_> = text
        .lines()
        .map(ToolRecord::from_line)
        .collect::<Result<_, _>>()?;
    ensure!(
        records.len() == n,
        "{} of {n} records came from {topic}",
        records.len()
    );
    Ok(records)
}

fn run(name: &str, command: &mut Command) -> anyhow::Result<String> {
    let child = watchdog::spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()))?;
    let id = child.id();
    let output = child.wait_with_output();
    watchdog::reaped(id);
    let output = output?;
    let errors = String::from_utf8_lossy(&output.stderr);
    // The producer exits with 0 even if a send failed; it logs that as an error.
    let failed = !output.status.success() || errors.contains("ERROR");
    ensure!(!failed, "{name} ended with {}: {errors}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}
