//! The command against the embedded broker, through the library.

#![allow(clippy::unwrap_used, reason = "tests")]

mod bad_input;
mod books;
mod condition;
mod demo;

mod reference;
mod resources;
mod secrets;
mod support;
mod tls;
