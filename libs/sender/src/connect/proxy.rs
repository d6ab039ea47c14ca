//! An egress proxy: a connection through somebody else's `CONNECT`.
//!
//! The proxy is asked for the address that was judged here, never for a name,
//! so that nothing is resolved a second time behind our back. What goes wrong
//! with the proxy itself is ours: no receiver can help it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::HeaderValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use url::Url;

use super::Host;
use crate::resolve::ResolveError;

/// A proxy's answer to `CONNECT` is a status line and few headers.
const HEAD_MAX: usize = 8 * 1024;

/// Statuses by which a proxy says that the target, not it, is unreachable.
const TARGET_STATUSES: [u16; 2] = [502, 504];

/// A proxy that connections are made through.
#[derive(Clone, Debug)]
pub struct EgressProxy {
    pub(super) host: Host,
    pub(super) port: u16,
    authorization: Option<HeaderValue>,
    target_statuses: Vec<u16>,
}

/// Why a URL can't be a proxy's.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "is not the address of a proxy; write as in http://proxy.example:3128, without a user name or path"
)]
pub struct ProxyUrlError;

/// What is wrong with the proxy.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyError {
    #[error("the proxy's name")]
    Resolve(#[source] ResolveError),
    #[error("connect to the proxy")]
    Connect(#[source] io::Error),
    #[error("no connection to the proxy in time")]
    Timeout,
    #[error("ask the proxy")]
    Talk(#[source] io::Error),
    #[error("the proxy's answer is not one to CONNECT")]
    Answer,
    #[error("the proxy refuses, with status {0}")]
    Refused(u16),
}

/// What a proxy said to `CONNECT`.
pub(super) enum Asked {
    /// It is a connection to the target now.
    Connected,
    /// The proxy could not reach the target.
    Unreachable(u16),
}

impl EgressProxy {
    /// The proxy at `url`, which is `http://host:port`.
    ///
    /// # Errors
    /// It is anything else.
    pub fn try_new(url: &str) -> Result<Self, ProxyUrlError> {
        let url = Url::parse(url).map_err(|_not_a_url| ProxyUrlError)?;
        let bare = url.scheme() == "http"
            && url.username().is_empty()
            && url.password().is_none()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none();
        let host = match url.host() {
            Some(url::Host::Ipv4(ip)) if bare => Host::Address(IpAddr::V4(ip)),
            Some(url::Host::Ipv6(ip)) if bare => Host::Address(IpAddr::V6(ip)),
            Some(url::Host::Domain(name)) if bare => Host::Name(Arc::from(name)),
            _ => return Err(ProxyUrlError),
        };
        Ok(Self {
            host,
            port: url.port().unwrap_or(80),
            authorization: None,
            target_statuses: TARGET_STATUSES.to_vec(),
        })
    }

    /// With this in `proxy-authorization`.
    #[must_use]
    pub fn authorized(mut self, mut value: HeaderValue) -> Self {
        value.set_sensitive(true);
        self.authorization = Some(value);
        self
    }

    /// With other statuses by which it says that the target is unreachable.
    #[must_use]
    pub fn with_target_statuses(mut self, statuses: Vec<u16>) -> Self {
        self.target_statuses = statuses;
        self
    }

    /// Asks for a connection to `target` over `stream`.
    pub(super) async fn ask(
        &self,
        stream: &mut TcpStream,
        target: SocketAddr,
    ) -> Result<Asked, ProxyError> {
        let mut head = format!("CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n").into_bytes();
        if let Some(value) = &self.authorization {
            head.extend_from_slice(b"proxy-authorization: ");
            head.extend_from_slice(value.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        stream.write_all(&head).await.map_err(ProxyError::Talk)?;
        let status = read_status(stream).await?;
        match status {
            200..=299 => Ok(Asked::Connected),
            _ if self.target_statuses.contains(&status) => Ok(Asked::Unreachable(status)),
            _ => Err(ProxyError::Refused(status)),
        }
    }
}

/// Reads the answer's head to its end, and not a byte more: what follows a
/// refusal is of no interest, and before we speak a target says nothing.
async fn read_status(stream: &mut TcpStream) -> Result<u16, ProxyError> {
    let mut head = Vec::with_capacity(256);
    let end = loop {
        if let Some(at) = head.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if head.len() > HEAD_MAX {
            return Err(ProxyError::Answer);
        }
        let read = stream.read_buf(&mut head).await.map_err(ProxyError::Talk)?;
        if read == 0 {
            return Err(ProxyError::Talk(io::ErrorKind::UnexpectedEof.into()));
        }
    };
    let status = status_of(&head).ok_or(ProxyError::Answer)?;
    if (200..300).contains(&status) && head.len() > end {
        return Err(ProxyError::Answer);
    }
    Ok(status)
}

fn status_of(head: &[u8]) -> Option<u16> {
    let rest = head.strip_prefix(b"HTTP/1.")?;
    let (b'0' | b'1', b' ', digits) = (rest.first()?, rest.get(1)?, rest.get(2..5)?) else {
        return None;
    };
    if !matches!(rest.get(5)?, b' ' | b'\r') || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_proxies() {
        for (url, fits) in [
            ("http://proxy.example:3128", true),
            ("http://proxy.example:3128/", true),
            ("http://proxy", true),
            ("http://[fd00::1]:3128", true),
            ("http://10.0.0.1:3128", true),
            ("https://proxy.example:3128", false),
            ("http://user@proxy.example:3128", false),
            ("http://:secret@proxy.example:3128", false),
            ("http://proxy.example:3128/path", false),
            ("http://proxy.example:3128/?a", false),
            ("proxy.example:3128", false),
            ("", false),
        ] {
            assert_eq!(EgressProxy::try_new(url).is_ok(), fits, "{url}");
        }
    }

    #[test]
    fn status_lines() {
        for (line, status) in [
            ("HTTP/1.1 200 Connection established\r\n\r\n", Some(200)),
            ("HTTP/1.0 200\r\n\r\n", Some(200)),
            ("HTTP/1.1 407 Who\r\n\r\n", Some(407)),
            ("HTTP/1.1  200 OK\r\n\r\n", None),
            ("HTTP/1.1 2000 OK\r\n\r\n", None),
            ("HTTP/1.1 +20 OK\r\n\r\n", None),
            ("HTTP/2 200\r\n\r\n", None),
            ("SSH-2.0\r\n\r\n", None),
            ("\r\n\r\n", None),
        ] {
            assert_eq!(status_of(line.as_bytes()), status, "{line}");
        }
    }

    #[test]
    fn credentials_are_not_printed() {
        let proxy = EgressProxy::try_new("http://proxy.example:3128").unwrap();
        let proxy = proxy.authorized(HeaderValue::from_static("Basic c2VjcmV0"));
        assert!(!format!("{proxy:?}").contains("c2VjcmV0"));
    }
}
