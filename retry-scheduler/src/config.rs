//! The retry-scheduler's own configuration.

use hooklane_service::config::{CommonConfig, KeySpec, Keys, Kind, Section};

use crate::schedule::Limits;

const TAIL_MEMORY: KeySpec = KeySpec::new(
    "retry_scheduler.tail_memory",
    Kind::Bytes,
    "64MiB",
    "Bytes of deliveries held in memory for their last 15 seconds; what does not fit waits on the \
     15 s rung and may be up to 15 s late.",
);

/// The retry-scheduler's section.
pub const RETRY_SCHEDULER: Section = Section {
    name: "retry_scheduler",
    doc: "The retry-scheduler.",
    keys: &[TAIL_MEMORY],
};

/// The retry-scheduler's settings, read and checked.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Bytes held for their last 15 seconds.
    pub tail_memory: usize,
}

impl Config {
    /// The sections, in the order of the reference.
    pub const SECTIONS: &[&Section] = &[&RETRY_SCHEDULER];

    /// Reads the section.
    pub fn read(keys: &mut Keys, _common: &CommonConfig) -> Self {
        let bytes = keys.bytes(&TAIL_MEMORY, 1 << 20..=4 << 30);
        Self {
            tail_memory: usize::try_from(bytes).unwrap_or(1 << 20),
        }
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits {
            tail_bytes: self.tail_memory,
            ..Limits::default()
        }
    }
}
