//! Things that are not ours, so that a mistake made twice in the same spirit
//! does not cancel out: Kafka's Java console tools and a receiver in Python.

mod kafka_tools;
mod receiver;

pub use kafka_tools::{ToolRecord, consume, produce};
pub use receiver::{PythonReceiver, PythonRequest};
