//! Parts of this program as processes of their own, so that their CPU time is
//! told apart.

use std::time::Duration;

use anyhow::{Context, ensure};
use hooklane_test_support::Process;
use serde_json::Value;

/// Starts a hidden subcommand of this binary.
pub(crate) fn start(part: &str, args: &[&str]) -> anyhow::Result<Process> {
    let me = std::env::current_exe().context("where this program lies")?;
    let builder = Process::builder(me).arg(part);
    args.iter().fold(builder, |b, arg| b.arg(arg)).start()
}

/// Runs a floor to its end and returns the line of JSON that it printed.
pub(crate) fn run_floor(part: &str, args: &[&str], deadline: Duration) -> anyhow::Result<Floor> {
    let mut process = start(part, args)?;
    let code = process.wait_exit(deadline)?;
    let log = process.log();
    ensure!(code == 0, "{part} ended with {code}:\n{log}");
    let told = log.lines().last().unwrap_or_default();
    let told: Value =
        serde_json::from_str(told).with_context(|| format!("{part} printed:\n{log}"))?;
    let number = |name: &str| {
        told[name]
            .as_f64()
            .with_context(|| format!("{name} of {part}"))
    };
    Ok(Floor {
        count: told["count"].as_u64().context("count")?,
        cpu_seconds: number("cpuSeconds")?,
        seconds: number("seconds")?,
    })
}

/// What a floor took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Floor {
    /// Requests or records.
    pub(crate) count: u64,
    /// CPU of its process while it did them.
    pub(crate) cpu_seconds: f64,
    /// From the first to the last.
    pub(crate) seconds: f64,
}

impl Floor {
    /// The line that [`run_floor`] reads.
    pub(crate) fn to_json(self) -> String {
        serde_json::json!({
            "count": self.count, "cpuSeconds": self.cpu_seconds, "seconds": self.seconds,
        })
        .to_string()
    }
}
