//! What every Hooklane binary does the same way: arguments, configuration,
//! logs, metrics, probes, the admin server, signals and shutdown.
//!
//! It knows nothing of events, Kafka or HTTP delivery. Only this crate reads
//! the environment, the system clocks and the process's signals; everything
//! else is handed values. Nothing here is global except what the process has
//! only one of (the log subscriber, the panic hook, signals), and those are
//! touched by [`run::run`] alone, so that several services can live in one
//! process.

pub mod admin_server;
pub mod args;
pub mod clock;
pub mod config;
pub mod exit;
pub mod lifecycle;
pub mod logs;
pub mod metrics;
pub mod probes;
pub mod run;
pub mod secrets;
