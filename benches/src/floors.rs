//! What the same work costs at least: each floor is a process of its own that
//! prints one line of JSON.

pub(crate) mod consume;
pub(crate) mod http;
pub(crate) mod produce;
