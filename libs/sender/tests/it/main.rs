//! The sender against receivers on the loopback, friendly and hostile.

mod http1;
mod support;
