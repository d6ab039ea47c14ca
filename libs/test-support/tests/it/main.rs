//! The harness itself under test: what it promises to other tests.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod canary;
mod connect_proxy;
mod independent;
mod kafka;
mod process;
mod proxy;
mod receiver;
mod receiver_tls;
