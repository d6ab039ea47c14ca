//! The sender against receivers on the loopback, friendly and hostile.

#![allow(
    clippy::unwrap_used,
    reason = "helpers outside of test functions are tests too"
)]

mod auth;
mod corpus;
mod dns;
mod egress;
mod hostile;
mod hostile_http2;
mod http1;
mod pool;
mod proxy;
mod signatures;
mod support;
mod tls;
