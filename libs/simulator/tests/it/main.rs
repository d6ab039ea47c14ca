//! The simulator's own tests.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]
#![allow(
    clippy::print_stdout,
    reason = "what a run came to, for `--nocapture` and failures"
)]

mod mutants;
mod worlds;
