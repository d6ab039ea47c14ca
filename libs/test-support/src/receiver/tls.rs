//! The TLS side of a receiver, with an authority of its own.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use tokio_rustls::TlsAcceptor;

use crate::authority::Authority;

/// The acceptor, and the authority's certificate as PEM for clients to trust.
/// With `clients`, everybody needs a certificate of that authority.
pub(super) fn acceptor(
    alpn: &[&[u8]],
    clients: Option<&Authority>,
) -> anyhow::Result<(TlsAcceptor, String)> {
    let authority = Authority::new("a receiver's authority")?;
    let server = authority.vouch_for("localhost")?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let config = match clients {
        None => config.with_no_client_auth(),
        Some(clients) => config.with_client_cert_verifier(
            WebPkiClientVerifier::builder_with_provider(clients.roots()?, provider).build()?,
        ),
    };
    let mut config = config.with_single_cert(vec![server.der().clone()], server.key()?)?;
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok((TlsAcceptor::from(Arc::new(config)), authority.pem()))
}
