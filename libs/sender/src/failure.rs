//! Why an attempt failed, as a closed set of reasons.
//!
//! The reason is decided here, once, from the error that hyper, rustls or the
//! operating system gave; everybody else (outcome rules, metrics, attempt
//! records, dead letters) works with [`FailureReason`] and never looks at
//! error text. Display texts carry no URL, header or body.
//!
//! There are two vocabularies. Operators (metrics, logs) get the reason itself;
//! what tenants may read (attempts, dead letters) gets [`FailureReason::shown`],
//! in which everything that happens before a connection stands is one word, so
//! that nobody can map a network by pointing endpoints at it.

use std::error::Error as StdError;
use std::fmt;
use std::io;

/// An error of any lower layer, kept as the cause of a [`Failure`].
pub type Cause = Box<dyn StdError + Send + Sync>;

/// What an attempt was doing when its deadline passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// In the TLS handshake.
    Tls,
    /// The receiver did not take the request.
    Write,
    /// The request was written, no response head came. From the head on there
    /// is an answer, however long its body takes.
    ResponseHeaders,
}

/// Whose fault a failure is, as far as one attempt can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The receiver's.
    Receiver,
    /// Somewhere between.
    Network,
    /// Ours: nothing that the receiver did or could change.
    Us,
}

impl Side {
    /// The name in metrics and records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Receiver => "receiver",
            Self::Network => "network",
            Self::Us => "us",
        }
    }
}

/// Why an attempt brought no usable response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureReason {
    /// The name did not resolve, or not in time.
    Dns,
    /// The same of a name that is internal by its form (`*.internal`, ...):
    /// whether there is such a name is not a tenant's business.
    DnsInternal,
    /// The receiver's host refused the connection.
    ConnectRefused,
    /// No connection within the connect limit.
    ConnectTimeout,
    /// Any other failure to connect (unreachable, no route).
    Connect,
    /// We are out of descriptors, ports, memory or room for lookups; says
    /// nothing about the receiver.
    Local,
    /// The egress proxy could not be reached, or would not.
    Proxy,
    /// The TLS handshake failed (certificate, name, broken handshake).
    Tls,
    /// No protocol version or cipher suite in common.
    TlsIncompatible,
    /// The receiver refused the client certificate, or wants one and got none.
    TlsClientCertificate,
    /// The attempt's deadline passed.
    Timeout(Phase),
    /// The connection or stream was reset.
    Reset,
    /// The connection was closed before the response was whole.
    Closed,
    /// The receiver does not speak HTTP as it must.
    Protocol,
    /// Response head or raw response beyond our limits.
    ResponseTooLarge,
    /// The egress policy forbids the address; nothing was sent, not even a SYN.
    ForbiddenAddress,
    /// `may_start` said no; nothing was sent.
    NotStarted,
    /// The request can't be sent as asked; nothing was sent.
    InvalidRequest,
    /// No connection to the token server, or no name of it; no request was made.
    TokenUnreachable,
    /// The token server has no usable answer for now; no request was made.
    TokenUnavailable,
    /// The token server won't give a token; no request was made.
    TokenRefused,
    /// What the token server gives is no usable token; no request was made.
    TokenInvalid,
    /// 401 to a token that was given up for it, and no room for a request with
    /// another one within the timeout.
    TokenRejected,
}

impl FailureReason {
    /// Every reason, so that metrics can register all label values at start.
    pub const ALL: [Self; 25] = [
        Self::Dns,
        Self::DnsInternal,
        Self::ConnectRefused,
        Self::ConnectTimeout,
        Self::Connect,
        Self::Local,
        Self::Proxy,
        Self::Tls,
        Self::TlsIncompatible,
        Self::TlsClientCertificate,
        Self::Timeout(Phase::Tls),
        Self::Timeout(Phase::Write),
        Self::Timeout(Phase::ResponseHeaders),
        Self::Reset,
        Self::Closed,
        Self::Protocol,
        Self::ResponseTooLarge,
        Self::ForbiddenAddress,
        Self::NotStarted,
        Self::InvalidRequest,
        Self::TokenUnreachable,
        Self::TokenUnavailable,
        Self::TokenRefused,
        Self::TokenInvalid,
        Self::TokenRejected,
    ];

    /// The stable name in metrics and records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::DnsInternal => "dns_internal",
            Self::ConnectRefused => "connect_refused",
            Self::ConnectTimeout => "connect_timeout",
            Self::Connect => "connect",
            Self::Local => "local",
            Self::Proxy => "proxy",
            Self::Tls => "tls",
            Self::TlsIncompatible => "tls_incompatible",
            Self::TlsClientCertificate => "tls_client_certificate",
            Self::Timeout(Phase::Tls) => "timeout_tls",
            Self::Timeout(Phase::Write) => "timeout_write",
            Self::Timeout(Phase::ResponseHeaders) => "timeout_response_headers",
            Self::Reset => "reset",
            Self::Closed => "closed",
            Self::Protocol => "protocol",
            Self::ResponseTooLarge => "response_too_large",
            Self::ForbiddenAddress => "forbidden_address",
            Self::NotStarted => "not_started",
            Self::InvalidRequest => "invalid_request",
            Self::TokenUnreachable => "token_unreachable",
            Self::TokenUnavailable => "token_unavailable",
            Self::TokenRefused => "token_refused",
            Self::TokenInvalid => "token_invalid",
            Self::TokenRejected => "token_rejected",
        }
    }

    /// Whose fault it is, as far as one attempt can tell.
    #[must_use]
    pub fn side(self) -> Side {
        match self {
            Self::Dns
            | Self::DnsInternal
            | Self::ConnectTimeout
            | Self::Connect
            | Self::TokenUnreachable => Side::Network,
            // A forbidden address is where the endpoint's URL leads.
            Self::ConnectRefused
            | Self::ForbiddenAddress
            | Self::Tls
            | Self::TlsIncompatible
            | Self::TlsClientCertificate
            | Self::Timeout(_)
            | Self::Reset
            | Self::Closed
            | Self::Protocol
            | Self::ResponseTooLarge
            // Who lets requests in is the receiver's to say.
            | Self::TokenUnavailable
            | Self::TokenRefused
            | Self::TokenInvalid
            | Self::TokenRejected => Side::Receiver,
            Self::Local | Self::Proxy | Self::NotStarted | Self::InvalidRequest => Side::Us,
        }
    }

    /// The reason of a name, as [`FailureReason::as_str`] gives it.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }

    /// What tenants are told.
    #[must_use]
    pub fn shown(self) -> Shown {
        match self {
            Self::DnsInternal
            | Self::ConnectRefused
            | Self::ConnectTimeout
            | Self::Connect
            | Self::ForbiddenAddress => Shown {
                reason: "unreachable",
                side: Side::Network,
                hides_time: true,
            },
            Self::Local | Self::Proxy => Shown {
                reason: "internal",
                side: Side::Us,
                hides_time: true,
            },
            // Its own word, so that people know which of their two servers it
            // is; within it nothing is told apart.
            Self::TokenUnreachable => Shown {
                reason: self.as_str(),
                side: self.side(),
                hides_time: true,
            },
            other => Shown {
                reason: other.as_str(),
                side: other.side(),
                hides_time: false,
            },
        }
    }

    /// Whether a request can end so, whatever it is for.
    pub(crate) fn is_of_request(self) -> bool {
        !matches!(
            self,
            Self::NotStarted | Self::InvalidRequest | Self::TokenRejected
        ) && !self.is_lack_of_token()
    }

    /// Whether there was no token, and so no request, and the next delivery to
    /// the same endpoint would meet the same.
    #[must_use]
    pub fn is_lack_of_token(self) -> bool {
        matches!(
            self,
            Self::TokenUnreachable
                | Self::TokenUnavailable
                | Self::TokenRefused
                | Self::TokenInvalid
        )
    }

    /// Whether nothing that the receiver, its network or its owner could do
    /// made this failure, and the next request to anybody would meet it too.
    #[must_use]
    pub fn is_outage_of_ours(self) -> bool {
        matches!(self, Self::Local | Self::Proxy)
    }
}

/// A failure as tenants are told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The word.
    pub reason: &'static str,
    /// Whose fault it is called.
    pub side: Side,
    /// Whether to say how long it took: a refusal takes no time, a silent
    /// address takes the whole limit.
    pub hides_time: bool,
}

impl fmt::Display for FailureReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failed attempt: the reason, what is known of the response, the cause.
#[derive(Debug)]
pub struct Failure {
    /// The classified reason.
    pub reason: FailureReason,
    /// The status, where a response head had come before it failed: the answer
    /// broke off, so nobody can tell what it was going to be, and what the head
    /// said does not count. (An answer that we left off reading does count.)
    pub status: Option<u16>,
    /// The error underneath, for the log.
    pub cause: Option<Cause>,
}

impl Failure {
    pub(crate) fn new(reason: FailureReason) -> Self {
        Self {
            reason,
            status: None,
            cause: None,
        }
    }

    pub(crate) fn caused(reason: FailureReason, cause: impl Into<Cause>) -> Self {
        Self {
            reason,
            status: None,
            cause: Some(cause.into()),
        }
    }

    pub(crate) fn of_exchange(error: hyper::Error) -> Self {
        Self::caused(exchange_reason(&error), error)
    }

    /// Whose fault it is, as far as one attempt can tell.
    #[must_use]
    pub fn side(&self) -> Side {
        self.reason.side()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attempt failed: {}", self.reason)
    }
}

impl StdError for Failure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause
            .as_deref()
            .map(|cause| cause as &(dyn StdError + 'static))
    }
}

/// Marks a response that went beyond the raw byte limit of one exchange.
#[derive(Debug, thiserror::Error)]
#[error("response took more than {reads} reads")]
pub(crate) struct OverLimit {
    pub(crate) reads: u32,
}

/// Classifies an error of an exchange that had been handed to hyper.
pub(crate) fn exchange_reason(error: &hyper::Error) -> FailureReason {
    let mut next = Some(error as &(dyn StdError + 'static));
    while let Some(inner) = next {
        next = inner.source();
        if let Some(http2) = inner.downcast_ref::<h2::Error>()
            && let Some(reason) = http2_reason(http2)
        {
            return reason;
        }
        if let Some(os) = inner.downcast_ref::<io::Error>() {
            return io_reason(os);
        }
        if let Some(outer) = inner.downcast_ref::<hyper::Error>() {
            if outer.is_parse_too_large() {
                return FailureReason::ResponseTooLarge;
            }
            if outer.is_parse() {
                return FailureReason::Protocol;
            }
            if outer.is_incomplete_message() || outer.is_canceled() || outer.is_closed() {
                return FailureReason::Closed;
            }
        }
    }
    FailureReason::Protocol
}

fn http2_reason(error: &h2::Error) -> Option<FailureReason> {
    if let Some(os) = error.get_io() {
        return Some(io_reason(os));
    }
    // A stream or connection error that we detected is the receiver breaking
    // the protocol; one that it sent is it hanging up.
    Some(match (error.is_remote(), error.is_go_away()) {
        (true, true) => FailureReason::Closed,
        (true, false) => FailureReason::Reset,
        (false, _) => FailureReason::Protocol,
    })
}

fn io_reason(error: &io::Error) -> FailureReason {
    let inner = error.get_ref();
    if inner.is_some_and(|inner| inner.is::<OverLimit>()) {
        return FailureReason::ResponseTooLarge;
    }
    if let Some(reason) = tls_reason(error) {
        return reason;
    }
    match error.kind() {
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => FailureReason::Reset,
        io::ErrorKind::UnexpectedEof | io::ErrorKind::NotConnected => FailureReason::Closed,
        // A body whose framing is broken (bad chunk, too many trailers).
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => FailureReason::Protocol,
        _ => FailureReason::Reset,
    }
}

/// Classifies an error of the TLS handshake.
pub(crate) fn handshake_reason(error: &(dyn StdError + 'static)) -> FailureReason {
    let mut next = Some(error);
    while let Some(inner) = next {
        if let Some(tls) = inner.downcast_ref::<rustls::Error>() {
            return tls_error_reason(tls);
        }
        // io::Error::source skips the error it wraps and gives that one's
        // source; the rustls error is the wrapped one.
        next = match inner.downcast_ref::<io::Error>() {
            Some(os) => os
                .get_ref()
                .map(|wrapped| wrapped as &(dyn StdError + 'static)),
            None => inner.source(),
        };
    }
    FailureReason::Tls
}

/// Classifies an error of a TLS stream's reading or writing; `None` if it is
/// not TLS that failed.
pub(crate) fn tls_reason(error: &io::Error) -> Option<FailureReason> {
    let inner = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    Some(tls_error_reason(inner))
}

fn tls_error_reason(error: &rustls::Error) -> FailureReason {
    use rustls::AlertDescription as Alert;
    match error {
        // Of certificates, a server judges one alone: ours. What it says where
        // none came is `certificate_required` in TLS 1.3; in 1.2 that is often
        // `handshake_failure`, which says nothing.
        rustls::Error::AlertReceived(
            Alert::NoCertificate
            | Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied,
        ) => FailureReason::TlsClientCertificate,
        rustls::Error::PeerIncompatible(_)
        | rustls::Error::AlertReceived(
            Alert::HandshakeFailure | Alert::ProtocolVersion | Alert::InsufficientSecurity,
        ) => FailureReason::TlsIncompatible,
        _ => FailureReason::Tls,
    }
}

/// Classifies an error of `connect(2)` and of making the socket for it.
pub(crate) fn connect_reason(error: &io::Error) -> FailureReason {
    // EMFILE, ENFILE, ENOMEM, ENOBUFS, EADDRNOTAVAIL: ours, and must not open
    // a breaker or spend the receiver's attempts.
    const LOCAL: [i32; 5] = [24, 23, 12, 105, 99];
    if error.raw_os_error().is_some_and(|os| LOCAL.contains(&os)) {
        return FailureReason::Local;
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => FailureReason::ConnectRefused,
        io::ErrorKind::TimedOut => FailureReason::ConnectTimeout,
        _ => FailureReason::Connect,
    }
}

#[cfg(test)]
mod tests;
