//! The sender against receivers on the loopback, friendly and hostile.

mod egress;
mod hostile;
mod http1;
mod pool;
mod support;
mod tls;
