//! A thread that looks at all others and says which of them stand still,
//! where and for how long. It ends nothing: that is for whoever asks
//! `/healthz`, and restarts the process with its own patience.

use std::collections::BTreeMap;
use std::io;
use std::thread;
use std::time::Duration;

use super::Probes;
use crate::lifecycle::Phase;

/// How often it looks.
const EVERY: Duration = Duration::from_secs(1);

/// Watches until the service is closed.
///
/// # Errors
/// When the system refuses a thread.
pub(crate) fn spawn(probes: Probes) -> io::Result<()> {
    let mut watch = Watch::new(probes);
    thread::Builder::new()
        .name("hooklane-watch".to_owned())
        .spawn(move || {
            while watch.probes.inner.lifecycle.phase() != Phase::Closed {
                thread::sleep(EVERY);
                watch.look();
            }
        })?;
    Ok(())
}

/// What was said last of the loops that stand still.
struct Watch {
    probes: Probes,
    /// Whether liveness has ended. Bounded by the loops there are.
    said: BTreeMap<String, bool>,
}

impl Watch {
    fn new(probes: Probes) -> Self {
        Self {
            probes,
            said: BTreeMap::new(),
        }
    }

    /// Says what is new: a loop that stands still, one that has done so for
    /// too long, one that turns again.
    fn look(&mut self) {
        let mut standing = BTreeMap::new();
        for found in self.probes.standing() {
            let (thread, doing) = (found.name.as_str(), found.doing);
            let seconds = found.age.as_secs();
            let limit = found.max_age.as_secs();
            let stale = found.age > found.max_age;
            match (stale, self.said.get(thread)) {
                (true, said) if said != Some(&true) => tracing::error!(
                    thread,
                    doing,
                    seconds,
                    limit,
                    "a thread has stood still for too long: this process must be restarted"
                ),
                (false, None) => tracing::warn!(
                    thread,
                    doing,
                    seconds,
                    limit,
                    "a thread stands still: at the limit this process must be restarted"
                ),
                _ => {}
            }
            standing.insert(found.name, stale);
        }
        for thread in self
            .said
            .keys()
            .filter(|name| !standing.contains_key(*name))
        {
            tracing::info!(
                thread,
                "a thread that stood still turns again, or has ended"
            );
        }
        self.said = standing;
    }
}

#[cfg(test)]
mod tests;
