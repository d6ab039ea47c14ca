//! The retry-scheduler against the embedded broker.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests fail the test; clippy exempts only the test functions themselves"
)]

mod delays;
mod faults;
mod support;
