//! The TLS side of outgoing connections: whom they trust, what they show.
//!
//! All endpoints share one configuration, except those whose spec has `tls`:
//! each of these has its own, with its own trust, identity and cache of
//! sessions. A [`Destination`](crate::Destination) takes one of them for good,
//! and nobody else uses its connections; so nothing that one endpoint shows or
//! trusts is ever shown or trusted for another, nor resumed.
//!
//! The crypto provider is named here and never taken from the process, where
//! another crate could have installed another one.

mod certificate;
mod check;
mod identity;

use std::sync::Arc;

use hooklane_model::pem::Pem;
use hooklane_model::resource::{Tls, TlsVersion};
use hooklane_model::secret::Secret;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, version};

use self::identity::client_identity;

pub use self::certificate::Certificate;
pub use self::check::{Review, review};
pub use self::identity::KeyError;

/// Why there is no usable TLS configuration.
#[derive(Debug, thiserror::Error)]
pub enum TlsConfigError {
    /// No trust anchor at all: every handshake would fail.
    #[error("no root certificate found; install ca-certificates or configure a CA file")]
    NoRoots,
    /// A configured CA is not a usable certificate.
    #[error("extra CA certificate {index} is not usable")]
    ExtraCa {
        /// Its place in the configured list, from 0.
        index: usize,
        /// What rustls said.
        #[source]
        source: rustls::Error,
    },
    /// The provider lacks what the protocol versions need.
    #[error("TLS provider does not support the protocol versions")]
    Versions(#[source] rustls::Error),
}

/// Why an endpoint's `tls` cannot be used. Shows nothing of a key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// An authority in `ca` is none.
    #[error("ca: certificate {number} is not usable")]
    Ca {
        /// Its place in the text, from 1.
        number: usize,
        /// What rustls said.
        #[source]
        source: rustls::Error,
    },
    /// What everybody may see is not PEM.
    #[error("{field} {problem}")]
    Pem {
        /// The field below `tls`.
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The key, or what stands with it.
    #[error("clientCertificate.key: {0}")]
    Identity(KeyError),
    /// The provider lacks what the protocol versions need.
    #[error("TLS provider does not support the protocol versions")]
    Versions(#[source] rustls::Error),
}

impl TlsError {
    /// Whether it is the secret, which may become another one without a change
    /// of the spec.
    #[must_use]
    pub fn is_of_secret(&self) -> bool {
        matches!(self, Self::Identity(_))
    }
}

/// The configuration that all endpoints share, and what others are made from.
#[derive(Clone, Debug)]
pub struct TlsDefaults {
    roots: Arc<RootCertStore>,
    pub(crate) shared: Arc<ClientConfig>,
}

impl TlsDefaults {
    /// Reads the system's roots and adds `extra_cas`: TLS 1.2 and 1.3, ALPN
    /// `h2, http/1.1`, no client certificate.
    ///
    /// Reads files; call it once at start and share the result.
    ///
    /// # Errors
    /// No root at all, or an extra CA that is none.
    pub fn load(extra_cas: &[CertificateDer<'static>]) -> Result<Self, TlsConfigError> {
        let mut roots = RootCertStore::empty();
        let native = rustls_native_certs::load_native_certs();
        for error in &native.errors {
            tracing::warn!(%error, "some system root certificates are unreadable");
        }
        roots.add_parsable_certificates(native.certs);
        for (index, ca) in extra_cas.iter().enumerate() {
            roots
                .add(ca.clone())
                .map_err(|source| TlsConfigError::ExtraCa { index, source })?;
        }
        if roots.is_empty() {
            return Err(TlsConfigError::NoRoots);
        }
        let roots = Arc::new(roots);
        // Sessions stay at rustls's default, those of the last 32 servers. Each
        // server decides how large its own are: eight tickets and as many
        // chains of certificates, of 64 KiB each at most, so 1 MiB. More of them
        // would save handshakes and let hostile receivers take the memory.
        let shared = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions(TlsVersion::V1_2))
            .map_err(TlsConfigError::Versions)?
            .with_root_certificates(Arc::clone(&roots))
            .with_no_client_auth();
        Ok(Self {
            roots,
            shared: Arc::new(with_alpn(shared)),
        })
    }

    /// What connections for an endpoint with this `tls` are made with: the
    /// shared configuration without one, else one of its own. `key` is the
    /// secret that [`Tls::secret`] names. Whatever else is called on behalf of
    /// the same endpoint, with the same trust and identity, takes it from here.
    ///
    /// # Errors
    /// What of it cannot be used.
    pub fn of(
        &self,
        tls: Option<&Tls>,
        key: Option<&Secret>,
    ) -> Result<Arc<ClientConfig>, TlsError> {
        let Some(tls) = tls else {
            return Ok(Arc::clone(&self.shared));
        };
        let roots = match &tls.ca {
            Some(pem) => Arc::new(roots_of(pem)?),
            None => Arc::clone(&self.roots),
        };
        let config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions(tls.min_version))
            .map_err(TlsError::Versions)?
            .with_root_certificates(roots);
        let mut config = match (&tls.client, key) {
            (Some(client), Some(key)) => config.with_client_cert_resolver(client_identity(
                client.certificate.as_deref(),
                key.expose(),
            )?),
            (Some(_), None) => return Err(TlsError::Identity(KeyError::NoKey)),
            (None, _) => config.with_no_client_auth(),
        };
        // One server: the default has room for those of 32.
        config.resumption = Resumption::in_memory_sessions(1);
        Ok(Arc::new(with_alpn(config)))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

static FROM_1_2: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];
static FROM_1_3: [&SupportedProtocolVersion; 1] = [&version::TLS13];

fn versions(min: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    match min {
        TlsVersion::V1_2 => &FROM_1_2,
        TlsVersion::V1_3 => &FROM_1_3,
    }
}

fn with_alpn(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

fn roots_of(pem: &str) -> Result<RootCertStore, TlsError> {
    let field = "ca";
    let certificates =
        Pem::parse_certificates(pem).map_err(|problem| TlsError::Pem { field, problem })?;
    let mut roots = RootCertStore::empty();
    for (number, certificate) in (1..).zip(certificates) {
        roots
            .add(CertificateDer::from(certificate))
            .map_err(|source| TlsError::Ca { number, source })?;
    }
    Ok(roots)
}
