//! The retry-scheduler: holds delayed deliveries until they are due and
//! returns them to their lane.
//!
//! [`schedule`] decides and does no IO; one thread around it polls, writes and
//! commits. It keeps nothing that Kafka does not have: after a crash it reads
//! on from its committed watermarks, and what was released since the last
//! commit is released once more.

pub mod config;
mod lanes;
mod metrics;
mod owner;
pub mod schedule;
mod service;
mod topics;

pub use config::Config;
pub use metrics::register_families;
pub use owner::OwnerError;
pub use service::{Environment, SchedulerError, run};
