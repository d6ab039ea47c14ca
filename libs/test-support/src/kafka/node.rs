//! One broker process: its folder, its ports, its signals.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::distribution;
use crate::wait::wait_for;
use crate::watchdog;

/// A broker that is told to stop moves its leaderships away first; one that
/// takes longer than this hangs on a majority that is gone.
const STOP: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: usize,
    pub(super) broker: SocketAddr,
    pub(super) controller: SocketAddr,
    /// A second listener, and where clients find it: behind a proxy.
    pub(super) far: Option<(SocketAddr, SocketAddr)>,
    folder: PathBuf,
    child: Option<Child>,
}

impl Node {
    pub(super) fn new(id: usize, broker: SocketAddr, controller: SocketAddr, root: &Path) -> Self {
        let folder = root.join(format!("node-{id}"));
        Node {
            id,
            broker,
            controller,
            far: None,
            folder,
            child: None,
        }
    }

    /// Writes the configuration and what the storage formatter would leave.
    /// `voters` is the quorum as the configuration names it.
    pub(super) fn format(
        &self,
        cluster_id: &str,
        voters: &str,
        nodes: usize,
    ) -> anyhow::Result<()> {
        let data = self.folder.join("data");
        fs::create_dir_all(&data)?;
        let shared = distribution::repository().join("deploy/kafka/server.properties");
        let mut text = fs::read_to_string(&shared).with_context(|| shared.display().to_string())?;
        let Node {
            id,
            broker,
            controller,
            ..
        } = self;
        let majority = nodes.div_ceil(2);
        let (mut listeners, mut advertised) = (String::new(), String::new());
        if let Some((listener, proxy)) = &self.far {
            write!(listeners, ",FAR://{listener}")?;
            write!(advertised, ",FAR://{proxy}")?;
        }
        write!(
            text,
            "\nnode.id={id}\n\
             listeners=BROKER://{broker}{listeners},CONTROLLER://{controller}\n\
             advertised.listeners=BROKER://{broker}{advertised}\n\
             controller.quorum.voters={voters}\n\
             default.replication.factor={nodes}\n\
             offsets.topic.replication.factor={nodes}\n\
             transaction.state.log.replication.factor={nodes}\n\
             transaction.state.log.min.isr={majority}\n\
             log.dirs={data}\n",
            data = data.display()
        )?;
        fs::write(self.folder.join("server.properties"), text)?;
        fs::write(
            data.join("meta.properties"),
            format!("version=1\ncluster.id={cluster_id}\nnode.id={id}\n"),
        )?;
        let checkpoint = distribution::folder()?.join("formatted/bootstrap.checkpoint");
        fs::copy(&checkpoint, data.join("bootstrap.checkpoint"))
            .with_context(|| checkpoint.display().to_string())?;
        Ok(())
    }

    /// Starts the process; the caller waits until it answers.
    pub(super) fn spawn(&mut self, heap_mib: usize) -> anyhow::Result<()> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_path())?;
        let child = watchdog::spawn(
            distribution::java()?
                .arg(format!("-Xmx{heap_mib}m"))
                .arg("kafka.Kafka")
                .arg(self.folder.join("server.properties"))
                .stdout(log.try_clone()?)
                .stderr(log),
        )?;
        self.child = Some(child);
        Ok(())
    }

    pub(super) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let child = self
            .child
            .as_ref()
            .with_context(|| format!("broker {} is not running", self.id))?;
        kill_process(Pid::from_child(child), signal)
            .with_context(|| format!("signal {signal:?} to broker {}", self.id))
    }

    /// Asks the broker to stop and waits until it has.
    pub(super) fn stop(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::TERM)?;
        let id = self.id;
        let stopped = wait_for(&format!("broker {id} to stop"), STOP, || {
            (!self.is_running()).then_some(())
        });
        if stopped.is_err() {
            self.kill();
        }
        stopped.with_context(|| self.log_tail())
    }

    /// SIGKILL, and waits until the process is gone. Does nothing if it is.
    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().ok();
            watchdog::reaped(child.id());
        }
    }

    pub(super) fn is_running(&mut self) -> bool {
        let Some(child) = &mut self.child else {
            return false;
        };
        if matches!(child.try_wait(), Ok(None)) {
            return true;
        }
        watchdog::reaped(child.id());
        self.child = None;
        false
    }

    /// An error with the end of the log if the process has ended.
    pub(super) fn ensure_running(&mut self) -> anyhow::Result<()> {
        if self.is_running() {
            return Ok(());
        }
        bail!("broker {} ended: {}", self.id, self.log_tail())
    }

    fn log_path(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// The last lines of the log, for an error message.
    pub(super) fn log_tail(&self) -> String {
        let log = fs::read(self.log_path()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let from = log.lines().count().saturating_sub(20);
        log.lines().skip(from).collect::<Vec<_>>().join("\n")
    }
}
