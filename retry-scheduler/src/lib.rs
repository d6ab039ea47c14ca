//! The retry-scheduler: holds delayed deliveries until they are due and
//! returns them to their lane.
//!
//! [`schedule`] decides and does no IO. It keeps nothing that Kafka does not
//! have: after a crash it reads on from its committed watermarks.

pub mod schedule;
