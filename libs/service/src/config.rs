//! Configuration: declared keys, read from a YAML file and overridden by the
//! environment, every problem reported at once.
//!
//! A section is a list of [`KeySpec`]s; the readers and the reference in
//! docs/ are made from the same list. Reading a key never stops at an error:
//! it is recorded and a placeholder is returned, and [`Keys::finish`] refuses
//! to let the result be used. Values of secret keys never appear in errors.
//!
//! Environment: `HOOKLANE__SECTION__KEY`, two underscores between levels. An
//! entry of a map is one level deeper, and in it `_` stands for `.`:
//! `HOOKLANE__KAFKA__PROPERTIES__SASL_MECHANISM` sets `sasl.mechanism`. A
//! text or map entry may come from a file: the variable's name + `_FILE`.

mod bytes;
mod environment;
mod error;
mod getters;
mod given;
mod keys;
mod layers;
mod reference;
mod secret;
mod sections;
mod spec;
mod suggest;

pub use environment::process_environment;
pub use error::{ConfigError, ConfigErrors, Origin};
pub use given::read_given;
pub use keys::Keys;
pub use reference::reference_markdown;
pub use secret::{Secret, SecretMap};
pub use sections::{
    CommonConfig, KAFKA, KafkaSection, LOG, LogFormat, LogSection, METRICS, MetricsSection,
    PROPERTIES, SHUTDOWN, ShutdownSection,
};
pub use spec::{DefaultValue, KeySpec, Kind, Section};

#[cfg(test)]
mod tests;
