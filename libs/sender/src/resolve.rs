//! Names to addresses.
//!
//! [`Resolve`] is the seam: the system's resolver now, one with real TTLs and
//! per-query control later. It gives addresses and nothing else; whether they
//! may be used is the connector's to decide. One resolver is shared by all
//! workers; it is asked on connect only, never on the hot path.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

/// The answer for one name: at least one address, at most [`ANSWERS_MAX`].
pub type Answers = Arc<[IpAddr]>;

/// A resolution under way.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = Result<Answers, ResolveError>> + Send + 'a>>;

/// Addresses kept of one answer; a zone with more is not ours to walk.
pub const ANSWERS_MAX: usize = 16;

/// Why a name has no address.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The resolver said no.
    #[error("name did not resolve")]
    Lookup(#[source] io::Error),
    /// The resolver said nothing in time.
    #[error("name did not resolve within {0:?}")]
    Timeout(Duration),
    /// An answer without an address.
    #[error("name has no address")]
    NoAddress,
    /// The resolver itself broke.
    #[error("resolver is gone")]
    Gone,
}

/// Resolves names.
pub trait Resolve: Send + Sync {
    /// The addresses of `name`, which is never a literal address.
    fn resolve<'a>(&'a self, name: &'a str) -> Resolving<'a>;
}

/// The operating system's resolver (`getaddrinfo`) on blocking threads.
///
/// At most [`LOOKUPS_MAX`] threads at once, so that a zone that hangs takes
/// neither the process's blocking threads nor other names' hope; a lookup
/// gives up after [`LOOKUP_TIMEOUT`], waiting for a thread included. Positive
/// answers are kept for [`CACHE_TTL`]; `getaddrinfo` knows no TTLs.
#[derive(Debug)]
pub struct SystemResolver {
    threads: Arc<Semaphore>,
    cache: Mutex<HashMap<Box<str>, (Instant, Answers)>>,
}

/// Lookups at once. A hung `getaddrinfo` can't be stopped, so it keeps its place.
pub const LOOKUPS_MAX: usize = 16;
/// Limit of one lookup.
pub const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a positive answer is used.
pub const CACHE_TTL: Duration = Duration::from_secs(30);
/// Names kept; when full, expired ones go first, then all (a rare, cheap reset).
const CACHE_MAX: usize = 4_096;

impl Default for SystemResolver {
    fn default() -> Self {
        Self {
            threads: Arc::new(Semaphore::new(LOOKUPS_MAX)),
            cache: Mutex::new(HashMap::new()),
        }
    }
}

impl SystemResolver {
    fn cached(&self, name: &str, now: Instant) -> Option<Answers> {
        let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache
            .get(name)
            .filter(|(until, _)| *until > now)
            .map(|(_, answers)| Arc::clone(answers))
    }

    fn keep(&self, name: &str, answers: &Answers, now: Instant) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= CACHE_MAX {
            cache.retain(|_, (until, _)| *until > now);
        }
        if cache.len() >= CACHE_MAX {
            cache.clear();
        }
        cache.insert(name.into(), (now + CACHE_TTL, Arc::clone(answers)));
    }

    async fn look_up(&self, name: &str) -> Result<Answers, ResolveError> {
        let place = Arc::clone(&self.threads)
            .acquire_owned()
            .await
            .map_err(|_closed| ResolveError::Gone)?;
        let host = name.to_owned();
        let addresses = tokio::task::spawn_blocking(move || {
            // The place is given back when the call returns, not when its
            // caller stops waiting.
            let _place = place;
            (host.as_str(), 0).to_socket_addrs()
        })
        .await
        .map_err(|_panicked| ResolveError::Gone)?
        .map_err(ResolveError::Lookup)?;
        let mut answers: Vec<IpAddr> = Vec::new();
        for address in addresses {
            if !answers.contains(&address.ip()) && answers.len() < ANSWERS_MAX {
                answers.push(address.ip());
            }
        }
        if answers.is_empty() {
            return Err(ResolveError::NoAddress);
        }
        Ok(answers.into())
    }
}

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, name: &'a str) -> Resolving<'a> {
        Box::pin(async move {
            let now = Instant::now();
            if let Some(answers) = self.cached(name, now) {
                return Ok(answers);
            }
            let answers = timeout_at(now + LOOKUP_TIMEOUT, self.look_up(name))
                .await
                .map_err(|_elapsed| ResolveError::Timeout(LOOKUP_TIMEOUT))??;
            self.keep(name, &answers, Instant::now());
            Ok(answers)
        })
    }
}
