//! One of our binaries as a child, with its log in a file.
//!
//! The log is part of every error, and is printed when the test that owns the
//! process panics. A process ends with its owner, and with the test process.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::NamedTempFile;

use crate::http;
use crate::metrics::{Scrape, scrape};
use crate::wait::{wait_for, wait_until};
use crate::watchdog;

const LOG_SHOWN: usize = 200;

/// What to start.
#[derive(Debug)]
pub struct ProcessBuilder(Command);

impl ProcessBuilder {
    /// One more argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.0.arg(arg);
        self
    }

    /// One more variable; the child has ours as well.
    #[must_use]
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.0.env(key, value);
        self
    }

    /// Starts it, in a process group of its own, without input.
    ///
    /// # Errors
    /// When the program can't be started.
    pub fn start(mut self) -> anyhow::Result<Process> {
        let program = Path::new(self.0.get_program());
        let name = program
            .file_name()
            .unwrap_or_default()
            .display()
            .to_string();
        let log = NamedTempFile::with_prefix(format!("{name}-"))?;
        self.0
            .stdin(Stdio::null())
            .stdout(log.reopen()?)
            .stderr(log.as_file().try_clone()?);
        let child = watchdog::spawn(&mut self.0)?;
        Ok(Process {
            name,
            child,
            log,
            status: None,
        })
    }
}

/// A running (or ended) child; killed when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: NamedTempFile,
    status: Option<ExitStatus>,
}

impl Process {
    /// To be given arguments and environment, then started.
    #[must_use]
    pub fn builder(program: impl AsRef<OsStr>) -> ProcessBuilder {
        ProcessBuilder(Command::new(program))
    }

    /// Process id, also after it has ended.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it wrote so far, to either stream.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log.path()).unwrap_or_default()).into_owned()
    }

    /// The exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().ok().flatten();
            if self.status.is_some() {
                watchdog::reaped(self.child.id());
            }
        }
        self.status
    }

    /// Waits until `http://addr/readyz` answers 200.
    ///
    /// # Errors
    /// After `deadline`, or when the process ends; with the log.
    pub fn wait_ready(&mut self, addr: SocketAddr, deadline: Duration) -> anyhow::Result<()> {
        let what = format!("{} to be ready at {addr}", self.name);
        wait_for(&what, deadline, || {
            if let Some(status) = self.ended() {
                return Some(Err(anyhow!(
                    "{} ended before it was ready: {status}",
                    self.name
                )));
            }
            http::get(addr, "/readyz")
                .is_ok_and(|(status, _)| status == 200)
                .then_some(Ok(()))
        })
        .and_then(|ready| ready)
        .with_context(|| self.log_tail())
    }

    /// Waits until the log has a line with this text.
    ///
    /// # Errors
    /// After `deadline`; with the log.
    pub fn wait_log(&self, text: &str, deadline: Duration) -> anyhow::Result<()> {
        wait_until(
            &format!("{:?} in the log of {}", text, self.name),
            deadline,
            || self.log().contains(text),
        )
        .with_context(|| self.log_tail())
    }

    /// Scrapes `http://addr/metrics`.
    ///
    /// # Errors
    /// When it doesn't answer; with the log.
    pub fn scrape(&self, addr: SocketAddr) -> anyhow::Result<Scrape> {
        scrape(addr).with_context(|| self.log_tail())
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill9(&mut self) {
        if self.ended().is_none() {
            self.child.kill().ok();
            self.status = self.child.wait().ok();
            watchdog::reaped(self.child.id());
        }
    }

    /// SIGTERM, and waits for the exit code.
    ///
    /// # Errors
    /// As [`Process::wait_exit`].
    pub fn sigterm_and_wait(&mut self, deadline: Duration) -> anyhow::Result<i32> {
        self.sigterm()?;
        self.wait_exit(deadline)
    }

    /// Waits for the exit code.
    ///
    /// # Errors
    /// After `deadline`, or when a signal ended it; with the log.
    pub fn wait_exit(&mut self, deadline: Duration) -> anyhow::Result<i32> {
        let status = wait_for(&format!("{} to end", self.name), deadline, || self.ended())
            .with_context(|| self.log_tail())?;
        let ended_by = || anyhow!("{} was ended by signal {:?}", self.name, status.signal());
        status
            .code()
            .with_context(|| format!("{}\n{}", ended_by(), self.log_tail()))
    }

    /// SIGSTOP: it keeps its connections and does nothing.
    ///
    /// # Errors
    /// When it has ended.
    pub fn pause(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// When it has ended.
    pub fn resume(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    /// SIGTERM, without waiting.
    ///
    /// # Errors
    /// When it has ended.
    pub fn sigterm(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::TERM)
    }

    fn signal(&mut self, signal: Signal) -> anyhow::Result<()> {
        let ended = self.ended();
        ensure!(
            ended.is_none(),
            "{} has ended ({ended:?})\n{}",
            self.name,
            self.log_tail()
        );
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let from = log.lines().count().saturating_sub(LOG_SHOWN);
        let tail: Vec<_> = log.lines().skip(from).collect();
        format!(
            "--- log of {} ({})\n{}\n---",
            self.name,
            self.id(),
            tail.join("\n")
        )
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill9();
        if std::thread::panicking() {
            // Not through eprintln, which a test in another thread would not see.
            writeln!(std::io::stderr(), "{}", self.log_tail()).ok();
        }
    }
}
