//! The limits of a sender. Defaults are right for the public internet; only
//! tests and a few deployments change them.

use std::time::Duration;

use crate::connect::proxy::EgressProxy;
use crate::egress::EgressPolicy;

/// The limits of a [`Sender`](crate::Sender).
#[derive(Clone, Debug)]
pub struct SenderConfig {
    /// Where requests may go.
    pub egress: EgressPolicy,
    /// Whom connections are made through; `None` is nobody.
    pub proxy: Option<EgressProxy>,
    /// Sent as `user-agent`.
    pub user_agent: http::HeaderValue,
    /// Who we say that we are to receivers that are asked for their consent: a
    /// DNS name. Without one no handshake is made.
    pub origin: Option<http::HeaderValue>,
    /// Limit of name resolution and TCP connect together; the attempt's own
    /// deadline still holds. TLS is under the attempt's deadline only.
    pub connect_timeout: Duration,
    /// An idle connection older than this is closed.
    pub idle_timeout: Duration,
    /// A connection is not used beyond this age, less up to a fifth of jitter,
    /// so that DNS and policy changes take effect and reconnects spread.
    pub connection_age_max: Duration,
    /// Idle connections kept by this sender over all destinations; the least
    /// recently used is closed for the next. A TLS one holds 20-40 KB.
    pub idle_connections_max: usize,
    /// Response body bytes read so that the connection can be used again;
    /// with more to come it is closed instead.
    pub drain_max: usize,
    /// Response body bytes kept for [`Response::excerpt`](crate::Response); 0 keeps none.
    pub excerpt_max: usize,
    /// Seeds the jitter of connection ages.
    pub seed: u64,
}

impl Default for SenderConfig {
    fn default() -> Self {
        Self {
            egress: EgressPolicy::default(),
            proxy: None,
            user_agent: http::HeaderValue::from_static(concat!(
                "hooklane/",
                env!("CARGO_PKG_VERSION")
            )),
            origin: None,
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(60),
            connection_age_max: Duration::from_secs(300),
            // 40 KB x 1,024 = 40 MB at worst, of a budget of 256 MiB.
            idle_connections_max: 1_024,
            drain_max: 64 * 1024,
            excerpt_max: 0,
            seed: 0,
        }
    }
}
