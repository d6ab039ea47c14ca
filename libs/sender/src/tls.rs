//! The TLS side of outgoing connections: roots, provider, ALPN.
//!
//! The crypto provider is named here and never taken from the process, where
//! another crate could have installed another one.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

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
    /// The provider lacks what the default protocol versions need.
    #[error("TLS provider does not support the default protocol versions")]
    Versions(#[source] rustls::Error),
}

/// Reads the system's roots and adds `extra_cas`: TLS 1.2 and 1.3, ALPN
/// `h2, http/1.1`, no client certificate.
///
/// Reads files; call it once at start and share the result.
///
/// # Errors
/// No root at all, or an extra CA that is none.
pub fn client_config(
    extra_cas: &[CertificateDer<'static>],
) -> Result<Arc<ClientConfig>, TlsConfigError> {
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
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsConfigError::Versions)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
