//! Watches that the number of lanes stays what it was at start.
//!
//! The lane of an endpoint is a remainder by that number. Somebody who adds
//! partitions to a running deliveries topic splits endpoints between two
//! lanes, so this must be seen; the scheduler itself keeps the number it
//! started with, like everybody else that is running.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use hooklane_kafka::settings::ClientSettings;
use hooklane_kafka::topics::{TopicCheck, TopicRole, TopicSpec, inspect};
use hooklane_service::lifecycle::Shutdown;

/// How often the brokers are asked.
const EVERY: Duration = Duration::from_secs(60);
/// How long one answer may take; bounds what the thread adds to a shutdown.
const ASK_WAIT: Duration = Duration::from_secs(2);

/// Asks until the shutdown is requested, and sets `changed`.
pub(crate) fn watch(
    settings: ClientSettings,
    mut specs: Vec<TopicSpec>,
    lanes: NonZeroU16,
    changed: Arc<AtomicBool>,
    shutdown: Shutdown,
) -> std::io::Result<JoinHandle<()>> {
    specs.retain(|spec| spec.role == TopicRole::Deliveries);
    let work = move || {
        while !shutdown.wait_timeout(EVERY) {
            match inspect(&settings, &specs, TopicCheck::PartitionsOnly, ASK_WAIT) {
                Ok(states) => {
                    let found = states.first().map_or(0, |state| state.partitions);
                    let differs = found != i32::from(lanes.get());
                    changed.store(differs, Ordering::Relaxed);
                    if differs {
                        tracing::error!(
                            lanes,
                            found,
                            "the deliveries topic has another number of partitions than at start"
                        );
                    }
                }
                Err(error) => tracing::debug!(%error, "lanes not counted this time"),
            }
        }
    };
    std::thread::Builder::new()
        .name("lanes".to_owned())
        .spawn(work)
}
