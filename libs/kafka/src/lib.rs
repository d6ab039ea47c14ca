//! Kafka as Hooklane uses it: the only crate that knows rdkafka.
//!
//! Every client is a plain value used from one thread that its owner runs;
//! nothing here spawns on a tokio runtime or may be called from one where the
//! documentation says "blocks". No type of the client library appears in the
//! public interface, and no client configuration is ever logged: it holds
//! secrets.

mod client;
pub mod config_feed;
pub mod config_writer;
pub mod consumer;
pub mod embedded;
pub mod error;
pub mod producer;
pub mod record;
pub mod scan;
pub mod settings;
pub mod table;
pub mod topics;
