//! A resolver of our own over hickory's protocol: no blocking call, no hosts
//! file, no search domain, and a bound on everything a hostile zone can stretch.
//!
//! Whoever asks for a name that is being asked for waits for the same answer.
//! A lookup goes on when the attempt that wanted it has given up, so that the
//! next one finds its answer. One resolver belongs to one runtime.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig,
    ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::Name;
use hickory_resolver::{Resolver, TokioResolver};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::cache::{Begun, Names, Outcome};
use super::{ANSWERS_MAX, Answers, Resolve, ResolveError, Resolving};

/// Lookups at once, each one or two sockets. A zone that hangs takes its
/// places for one lookup's time and is then left alone for a while.
const LOOKUPS_MAX: usize = 128;

/// How long name servers are waited for.
#[derive(Clone, Copy, Debug)]
pub struct DnsTimeouts {
    /// One question, over all servers. It is asked twice.
    pub question: Duration,
    /// All of a lookup, waiting for a place and aliases included.
    pub lookup: Duration,
}

impl Default for DnsTimeouts {
    /// Two questions leave time to connect, of the 5 s for both.
    fn default() -> Self {
        Self {
            question: Duration::from_millis(1_500),
            lookup: Duration::from_secs(5),
        }
    }
}

/// Asks name servers over UDP, and TCP where an answer is cut off.
pub struct DnsResolver(Arc<Inner>);

struct Inner {
    upstream: TokioResolver,
    places: Semaphore,
    names: Mutex<Names>,
    lookup_timeout: Duration,
}

impl DnsResolver {
    /// A resolver that asks `servers`, in any order. Reads no file and
    /// connects nowhere yet.
    ///
    /// # Errors
    /// What hickory says of its options.
    pub fn try_new(servers: &[SocketAddr], timeouts: DnsTimeouts) -> Result<Self, NetError> {
        let name_servers = servers.iter().map(|server| {
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
            let with_port = connections.into_iter().map(|mut connection| {
                connection.port = server.port();
                connection
            });
            NameServerConfig::new(server.ip(), true, with_port.collect())
        });
        let config = ResolverConfig::from_parts(None, Vec::new(), name_servers.collect());
        let mut options = ResolverOpts::default();
        options.timeout = timeouts.question;
        options.attempts = 1;
        options.use_hosts_file = ResolveHosts::Never;
        // Both, always: a name is judged by all of its addresses.
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        // The cache is ours, with our bounds on its times.
        options.cache_size = 0;
        let provider = TokioRuntimeProvider::default();
        let upstream = Resolver::builder_with_config(config, provider)
            .with_options(options)
            .build()?;
        Ok(Self(Arc::new(Inner {
            upstream,
            places: Semaphore::new(LOOKUPS_MAX),
            names: Mutex::default(),
            lookup_timeout: timeouts.lookup,
        })))
    }
}

impl Resolve for DnsResolver {
    fn resolve<'a>(&'a self, name: &'a str) -> Resolving<'a> {
        Box::pin(async move {
            let mut answer = match self.0.begin(name) {
                Begun::Known(outcome) => return outcome,
                Begun::Asked(answer) => answer,
                Begun::Ask(say, answer) => {
                    let (inner, name) = (Arc::clone(&self.0), Box::<str>::from(name));
                    // Ends by itself: a lookup has a limit.
                    tokio::spawn(async move {
                        let (outcome, ttl) = inner.ask(&name).await;
                        let now = Instant::now();
                        inner.names().keep(name, outcome.clone(), ttl, now);
                        say.send_replace(Some(outcome));
                    });
                    answer
                }
            };
            let outcome = answer.wait_for(Option::is_some).await;
            let outcome = outcome.map_err(|_ended| ResolveError::Gone)?;
            outcome.clone().unwrap_or(Err(ResolveError::Gone))
        })
    }
}

impl Inner {
    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, name: &str) -> Begun {
        self.names().begin(name, Instant::now())
    }

    async fn ask(&self, name: &str) -> (Outcome, Duration) {
        let lookup = async {
            let _place = self.places.acquire().await;
            self.look_up(name).await
        };
        match timeout_at(Instant::now() + self.lookup_timeout, lookup).await {
            Ok(Ok((answers, ttl))) => (Ok(answers), ttl),
            Ok(Err(error)) => (Err(error), Duration::ZERO),
            Err(_elapsed) => {
                let error = ResolveError::Timeout(self.lookup_timeout);
                (Err(error), Duration::ZERO)
            }
        }
    }

    async fn look_up(&self, name: &str) -> Result<(Answers, Duration), ResolveError> {
        let mut full = Name::from_ascii(name).map_err(|_no_dns_name| ResolveError::NoAddress)?;
        if full.num_labels() == 0 {
            return Err(ResolveError::NoAddress);
        }
        // Never below a search domain.
        full.set_fqdn(true);
        let found = self.upstream.lookup_ip(full).await.map_err(|error| {
            if error.is_no_records_found() {
                ResolveError::NoAddress
            } else {
                ResolveError::Lookup(error)
            }
        })?;
        let mut answers = Vec::new();
        for address in found.iter() {
            if !answers.contains(&address) {
                answers.push(address);
            }
            if answers.len() > ANSWERS_MAX {
                return Err(ResolveError::TooMany(found.iter().count()));
            }
        }
        if answers.is_empty() {
            return Err(ResolveError::NoAddress);
        }
        let ttl = Instant::from_std(found.valid_until()).saturating_duration_since(Instant::now());
        Ok((by_turns(&answers).into(), ttl))
    }
}

/// The families by turns, IPv4 first, so that the few addresses that are tried
/// are of both.
fn by_turns(answers: &[IpAddr]) -> Vec<IpAddr> {
    let (four, six): (Vec<IpAddr>, Vec<IpAddr>) = answers.iter().partition(|ip| ip.is_ipv4());
    let longest = four.len().max(six.len());
    (0..longest)
        .flat_map(|n| [four.get(n).copied(), six.get(n).copied()])
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let ips = |texts: &[&str]| texts.iter().map(|ip| ip.parse().unwrap()).collect();
        let cases: [(Vec<IpAddr>, Vec<IpAddr>); 3] = [
            (
                ips(&["1.1.1.1", "1.1.1.2", "1.1.1.3", "2600::1"]),
                ips(&["1.1.1.1", "2600::1", "1.1.1.2", "1.1.1.3"]),
            ),
            (
                ips(&["2600::1", "2600::2", "1.1.1.1"]),
                ips(&["1.1.1.1", "2600::1", "2600::2"]),
            ),
            (ips(&["2600::1"]), ips(&["2600::1"])),
        ];
        for (given, expected) in cases {
            assert_eq!(by_turns(&given), expected);
        }
    }
}
