//! A receiver in Python: a second opinion on what we put on the wire.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::wait::wait_until;
use crate::watchdog;

const SCRIPT: &str = include_str!("receiver.py");

/// A running `python3` with [`http.server`](https://docs.python.org/3/library/http.server.html).
#[derive(Debug)]
pub struct PythonReceiver {
    addr: SocketAddr,
    child: Child,
    folder: TempDir,
}

/// A request as Python saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PythonRequest {
    /// Method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Names in lower case, in order.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl PythonRequest {
    /// The first header of this name (lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }
}

impl PythonReceiver {
    /// Starts it on a free port.
    ///
    /// # Errors
    /// When there is no `python3`, or it can't listen.
    pub fn start() -> anyhow::Result<PythonReceiver> {
        let folder = TempDir::with_prefix("hooklane-python-")?;
        watchdog::remove_folder_at_exit(folder.path())?;
        let script = folder.path().join("receiver.py");
        fs::write(&script, SCRIPT)?;
        let mut command = Command::new("python3");
        command
            .arg("-I")
            .arg(&script)
            .arg(folder.path().join("requests"));
        let mut child = watchdog::spawn(
            command
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(fs::File::create(folder.path().join("errors"))?),
        )?;
        let mut port = String::new();
        let stdout = child
            .stdout
            .take()
            .context("stdout was asked for as a pipe")?;
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut receiver = PythonReceiver {
            addr,
            child,
            folder,
        };
        BufReader::new(stdout).read_line(&mut port)?;
        let port = port.trim().parse();
        receiver
            .addr
            .set_port(port.with_context(|| format!("python3: {}", receiver.errors()))?);
        Ok(receiver)
    }

    /// URL of a path; with `?status=503` it answers so.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// Every request so far.
    ///
    /// # Errors
    /// When a line of its log can't be read.
    pub fn requests(&self) -> anyhow::Result<Vec<PythonRequest>> {
        let lines = fs::read_to_string(self.folder.path().join("requests")).unwrap_or_default();
        // The last line may be half written.
        let whole = lines.rfind('\n').map_or("", |end| &lines[..end]);
        whole.lines().map(request).collect()
    }

    /// Waits for at least `n` requests.
    ///
    /// # Errors
    /// After `deadline`, with what Python complained of.
    pub fn wait_count(&self, n: usize, deadline: Duration) -> anyhow::Result<()> {
        wait_until(
            &format!("{n} requests at the Python receiver"),
            deadline,
            || self.requests().is_ok_and(|all| all.len() >= n),
        )
        .with_context(|| {
            format!(
                "{} came; {}",
                self.requests().unwrap_or_default().len(),
                self.errors()
            )
        })
    }

    fn errors(&self) -> String {
        fs::read_to_string(self.folder.path().join("errors")).unwrap_or_default()
    }
}

impl Drop for PythonReceiver {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        watchdog::reaped(self.child.id());
    }
}

fn request(line: &str) -> anyhow::Result<PythonRequest> {
    let value: Value = serde_json::from_str(line)?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let headers = value["headers"].as_array().context("no headers")?;
    Ok(PythonRequest {
        method: text(&value["method"]),
        path: text(&value["path"]),
        headers: headers
            .iter()
            .map(|pair| (text(&pair[0]), text(&pair[1])))
            .collect(),
        body: from_hex(&text(&value["body"]))?,
    })
}

fn from_hex(hex: &str) -> anyhow::Result<Vec<u8>> {
    ensure!(hex.len().is_multiple_of(2), "hex of odd length");
    let byte = |at| Ok(u8::from_str_radix(&hex[at..at + 2], 16)?);
    (0..hex.len()).step_by(2).map(byte).collect()
}
