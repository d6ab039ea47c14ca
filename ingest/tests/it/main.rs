//! Ingest as a whole on the embedded broker: what is in the source topics,
//! and what then stands in the lanes and in the poison topic.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests fail the test that calls them"
)]

mod fixture;
mod flow;
mod troubles;
