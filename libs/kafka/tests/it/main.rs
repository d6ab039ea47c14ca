//! The clients against librdkafka's mock cluster.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, also in what its tests share"
)]

mod config;
mod consumer;
mod embedded;
mod kafka;
mod producer;
mod support;
