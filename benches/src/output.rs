//! The only place that writes to the terminal: figures to standard output,
//! what goes on meanwhile to standard error.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "showing figures is what this program is for"
)]

use std::fmt;

use crate::bed::Brokers;
use crate::cpu;

/// A line of the result.
pub(crate) fn line(text: impl AsRef<str>) {
    println!("{}", text.as_ref());
}

/// What the figures were taken on; `busy` is how many cores did other things
/// before.
pub(crate) fn machine(brokers: &Brokers, busy: Option<fmt::Arguments<'_>>) {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = cpu::load_average();
    let busy = busy.map_or_else(String::new, |busy| {
        format!("; cores busy with other things before: {busy}")
    });
    line(format!(
        "machine: {cores} cores, load average {load}{busy}; brokers: {}",
        brokers.describe()
    ));
}

/// What is being done now.
pub(crate) fn progress(text: impl AsRef<str>) {
    eprintln!("... {}", text.as_ref());
}

/// Why there is no result.
pub(crate) fn error(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
}
