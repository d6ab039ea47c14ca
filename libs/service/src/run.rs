//! The frame of a binary: arguments, configuration, logs, admin server,
//! signals, the service itself, the exit code. A `main.rs` is a call of
//! [`run`]; a test or the demo builds a [`ServiceContext`] and calls the same
//! service function without anything global.
//!
//! ```text
//! const SPEC: ServiceSpec<Config> = ServiceSpec {
//!     binary: "hooklane-ingest",
//!     component: "ingest",
//!     about: "Reads event topics and fans events out to lanes",
//!     sections: &[&config::INGEST],
//!     foreign: &["dispatcher", "scheduler"],
//!     read: config::read,
//! };
//!
//! fn main() -> ExitCode {
//!     run(&SPEC, |context, config| app::run(&context, config))
//! }
//! ```

use std::error::Error;
use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use hooklane_model::time::Clock;
use thiserror::Error;

use crate::admin_server::{AdminServer, AdminServerError};
use crate::args::ServiceArgs;
use crate::clock::{BootClock, Monotonic, SystemClock};
use crate::config::{CommonConfig, Keys, Section, process_environment};
use crate::exit::Exit;
use crate::lifecycle::{Lifecycle, Phase, Shutdown, watchdog};
use crate::logs;
use crate::metrics::{MetricsError, Registry};
use crate::probes::{Probes, watch};

/// What makes one binary different from the others.
pub struct ServiceSpec<C> {
    /// The binary's name, as in `hooklane-ingest`.
    pub binary: &'static str,
    /// The component's name in metrics, as in `ingest`.
    pub component: &'static str,
    /// One line for `--help`.
    pub about: &'static str,
    /// Its own sections, beside those that every service has.
    pub sections: &'static [&'static Section],
    /// Top-level sections of other binaries, passed over when one file or
    /// environment serves several.
    pub foreign: &'static [&'static str],
    /// Reads its own sections, cross-field rules included.
    pub read: fn(&mut Keys, &CommonConfig) -> C,
}

/// What a service is given to live in.
#[derive(Clone)]
pub struct ServiceContext {
    /// The binary's name; also the Kafka client id where none is set.
    pub binary: &'static str,
    /// The sections that every service has.
    pub common: CommonConfig,
    /// Where it registers its metrics.
    pub metrics: Registry,
    /// Where it registers heartbeats and readiness conditions.
    pub probes: Probes,
    /// Its phases, holders and the shutdown token.
    pub lifecycle: Lifecycle,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// Boot time.
    pub boot: Arc<dyn Monotonic>,
}

impl ServiceContext {
    /// A context on the system's clocks. Nothing global is touched.
    ///
    /// # Errors
    /// None in practice: a new registry holds nothing to collide with.
    pub fn new(
        binary: &'static str,
        component: &'static str,
        common: CommonConfig,
        shutdown: Shutdown,
    ) -> Result<Self, MetricsError> {
        Self::with_clocks(
            (binary, component),
            common,
            shutdown,
            Arc::new(SystemClock),
            Arc::new(BootClock),
        )
    }

    /// The same on clocks of the caller's choice.
    ///
    /// # Errors
    /// As for [`ServiceContext::new`].
    pub fn with_clocks(
        (binary, component): (&'static str, &'static str),
        common: CommonConfig,
        shutdown: Shutdown,
        clock: Arc<dyn Clock>,
        boot: Arc<dyn Monotonic>,
    ) -> Result<Self, MetricsError> {
        let metrics = Registry::new(component);
        let deadline = common.shutdown.deadline;
        let lifecycle = Lifecycle::new(&metrics, boot.clone(), shutdown, deadline)?;
        let probes = Probes::new(boot.clone(), lifecycle.clone());
        probes.register(&metrics)?;
        logs::register(&metrics)?;
        Ok(Self {
            binary,
            common,
            metrics,
            probes,
            lifecycle,
            clock,
            boot,
        })
    }

    /// The token that says when to stop.
    #[must_use]
    pub fn shutdown(&self) -> &Shutdown {
        self.lifecycle.shutdown()
    }

    /// Serves this context's metrics and probes where its configuration says.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub fn serve_admin(&self) -> Result<AdminServer, AdminServerError> {
        let listen = self.common.metrics.listen;
        AdminServer::start(listen, self.metrics.clone(), self.probes.clone())
    }
}

/// Registers the families that every service has, for the reference of all
/// metrics.
///
/// # Errors
/// A name that `registry` has already.
pub fn register_families(registry: &Registry) -> Result<(), MetricsError> {
    let boot = Arc::new(BootClock);
    let lifecycle = Lifecycle::new(registry, boot.clone(), Shutdown::new(), Duration::ZERO)?;
    Probes::new(boot, lifecycle).register(registry)?;
    logs::register(registry)
}

#[derive(Debug, Error)]
enum StartError {
    #[error("signals cannot be taken over")]
    Signals(#[source] std::io::Error),
    #[error("the thread that watches the others cannot start")]
    Watch(#[source] std::io::Error),
    #[error(transparent)]
    Admin(#[from] AdminServerError),
    #[error(transparent)]
    Metrics(#[from] MetricsError),
}

/// Runs a service as the process's only one, to its end.
///
/// `service` returns when everything is drained and handed over; an error is
/// logged with its causes and becomes exit code 1.
pub fn run<C, E>(
    spec: &ServiceSpec<C>,
    service: impl FnOnce(ServiceContext, C) -> Result<(), E>,
) -> ExitCode
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    run_from(spec, std::env::args_os(), service).into()
}

/// The same with a command line of the caller's making, the binary's name first.
pub fn run_from<C, E>(
    spec: &ServiceSpec<C>,
    args: impl IntoIterator<Item = OsString>,
    service: impl FnOnce(ServiceContext, C) -> Result<(), E>,
) -> Exit
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let args = match ServiceArgs::parse_from(spec.binary, spec.about, args) {
        Ok(args) => args,
        Err(exit) => return exit,
    };
    let (common, config) = match load(spec, &args) {
        Ok(loaded) => loaded,
        Err(errors) => {
            say(&format!(
                "{}: the configuration is not usable\n{errors}",
                spec.binary
            ));
            return Exit::Config;
        }
    };
    if args.check_config {
        say(&format!("{}: the configuration is valid", spec.binary));
        return Exit::Drained;
    }
    if let Err(error) = logs::init_service(&common.log) {
        say(&format!("{}: {error}", spec.binary));
        return Exit::Failed;
    }
    logs::exit_on_panic();
    let exit = match start(spec, common) {
        Ok((context, admin)) => {
            let lifecycle = context.lifecycle.clone();
            let result = service(context, config);
            lifecycle.enter(Phase::Closed);
            drop(admin);
            result.map_or_else(|error| failed(&*error.into()), |()| Exit::Drained)
        }
        Err(error) => failed(&error),
    };
    logs::flush();
    exit
}

fn load<C>(
    spec: &ServiceSpec<C>,
    args: &ServiceArgs,
) -> Result<(CommonConfig, C), crate::config::ConfigErrors> {
    let sections: Vec<_> = CommonConfig::SECTIONS
        .iter()
        .chain(spec.sections)
        .copied()
        .collect();
    let mut keys = Keys::new(&sections).ignoring(spec.foreign);
    if let Some(file) = &args.config {
        keys = keys.file(file);
    }
    keys = keys.env(process_environment());
    let common = CommonConfig::read(&mut keys);
    let config = (spec.read)(&mut keys, &common);
    keys.finish()?;
    Ok((common, config))
}

fn start<C>(
    spec: &ServiceSpec<C>,
    common: CommonConfig,
) -> Result<(ServiceContext, AdminServer), StartError> {
    tracing::info!(
        binary = spec.binary,
        version = env!("CARGO_PKG_VERSION"),
        brokers = common.kafka.brokers,
        "starting"
    );
    let context = ServiceContext::new(spec.binary, spec.component, common, Shutdown::new())?;
    watchdog::spawn(context.lifecycle.clone()).map_err(StartError::Signals)?;
    watch::spawn(context.probes.clone()).map_err(StartError::Watch)?;
    let admin = context.serve_admin()?;
    Ok((context, admin))
}

fn failed(error: &(dyn Error + 'static)) -> Exit {
    let mut causes = Vec::new();
    let mut cause = error.source();
    while let Some(next) = cause {
        causes.push(next.to_string());
        cause = next.source();
    }
    tracing::error!(%error, causes = causes.join(": "), "the service failed");
    Exit::Failed
}

/// Before logs exist, people read standard error.
#[allow(clippy::print_stderr, reason = "the exit path before logs exist")]
fn say(text: &str) {
    eprintln!("{text}");
}
