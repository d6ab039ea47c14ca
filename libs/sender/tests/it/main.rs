//! The sender against receivers on the loopback, friendly and hostile.

#![allow(
    clippy::unwrap_used,
    reason = "helpers outside of test functions are tests too"
)]

mod auth;
mod corpus;
mod dns;
mod egress;
mod fuzz;
mod hostile;
mod hostile_http2;
mod http1;
mod identity;
#[path = "fuzz/mutate.rs"]
mod mutate;
mod namespace;
mod oauth;
mod pool;
mod proxy;
mod recipient;
mod signatures;
mod support;
#[path = "fuzz/targets.rs"]
mod targets;
mod tls;
mod verify;
