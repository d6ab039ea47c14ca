//! As much of Kafka's protocol as it takes to ask a broker who it knows and to
//! create a topic, so that waiting for a cluster needs no client library (the
//! one that the product uses is under test).
//!
//! Versions are the oldest that Kafka 4 still answers, because their encoding
//! is the plainest.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail, ensure};

const METADATA: i16 = 3;
const CREATE_TOPICS: i16 = 19;

/// Longest answer that is read: metadata of a few hundred partitions is 50 KB.
const ANSWER_MAX: usize = 4 << 20;

/// What one broker knows of the cluster.
#[derive(Debug)]
pub(super) struct Metadata {
    /// Ids of the live brokers.
    pub(super) brokers: Vec<i32>,
    /// (partition, leader) of the topic that was asked for, sorted; empty when
    /// the topic is unknown.
    pub(super) leaders: Vec<(i32, i32)>,
}

pub(super) fn metadata(broker: SocketAddr, topic: Option<&str>) -> anyhow::Result<Metadata> {
    let mut body = Request::default();
    match topic {
        Some(topic) => body.i32(1).string(topic),
        None => body.i32(0),
    };
    let mut answer = call(broker, METADATA, 1, &body.0, Duration::from_secs(5))?;
    let mut brokers = Vec::new();
    for _ in 0..answer.i32()? {
        brokers.push(answer.i32()?);
        answer.string()?; // host
        answer.i32()?; // port
        answer.string()?; // rack
    }
    answer.i32()?; // controller
    let mut leaders = Vec::new();
    for _ in 0..answer.i32()? {
        answer.i16()?; // error: a topic that is unknown has no partitions
        answer.string()?;
        answer.bytes(1)?; // internal
        for _ in 0..answer.i32()? {
            answer.i16()?;
            leaders.push((answer.i32()?, answer.i32()?));
            for _ in 0..2 {
                let ids = answer.i32()?; // replicas, then those in sync
                for _ in 0..ids {
                    answer.i32()?;
                }
            }
        }
    }
    leaders.sort_unstable();
    Ok(Metadata { brokers, leaders })
}

pub(super) fn create_topic(
    broker: SocketAddr,
    topic: &str,
    partitions: i32,
    replicas: i16,
    configs: &[(&str, &str)],
) -> anyhow::Result<()> {
    let mut body = Request::default();
    body.i32(1).string(topic).i32(partitions).i16(replicas);
    body.i32(0); // no assignment by hand
    body.i32(i32::try_from(configs.len())?);
    for (key, value) in configs {
        body.string(key).string(value);
    }
    body.i32(30_000); // timeout, ms
    body.0.push(0); // not only a check
    let mut answer = call(broker, CREATE_TOPICS, 2, &body.0, Duration::from_secs(35))?;
    answer.i32()?; // throttled
    ensure!(answer.i32()? == 1, "one topic was asked for");
    answer.string()?;
    let code = answer.i16()?;
    let text = answer.string()?;
    ensure!(code == 0, "create topic {topic}: error {code} ({text})");
    Ok(())
}

fn call(
    broker: SocketAddr,
    api: i16,
    version: i16,
    body: &[u8],
    timeout: Duration,
) -> anyhow::Result<Answer> {
    let mut request = Request::default();
    request
        .i16(api)
        .i16(version)
        .i32(1)
        .string("hooklane-tests");
    request.0.extend_from_slice(body);
    let mut stream = TcpStream::connect_timeout(&broker, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(timeout))?;
    stream.write_all(&i32::try_from(request.0.len())?.to_be_bytes())?;
    stream.write_all(&request.0)?;
    let mut size = [0; 4];
    stream.read_exact(&mut size)?;
    let size = usize::try_from(i32::from_be_bytes(size))?;
    if size > ANSWER_MAX {
        bail!("an answer of {size} bytes from {broker}: not Kafka?");
    }
    let mut bytes = vec![0; size];
    stream.read_exact(&mut bytes)?;
    let mut answer = Answer { bytes, at: 0 };
    ensure!(
        answer.i32()? == 1,
        "an answer to another request from {broker}"
    );
    Ok(answer)
}

#[derive(Default)]
struct Request(Vec<u8>);

impl Request {
    fn i16(&mut self, value: i16) -> &mut Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    fn i32(&mut self, value: i32) -> &mut Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    fn string(&mut self, value: &str) -> &mut Self {
        let len = i16::try_from(value.len()).expect("names and options here are short");
        self.i16(len).0.extend_from_slice(value.as_bytes());
        self
    }
}

struct Answer {
    bytes: Vec<u8>,
    at: usize,
}

impl Answer {
    fn bytes(&mut self, len: usize) -> anyhow::Result<&[u8]> {
        let bytes = self
            .bytes
            .get(self.at..self.at + len)
            .context("an answer that ends early")?;
        self.at += len;
        Ok(bytes)
    }

    fn i16(&mut self) -> anyhow::Result<i16> {
        Ok(i16::from_be_bytes(self.bytes(2)?.try_into()?))
    }

    fn i32(&mut self) -> anyhow::Result<i32> {
        Ok(i32::from_be_bytes(self.bytes(4)?.try_into()?))
    }

    /// A null string is an empty one.
    fn string(&mut self) -> anyhow::Result<String> {
        let len = usize::try_from(self.i16()?).unwrap_or(0);
        Ok(String::from_utf8_lossy(self.bytes(len)?).into_owned())
    }
}
