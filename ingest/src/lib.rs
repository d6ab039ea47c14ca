//! Reads event topics and fans events out to lanes.

pub mod decode;
pub mod fanout;
pub mod progress;
