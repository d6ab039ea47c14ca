//! The dispatcher: owns lanes and delivers to endpoints at their limits.
//!
//! ```text
//!  consumer thread (owner)          worker threads (1 on two cores)
//!  poll, rebalance, commit,  --->   core: what to do   (pure)
//!  lease, producer poll      batch  attempts: HTTP     (libs/sender)
//!            ^                      stores: records    (outbox)
//!            |  watermarks (board), releases    |
//!            +------- reports (outbox) <--------+
//! ```
//!
//! A lane lives in the worker `lane mod workers`; nothing on the hot path is
//! shared between workers. What a crash at any point costs is in
//! ARCHITECTURE.md, life of an event.

mod attempt;
pub mod config;
mod lease;
mod metrics;
mod outbox;
mod owner;
mod recipients;
mod records;
mod secrets;
mod service;
mod steps;
#[cfg(test)]
mod testing;
mod token;
mod verify;
mod worker;

pub use config::Config;
pub use metrics::register_families;
pub use owner::OwnerError;
pub use service::{DispatcherError, Environment, run};
