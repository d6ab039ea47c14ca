//! Waiting for a condition with a deadline: the only way tests here wait.

use std::time::{Duration, Instant};

use anyhow::bail;

/// How often a condition is looked at. Short against anything a test measures.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Looks at `condition` until it holds.
///
/// # Errors
/// After `deadline`, with `what` in the text.
pub fn wait_until(
    what: &str,
    deadline: Duration,
    mut condition: impl FnMut() -> bool,
) -> anyhow::Result<()> {
    wait_for(what, deadline, || condition().then_some(()))
}

/// Looks until `probe` gives a value, and gives that on.
///
/// # Errors
/// After `deadline`, with `what` in the text.
pub fn wait_for<T>(
    what: &str,
    deadline: Duration,
    mut probe: impl FnMut() -> Option<T>,
) -> anyhow::Result<T> {
    let end = Instant::now() + deadline;
    loop {
        if let Some(value) = probe() {
            return Ok(value);
        }
        if Instant::now() >= end {
            bail!("waited {deadline:?} in vain for: {what}");
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
