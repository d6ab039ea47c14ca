//! The words of Hooklane as types: resources, ids, lanes, envelopes, topics.
//!
//! Nothing here does IO, reads a clock, spawns or awaits; everything can be
//! driven by a test with plain values. The crate depends on none of ours, and
//! every other crate may depend on it.

pub mod catalog;
pub mod duration;
pub mod envelope;
pub mod fields;
pub mod filter;
pub mod id;
pub mod label;
pub mod ladder;
pub mod lane;
pub mod matching;
pub mod media_type;
pub mod pem;
pub mod plan;
pub mod record;
pub mod resource;
pub mod secret;
pub mod time;
pub mod topic;
pub mod tracker;
pub mod url_rule;
pub mod yaml;
