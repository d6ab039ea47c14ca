//! One HTTP attempt: connections, TLS, egress policy, request, response.
//!
//! [`Sender`] makes attempts on a current-thread runtime, one per dispatcher
//! worker; a [`Destination`] is one endpoint and owns its connections. The
//! crate says what happened ([`AttemptReport`]); what follows from it (retry,
//! hold, disable, dead letter) is the outcome rules', elsewhere. It knows no
//! Kafka, no metrics library and no retry, and it never logs a URL, a header
//! or a body. Wall time does not exist here, durations are the runtime's.

pub mod config;
mod connect;
mod destination;
pub mod egress;
mod exchange;
pub mod failure;
mod held;
mod http1;
mod http2;
mod io;
pub mod oauth;
pub mod payload;
mod pool;
pub mod recipient;
pub mod report;
pub mod resolve;
pub mod retry_after;
mod sender;
pub mod signing;
pub mod tls;
mod trace;
pub mod verify;

pub use config::SenderConfig;
pub use connect::proxy::{EgressProxy, ProxyUrlError};
pub use destination::Destination;
pub use egress::{EgressPolicy, UrlError};
pub use failure::{Failure, FailureReason, Phase, Shown, Side};
pub use payload::Event;
pub use pool::{CloseReason, Stats};
pub use recipient::{Delivery, Recipient, RecipientError};
pub use report::{AttemptReport, DeliveryDirective, Protocol, Response, Timings};
pub use resolve::{DnsResolver, DnsTimeouts, Resolve};
pub use retry_after::RetryAfter;
pub use sender::{AttemptRequest, Sender};
pub use signing::{NoValidSecret, Signer, SignerError, ToSign};
pub use tls::{TlsDefaults, TlsError};
pub use verify::{Asked, Refusal};
