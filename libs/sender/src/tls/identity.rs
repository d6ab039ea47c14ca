//! A client certificate with its key, as rustls wants it.

use std::sync::Arc;

use hooklane_model::pem::{KeyDer, KeyForm, Pem};
use rustls::client::ResolvesClientCert;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer,
};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{Error, InconsistentKeys};
use zeroize::Zeroize;

use super::TlsError;

/// Why nobody can identify itself with a key. Shows nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Its text is not PEM, or not of one key.
    #[error("{0}")]
    Pem(&'static str),
    /// No key came.
    #[error("holds no private key")]
    NoKey,
    /// Neither in the spec nor with the key.
    #[error("there is no certificate: neither in the spec nor with the key")]
    NoCertificate,
    /// Not a key that TLS knows.
    #[error("is not a key of RSA (2,048 bits and more), ECDSA (P-256, P-384, P-521) or Ed25519")]
    Unsupported,
    /// A certificate is none.
    #[error("the certificate is not an X.509 certificate")]
    Certificate,
    /// The certificate is for another key.
    #[error("the key does not belong to the certificate")]
    Mismatch,
}

/// What answers a receiver that asks who is there: `certificate` and the key
/// in `key`, or both from `key`.
pub(super) fn client_identity(
    certificate: Option<&str>,
    key: &[u8],
) -> Result<Arc<dyn ResolvesClientCert>, TlsError> {
    let field = "clientCertificate.certificate";
    let chain = certificate.map(Pem::parse_certificates).transpose();
    let chain = chain.map_err(|problem| TlsError::Pem { field, problem })?;
    let identity = certified_key(chain, key).map_err(TlsError::Identity)?;
    Ok(Arc::new(SingleCertAndKey::from(identity)))
}

/// The key with its chain: `chain`, or what stands with the key.
pub(super) fn certified_key(
    chain: Option<Vec<Vec<u8>>>,
    key: &[u8],
) -> Result<CertifiedKey, KeyError> {
    let pem = Pem::parse(key).map_err(KeyError::Pem)?;
    let key = pem.key.ok_or(KeyError::NoKey)?;
    let mut der = private_key(key);
    let signing = any_supported_type(&der);
    // rustls does not wipe what it was shown.
    der.zeroize();
    let signing = signing.map_err(|_is_general| KeyError::Unsupported)?;
    let chain = chain.unwrap_or(pem.certificates);
    if chain.is_empty() {
        return Err(KeyError::NoCertificate);
    }
    let chain = chain.into_iter().map(CertificateDer::from).collect();
    let identity = CertifiedKey::new(chain, signing);
    match identity.keys_match() {
        Ok(()) => Ok(identity),
        Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(identity),
        Err(Error::InconsistentKeys(_)) => Err(KeyError::Mismatch),
        Err(_not_parsed) => Err(KeyError::Certificate),
    }
}

fn private_key(mut key: KeyDer) -> PrivateKeyDer<'static> {
    // Moved, so that there is one copy to wipe.
    let der = std::mem::take(&mut *key.der);
    match key.form {
        KeyForm::Pkcs8 => PrivatePkcs8KeyDer::from(der).into(),
        KeyForm::Pkcs1 => PrivatePkcs1KeyDer::from(der).into(),
        KeyForm::Sec1 => PrivateSec1KeyDer::from(der).into(),
    }
}
