//! What the tests of Hooklane stand on: real Kafka brokers, receivers with
//! faults, a network that fails, name servers and proxies that do as they are
//! told, our own binaries as processes, and clients that are not ours.
//!
//! Everything here listens on 127.0.0.1, on ports that were free, and is gone
//! when the test process is, however that ended. Nothing is skipped: what can't
//! be had is an error, and so a failed test. Nothing waits by sleeping; there
//! is a condition and a deadline. Of the product's crates this one uses none.

pub mod independent;

mod authority;
mod canary;
mod connect_proxy;
mod dns;
mod http;
mod kafka;
mod listener;
mod metrics;
mod names;
mod planted;
mod process;
mod proxy;
mod receiver;
mod wait;
mod watchdog;

pub use authority::{Authority, Identity};
pub use canary::Canary;
pub use connect_proxy::{ConnectAnswer, ConnectProxy, ConnectQuestion};
pub use dns::{DnsAnswer, DnsLie, DnsQuestion, DnsServer};
pub use http::get;
pub use kafka::{KafkaCluster, shared_cluster};
pub use metrics::{Sample, Scrape, scrape};
pub use names::{free_addr, unique};
pub use planted::{PlantedSecret, base64};
pub use process::{Process, ProcessBuilder};
pub use proxy::Proxy;
pub use receiver::{
    Answer, Fault, Gate, OnConnect, Receiver, Reply, Request, Script, Seen, refused_url,
};
pub use wait::{wait_for, wait_until};
