//! Where requests may go.
//!
//! The policy is applied to the resolved address in our own connector, right
//! before `connect`, for literals and names alike, because a check of the URL
//! or of the resolver alone can be walked around (rebinding, odd notations,
//! literals that skip the resolver). [`EgressPolicy::check_url`] is the early
//! check for people who write manifests; it is never the main control.
//! Exceptions are a deployment's (`allow_cidrs`), never a tenant's.

pub mod address;

use std::net::IpAddr;

use ipnet::IpNet;
use url::{Host, Url};

use crate::failure::FailureReason;

pub use address::{Forbidden, verdict};

/// The longest URL taken, in bytes.
pub const URL_MAX: usize = 2048;

/// What a deployment allows beyond public addresses over HTTPS.
#[derive(Clone, Debug, Default)]
pub struct EgressPolicy {
    /// Networks that may be reached although the deny list has them.
    pub allow_cidrs: Vec<IpNet>,
    /// Whether `http://` URLs are taken.
    pub allow_http: bool,
}

/// Why a URL can't be an endpoint's.
#[derive(Debug, thiserror::Error)]
pub enum UrlError {
    /// Neither https nor http.
    #[error("scheme {0:?} is not supported; use https")]
    Scheme(String),
    /// http, and the deployment does not allow it.
    #[error("http is not allowed here; use https, or set egress.allow_http")]
    Plaintext,
    /// A user name or password in the URL.
    #[error("the URL carries a user name or password; use the endpoint's authentication")]
    UserInfo,
    /// A fragment.
    #[error("the URL carries a fragment, which is never sent; remove it")]
    Fragment,
    /// No host.
    #[error("the URL has no host")]
    NoHost,
    /// Port 0.
    #[error("port 0 can't be connected to")]
    PortZero,
    /// More than [`URL_MAX`] bytes.
    #[error("the URL has {0} bytes; at most {URL_MAX} are taken")]
    TooLong(usize),
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
    /// The range of the deny list that has it.
    pub fn check(&self, address: IpAddr) -> Result<(), Forbidden> {
        if self.allows(address) {
            return Ok(());
        }
        verdict(address)
    }

    /// Whether a name with these answers may be connected to.
    ///
    /// One forbidden answer refuses the name, also beside public ones: a mixed
    /// set is what rebinding looks like. The one exception is a name whose
    /// answers are all in `allow_cidrs`.
    ///
    /// # Errors
    /// The first forbidden answer.
    pub fn check_answers(&self, answers: &[IpAddr]) -> Result<(), Forbidden> {
        if answers.iter().all(|answer| self.allows(*answer)) {
            return Ok(());
        }
        answers.iter().try_for_each(|answer| verdict(*answer))
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
        match url.scheme() {
            "https" => {}
            "http" if self.allow_http => {}
            "http" => return Err(UrlError::Plaintext),
            other => return Err(UrlError::Scheme(other.to_owned())),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlError::UserInfo);
        }
        if url.fragment().is_some() {
            return Err(UrlError::Fragment);
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(UrlError::NoHost);
        }
        if url.port() == Some(0) {
            return Err(UrlError::PortZero);
        }
        if url.as_str().len() > URL_MAX {
            return Err(UrlError::TooLong(url.as_str().len()));
        }
        Ok(())
    }

    fn allows(&self, address: IpAddr) -> bool {
        self.allow_cidrs.iter().any(|net| net.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn urls_that_are_refused() {
        let policy = EgressPolicy::default();
        let cases = [
            ("http://example.com/", "http is not allowed"),
            ("ftp://example.com/", "scheme"),
            ("https://user@example.com/", "user name"),
            ("https://:pw@example.com/", "user name"),
            ("https://example.com/#x", "fragment"),
            ("https://example.com:0/", "port 0"),
            ("https://127.0.0.1/", "forbidden"),
            ("https://2130706433/", "forbidden"),
            ("https://0x7f.1/", "forbidden"),
            ("https://0177.0.0.1/", "forbidden"),
            ("https://[::1]/", "forbidden"),
            ("https://[::ffff:169.254.169.254]/", "forbidden"),
            ("https://127.0.0.1./", "forbidden"),
        ];
        for (text, says) in cases {
            let error = policy.check_url(&url(text)).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
        let long = format!("https://example.com/{}", "a".repeat(URL_MAX));
        assert!(matches!(
            policy.check_url(&url(&long)),
            Err(UrlError::TooLong(_))
        ));
        assert!(policy.check_url(&url("https://example.com/a?b=c")).is_ok());
        assert!(policy.check_url(&url("https://1.1.1.1/")).is_ok());
    }

    #[test]
    fn a_mixed_answer_is_refused_and_an_allowed_set_is_not() {
        let public: IpAddr = "93.184.216.34".parse().unwrap();
        let private: IpAddr = "10.1.2.3".parse().unwrap();
        let strict = EgressPolicy::default();
        assert!(strict.check_answers(&[public]).is_ok());
        assert!(strict.check_answers(&[public, private]).is_err());
        let open = EgressPolicy {
            allow_cidrs: vec!["10.0.0.0/8".parse().unwrap()],
            allow_http: false,
        };
        assert!(open.check_answers(&[private]).is_ok());
        assert!(open.check_answers(&[public]).is_ok());
        assert!(open.check_answers(&[public, private]).is_err());
        assert!(open.check(private).is_ok());
        let loopback: IpAddr = "127.0.0.1".parse().unwrap();
        assert!(open.check(loopback).is_err());
    }
}
