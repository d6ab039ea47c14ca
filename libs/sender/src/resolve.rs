//! Names to addresses.
//!
//! [`Resolve`] is the seam. It gives addresses and nothing else; whether they
//! may be used is the connector's to decide. It is asked on connect only,
//! never on the hot path, and never for literal addresses.

mod cache;
mod dns;
mod servers;

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

pub use hickory_resolver::net::NetError as ResolverError;

pub use dns::{DnsResolver, DnsTimeouts};
pub use servers::{ServersError, read_servers, system_servers};

/// The answer for one name: at least one address, at most [`ANSWERS_MAX`].
pub type Answers = Arc<[IpAddr]>;

/// A resolution under way.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = Result<Answers, ResolveError>> + Send + 'a>>;

/// Addresses that a name may have. All of them are judged, so a name with more
/// is refused, not cut: no receiver has as many.
pub const ANSWERS_MAX: usize = 64;

/// Why a name has no address. Shared by all who asked at the same time.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ResolveError {
    /// There is no such name, or it has no address.
    #[error("name has no address")]
    NoAddress,
    /// More addresses than are judged.
    #[error("name has {0} addresses, more than the {ANSWERS_MAX} taken")]
    TooMany(usize),
    /// The name servers could not say.
    #[error("name servers gave no answer")]
    Lookup(#[source] ResolverError),
    /// The name servers said nothing in time.
    #[error("name did not resolve within {0:?}")]
    Timeout(Duration),
    /// As many names are being asked for as are kept track of.
    #[error("too many names are being resolved")]
    Busy,
    /// The runtime that resolved has ended.
    #[error("resolver is gone")]
    Gone,
}

/// Resolves names.
pub trait Resolve: Send + Sync {
    /// The addresses of `name`, which is never a literal address.
    fn resolve<'a>(&'a self, name: &'a str) -> Resolving<'a>;
}
