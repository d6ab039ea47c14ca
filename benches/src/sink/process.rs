//! The sink as a child, and what it tells.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use hooklane_test_support::{Process, free_addr, get, wait_until};
use serde_json::Value;

use crate::children;

/// A sink that runs; ends when dropped.
pub(crate) struct SinkProcess {
    _process: Process,
    addr: SocketAddr,
}

/// What came since the last reset.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SinkStats {
    pub(crate) requests: u64,
    /// Heads and bodies.
    pub(crate) bytes: u64,
    /// Connections that brought a request, those of before the reset not
    /// counted.
    pub(crate) connections: u64,
    /// From the first request to the last.
    pub(crate) seconds: f64,
    /// Requests whose payload said when it was sent; the rest is about them.
    pub(crate) timed: u64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) p999: Duration,
    pub(crate) max: Duration,
}

impl SinkProcess {
    pub(crate) fn start() -> anyhow::Result<Self> {
        Self::start_at(free_addr()?)
    }

    pub(crate) fn start_at(addr: SocketAddr) -> anyhow::Result<Self> {
        Self::start_with(addr, &[])
    }

    /// One that ends each connection after one answer.
    pub(crate) fn start_closing() -> anyhow::Result<Self> {
        Self::start_with(free_addr()?, &["--closing"])
    }

    fn start_with(addr: SocketAddr, args: &[&str]) -> anyhow::Result<Self> {
        let listen = addr.to_string();
        let process = children::start("sink", &[&["--listen", &listen], args].concat())?;
        let sink = Self {
            _process: process,
            addr,
        };
        wait_until("the sink to answer", Duration::from_secs(10), || {
            sink.stats().is_ok()
        })?;
        Ok(sink)
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn reset(&self) -> anyhow::Result<()> {
        self.ask("/reset").map(drop)
    }

    pub(crate) fn stats(&self) -> anyhow::Result<SinkStats> {
        let told = self.ask("/stats")?;
        let number = |name: &str| {
            told[name]
                .as_u64()
                .with_context(|| format!("{name} of the sink"))
        };
        let micros = |name: &str| number(name).map(Duration::from_micros);
        let nanos = number("lastNanos")?.saturating_sub(number("firstNanos")?);
        Ok(SinkStats {
            requests: number("requests")?,
            bytes: number("bytes")?,
            connections: number("connections")?,
            seconds: Duration::from_nanos(nanos).as_secs_f64(),
            timed: number("timed")?,
            p50: micros("p50Micros")?,
            p99: micros("p99Micros")?,
            p999: micros("p999Micros")?,
            max: micros("maxMicros")?,
        })
    }

    fn ask(&self, path: &str) -> anyhow::Result<Value> {
        let (status, body) = get(self.addr, path)?;
        ensure!(status == 200, "the sink answers {status} to {path}");
        Ok(serde_json::from_str(&body)?)
    }
}
