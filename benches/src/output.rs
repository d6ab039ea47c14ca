//! The only place that writes to the terminal: figures to standard output,
//! what goes on meanwhile to standard error.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "showing figures is what this program is for"
)]

/// A line of the result.
pub(crate) fn line(text: impl AsRef<str>) {
    println!("{}", text.as_ref());
}

/// What is being done now.
pub(crate) fn progress(text: impl AsRef<str>) {
    eprintln!("... {}", text.as_ref());
}

/// Why there is no result.
pub(crate) fn error(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
}
