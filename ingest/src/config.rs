//! What can be configured about ingest. Few keys on purpose: the rest are
//! constants with reasons.

use hooklane_kafka::settings::check_properties;
use hooklane_service::config::{CommonConfig, KeySpec, Keys, Kind, PROPERTIES, Section};

const GROUP: KeySpec = KeySpec::optional(
    "ingest.group",
    Kind::Text,
    "Consumer group of the source topics; it holds how far events were read. Unset: the topic \
     prefix and `ingest`, as in `hooklane.ingest`.",
);
const OPEN_BYTES_MAX: KeySpec = KeySpec::new(
    "ingest.open_bytes_max",
    Kind::Bytes,
    "64MiB",
    "Most bytes of envelopes that wait for the brokers' acknowledgement. At this bound reading \
     stops, and goes on at half of it.",
);
const SOURCE_RECORD_BYTES_MAX: KeySpec = KeySpec::new(
    "ingest.source_record_bytes_max",
    Kind::Bytes,
    "1MiB",
    "The largest record of a source topic. The internal topics must allow 192 KiB more.",
);

/// The section of ingest.
pub const INGEST: Section = Section {
    name: "ingest",
    doc: "Reading event topics and fanning events out to lanes.",
    keys: &[GROUP, OPEN_BYTES_MAX, SOURCE_RECORD_BYTES_MAX],
};

/// The section of ingest, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Consumer group; `None` goes by the topic prefix.
    pub group: Option<String>,
    /// Bytes of envelopes that may be open.
    pub open_bytes_max: usize,
    /// The largest source record.
    pub source_record_bytes_max: usize,
}

impl Config {
    /// Reads the section; bounds that make no sense together are problems.
    pub fn read(keys: &mut Keys, common: &CommonConfig) -> Self {
        for problem in check_properties(common.kafka.properties.expose()) {
            keys.entry_problem(&PROPERTIES, &problem.key, problem.reason);
        }
        let group = keys.opt_string(&GROUP);
        let open = keys.bytes(&OPEN_BYTES_MAX, 1 << 20..=4 << 30);
        let record = keys.bytes(&SOURCE_RECORD_BYTES_MAX, 1 << 10..=100 << 20);
        if open < 4 * record && !keys.failed(&SOURCE_RECORD_BYTES_MAX) {
            let reason = format!(
                "must be at least 4 times {} ({record} bytes), or a few large events stop all others",
                SOURCE_RECORD_BYTES_MAX.path
            );
            keys.problem(&OPEN_BYTES_MAX, reason);
        }
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        Self {
            group,
            open_bytes_max: size(open),
            source_record_bytes_max: size(record),
        }
    }
}

impl Default for Config {
    /// What holds when nobody sets anything.
    fn default() -> Self {
        Self {
            group: None,
            open_bytes_max: 64 << 20,
            source_record_bytes_max: 1 << 20,
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
        let read = read_given(&[&INGEST], given, Config::read);
        read.map(|(_, config)| config)
    }

    #[test]
    fn defaults_need_nothing() {
        assert_eq!(read(&[]).unwrap(), Config::default());
    }

    #[test]
    fn client_options_that_promises_rest_on_are_refused() {
        let given = [("kafka.properties.enable.auto.commit", "true")];
        let errors = read(&given).unwrap_err().to_string();
        assert!(
            errors.starts_with("kafka.properties.enable.auto.commit"),
            "{errors}"
        );
        assert!(read(&[("kafka.properties.fetch.min.bytes", "1")]).is_ok());
    }

    #[test]
    fn bounds_must_fit_together() {
        let both = [
            ("ingest.open_bytes_max", "2MiB"),
            ("ingest.source_record_bytes_max", "1MiB"),
        ];
        let errors = read(&both).unwrap_err().to_string();
        assert!(errors.contains("ingest.open_bytes_max"), "{errors}");
        assert!(read(&[("ingest.open_bytes_max", "1KiB")]).is_err());
    }
}
