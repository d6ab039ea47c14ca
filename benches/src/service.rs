//! A service as a process: the release binary beside this one.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use hooklane_test_support::{Process, Scrape, free_addr};

use crate::bed::Bed;
use crate::cpu;

const PATIENCE: Duration = Duration::from_secs(60);

/// The services that scenarios start.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Dispatcher,
    Ingest,
    RetryScheduler,
}

impl Kind {
    fn binary(self) -> &'static str {
        match self {
            Self::Dispatcher => "hooklane-dispatcher",
            Self::Ingest => "hooklane-ingest",
            Self::RetryScheduler => "hooklane-retry-scheduler",
        }
    }
}

/// A service that runs.
pub(crate) struct Service {
    process: Process,
    addr: SocketAddr,
}

fn find(kind: Kind) -> anyhow::Result<PathBuf> {
    let me = std::env::current_exe().context("where this program lies")?;
    let path = me.with_file_name(kind.binary());
    ensure!(
        path.is_file(),
        "{} is missing: run `cargo build --release --bins` first",
        path.display()
    );
    Ok(path)
}

/// Whether this program was built for release, and so the services that a
/// scenario starts; before its work.
pub(crate) fn ensure_release(kinds: &[Kind]) -> anyhow::Result<()> {
    ensure!(
        !cfg!(debug_assertions),
        "a debug build measures nothing: use `cargo run --release -p hooklane-benches`"
    );
    kinds.iter().try_for_each(|kind| find(*kind).map(drop))
}

/// Starts services and waits until they are ready, one after the other.
pub(crate) fn start_all(kinds: &[Kind], bed: &Bed) -> anyhow::Result<Vec<Service>> {
    let start = |kind: &Kind| {
        let mut service = Service::spawn(*kind, bed)?;
        service.wait_ready()?;
        Ok(service)
    };
    kinds.iter().map(start).collect()
}

/// SIGTERM to each in turn; all must end in order.
pub(crate) fn stop_all(services: Vec<Service>) -> anyhow::Result<()> {
    services.into_iter().try_for_each(Service::stop)
}

impl Service {
    /// Starts it; it may not be ready yet.
    pub(crate) fn spawn(kind: Kind, bed: &Bed) -> anyhow::Result<Self> {
        Self::spawn_with(kind, bed, &[])
    }

    /// The same with more environment, or other values of it.
    pub(crate) fn spawn_with(
        kind: Kind,
        bed: &Bed,
        environment: &[(&str, String)],
    ) -> anyhow::Result<Self> {
        let addr = free_addr()?;
        let builder = Process::builder(find(kind)?)
            .env("HOOKLANE__KAFKA__BROKERS", &bed.settings.brokers)
            .env("HOOKLANE__KAFKA__TOPIC_PREFIX", bed.names.prefix())
            .env("HOOKLANE__METRICS__LISTEN", addr.to_string())
            .env("HOOKLANE__EGRESS__ALLOW_CIDRS", "127.0.0.0/8")
            .env("HOOKLANE__EGRESS__ALLOW_HTTP", "true");
        let process = environment
            .iter()
            .fold(builder, |builder, (key, value)| builder.env(key, value))
            .start()?;
        Ok(Self { process, addr })
    }

    pub(crate) fn wait_ready(&mut self) -> anyhow::Result<()> {
        self.process.wait_ready(self.addr, PATIENCE)
    }

    /// CPU seconds used so far; an error with the log once it has ended.
    pub(crate) fn cpu(&mut self) -> anyhow::Result<f64> {
        self.ensure_running()?;
        cpu::of_process(self.process.id())
    }

    /// The same of the threads it has now; see [`cpu::of_threads`].
    pub(crate) fn cpu_of_threads(&mut self) -> anyhow::Result<f64> {
        self.ensure_running()?;
        cpu::of_threads(self.process.id())
    }

    fn ensure_running(&mut self) -> anyhow::Result<()> {
        match self.process.ended() {
            None => Ok(()),
            Some(status) => bail!("the service ended: {status}\n{}", self.process.log()),
        }
    }

    pub(crate) fn resident_mib(&self) -> anyhow::Result<f64> {
        cpu::resident_mib(self.process.id())
    }

    pub(crate) fn peak_mib(&self) -> anyhow::Result<f64> {
        cpu::peak_mib(self.process.id())
    }

    pub(crate) fn scrape(&self) -> anyhow::Result<Scrape> {
        self.process.scrape(self.addr)
    }

    /// Its log, for an error.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// SIGTERM; it must end in order.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let code = self.process.sigterm_and_wait(PATIENCE)?;
        ensure!(code == 0, "a service ended with {code}:\n{}", self.log());
        Ok(())
    }
}
