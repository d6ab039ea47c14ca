//! The retry-scheduler against the embedded broker.

mod delays;
mod faults;
mod support;
