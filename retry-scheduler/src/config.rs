//! The retry-scheduler's own configuration.

use hooklane_kafka::settings::check_properties;
use hooklane_service::config::{CommonConfig, KeySpec, Keys, Kind, PROPERTIES, Section};

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
    pub fn read(keys: &mut Keys, common: &CommonConfig) -> Self {
        for problem in check_properties(common.kafka.properties.expose()) {
            keys.entry_problem(&PROPERTIES, &problem.key, problem.reason);
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use hooklane_service::config::{ConfigErrors, read_given};

    fn read(given: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
        let given = [("kafka.brokers", "localhost:9092")]
            .iter()
            .chain(given)
            .copied();
        let read = read_given(Config::SECTIONS, given, Config::read);
        read.map(|(_, config)| config)
    }

    #[test]
    fn client_options_that_promises_rest_on_are_refused() {
        let given = [("kafka.properties.no.such.option", "x")];
        let errors = read(&given).unwrap_err().to_string();
        assert!(
            errors.starts_with("kafka.properties.no.such.option"),
            "{errors}"
        );
        assert!(read(&[]).is_ok());
    }
}
