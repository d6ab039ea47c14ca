//! Reads event topics and fans events out to lanes.
//!
//! Source record -> what the event says about itself ([`decode`]) -> who wants
//! it ([`view`]) -> envelopes per lane ([`fanout`]) -> stored -> its offset is
//! committed ([`progress`]). These are pure; the loop around them is one
//! thread over a consumer and a producer. [`run`] is the whole service, built
//! from values alone, so that several services can live in one process.
//!
//! It keeps to: at least once, an offset is committed only when everything
//! made of its record is stored; nothing unreadable or lost is passed over in
//! silence; an event that nobody wants costs no write.

pub mod config;
pub mod decode;
pub mod error;
pub mod fanout;
mod intake;
pub mod metrics;
mod outbox;
pub mod poison;
pub mod progress;
mod service;
mod starts;
pub mod view;

pub use config::{Config, INGEST};
pub use error::IngestError;
pub use service::run;
