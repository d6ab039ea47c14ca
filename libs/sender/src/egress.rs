//! Where requests may go.
//!
//! The policy is applied to the resolved address in our own connector, right
//! before `connect`, for literals and names alike, because a check of the URL
//! or of the resolver alone can be walked around (rebinding, odd notations,
//! literals that skip the resolver). [`EgressPolicy::check_url`] is the early
//! check for people who write manifests; it is never the main control.
//! Exceptions are a deployment's, never a tenant's, and never change while a
//! process runs: no connection outlives the policy it was made under.

pub mod address;
mod own;

use std::net::IpAddr;

use hooklane_model::url_rule::{UrlRule, broken_rules, is_internal_name};
use ipnet::{IpNet, Ipv6Net};
use url::{Host, Url};

use crate::failure::FailureReason;

pub use address::{Forbidden, verdict};
pub use own::is_own_address;

/// Below this only the ports of HTTP are called: the rest belongs to services
/// that were never meant to be spoken to by strangers.
const WELL_KNOWN_PORTS: u16 = 1_024;

/// What a deployment allows beyond public addresses over HTTPS.
#[derive(Clone, Debug)]
pub struct EgressPolicy {
    /// Networks that may be reached although the deny list has them.
    pub allow_cidrs: Vec<IpNet>,
    /// Networks that must not be reached although they look public. Above
    /// `allow_cidrs`.
    pub deny_cidrs: Vec<IpNet>,
    /// Prefixes under which a NAT64 gateway of this network translates to
    /// IPv4, beside the well-known one; /32, /40, /48, /56, /64 or /96. An
    /// address in one is judged by the IPv4 address inside.
    pub nat64_prefixes: Vec<Ipv6Net>,
    /// Whether `http://` URLs are taken.
    pub allow_http: bool,
    /// Ports below 1,024 that may be called beside 443 and 80.
    pub allow_ports: Vec<u16>,
    /// Whether an address is this machine's own, public ones included: the
    /// kernel routes those through the loopback, past every firewall.
    pub is_own: fn(IpAddr) -> bool,
}

impl Default for EgressPolicy {
    fn default() -> Self {
        Self {
            allow_cidrs: Vec::new(),
            deny_cidrs: Vec::new(),
            nat64_prefixes: Vec::new(),
            allow_http: false,
            allow_ports: Vec::new(),
            is_own: is_own_address,
        }
    }
}

/// Why a URL can't be an endpoint's.
#[derive(Debug, thiserror::Error)]
pub enum UrlError {
    /// It breaks a rule that holds everywhere.
    #[error("the URL {0}")]
    Rule(UrlRule),
    /// http, and the deployment does not allow it.
    #[error("http is not allowed here; use https, or set egress.allow_http")]
    Plaintext,
    /// A port that the deployment does not allow.
    #[error(
        "port {0} is not allowed here; use 443, 80 or one from 1024 on, or set egress.allow_ports"
    )]
    Port(u16),
    /// The host is a literal address that the policy forbids.
    #[error("the host is a forbidden address")]
    Forbidden(#[source] Forbidden),
    /// `url` takes it, HTTP's request line does not.
    #[error("path or authority can't be put into a request")]
    Unsendable(#[source] http::Error),
    /// Not a name that TLS can verify.
    #[error("the host is not a valid TLS server name")]
    ServerName(#[source] rustls::pki_types::InvalidDnsNameError),
}

impl UrlError {
    /// What an attempt to such a URL would be called.
    #[must_use]
    pub fn reason(&self) -> FailureReason {
        match self {
            Self::Forbidden(_) => FailureReason::ForbiddenAddress,
            _ => FailureReason::InvalidRequest,
        }
    }
}

impl EgressPolicy {
    /// Whether `address` may be connected to.
    ///
    /// # Errors
    /// What forbids it.
    pub fn check(&self, address: IpAddr) -> Result<(), Forbidden> {
        self.judge(address, self.allows(address))
    }

    fn judge(&self, address: IpAddr, allowed: bool) -> Result<(), Forbidden> {
        let because = |range| Err(Forbidden { address, range });
        let behind = self.behind_nat64(address);
        let denied = |ip: IpAddr| self.deny_cidrs.iter().any(|net| net.contains(&ip));
        if denied(address) || behind.is_some_and(denied) {
            return because("egress.deny_cidrs");
        }
        if allowed {
            return Ok(());
        }
        match behind {
            Some(inner) => {
                if let Err(forbidden) = verdict(inner) {
                    return because(forbidden.range);
                }
            }
            None => verdict(address)?,
        }
        if (self.is_own)(address) || behind.is_some_and(self.is_own) {
            return because("the addresses of this machine");
        }
        Ok(())
    }

    /// Whether `name`, with these answers, may be connected to.
    ///
    /// One forbidden answer refuses the name, also beside public ones: a mixed
    /// set is what rebinding looks like. A set whose answers are all in
    /// `allow_cidrs` is as it was allowed; a name that is internal by its form
    /// has to be such.
    ///
    /// # Errors
    /// The first forbidden answer.
    pub fn check_answers(&self, name: &str, answers: &[IpAddr]) -> Result<(), Forbidden> {
        let allowed = |ip: &&IpAddr| self.allows(**ip) && self.check(**ip).is_ok();
        let Some(outside) = answers.iter().find(|ip| !allowed(ip)) else {
            return Ok(());
        };
        if is_internal_name(name) {
            return Err(Forbidden {
                address: *outside,
                range: "the answers of a name that is internal by its form",
            });
        }
        // Beside others the allowed ones are judged as if nothing was allowed.
        answers.iter().try_for_each(|ip| self.judge(*ip, false))
    }

    /// The checks that need no network: form of the URL, and a literal host.
    ///
    /// # Errors
    /// The first rule that the URL breaks.
    pub fn check_url(&self, url: &Url) -> Result<(), UrlError> {
        self.check_form(url)?;
        match url.host() {
            Some(Host::Ipv4(ip)) => self.check(IpAddr::V4(ip)).map_err(UrlError::Forbidden),
            Some(Host::Ipv6(ip)) => self.check(IpAddr::V6(ip)).map_err(UrlError::Forbidden),
            Some(Host::Domain(_)) | None => Ok(()),
        }
    }

    pub(crate) fn check_form(&self, url: &Url) -> Result<(), UrlError> {
        if let Some(rule) = broken_rules(url).into_iter().next() {
            return Err(UrlError::Rule(rule));
        }
        if url.scheme() != "https" && !self.allow_http {
            return Err(UrlError::Plaintext);
        }
        match url.port() {
            Some(port) if !self.allows_port(port) => Err(UrlError::Port(port)),
            _ => Ok(()),
        }
    }

    fn allows_port(&self, port: u16) -> bool {
        port >= WELL_KNOWN_PORTS || [443, 80].contains(&port) || self.allow_ports.contains(&port)
    }

    fn allows(&self, address: IpAddr) -> bool {
        self.allow_cidrs.iter().any(|net| net.contains(&address))
    }

    /// The IPv4 address that a NAT64 gateway makes of `address`.
    fn behind_nat64(&self, address: IpAddr) -> Option<IpAddr> {
        let IpAddr::V6(ip) = address else { return None };
        address::behind_nat64(ip, &self.nat64_prefixes).map(IpAddr::V4)
    }
}

#[cfg(test)]
mod tests;
