//! The crate from outside: a real socket, a real process.

#![allow(
    clippy::unwrap_used,
    reason = "clippy's exception for tests stops at the functions that tests share"
)]

mod admin_server;
mod process;
