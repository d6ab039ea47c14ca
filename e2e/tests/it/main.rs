//! The promises of Hooklane, shown on the whole of it: the real binaries as
//! processes, a real Kafka, receivers whose log is the truth.
//!
//! Each test has its own topics, services and receiver, and they run one at a
//! time: what is measured here is time and counts, and two cores are few.
//! Every wait is for a condition and has a deadline.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]
#![allow(
    clippy::print_stdout,
    reason = "the counts of a run, for `--nocapture` and failures"
)]

mod harness;

mod config;
mod deliver;
mod describe;
mod egress;
mod independent;
mod isolation;
mod kill;
mod large;
mod limit;
mod outage;
mod partition;
mod recovery;
mod retry;
mod scale;
mod secrets;
mod shutdown;
mod verify;
