//! What is wrong with an endpoint's `tls`, before it is used: for whoever
//! applies it, all at once.

use hooklane_model::pem::Pem;
use hooklane_model::resource::Tls;
use hooklane_model::time::UnixMillis;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::server::ParsedCertificate;

use super::certificate::Certificate;
use super::identity::{KeyError, certified_key};

/// What was found, each with the path of its field.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Review {
    /// What keeps it from being used.
    pub problems: Vec<(&'static str, String)>,
    /// What is likely to be regretted.
    pub doubts: Vec<(&'static str, String)>,
}

const CA: &str = "spec.tls.ca";
const CERTIFICATE: &str = "spec.tls.clientCertificate.certificate";
const KEY: &str = "spec.tls.clientCertificate.key";

/// Looks at what the form of the manifest has let pass: whether certificates
/// are some, and valid at `now`; whether the key is one that TLS knows and
/// belongs to its certificate, where the spec itself holds it.
#[must_use]
pub fn review(tls: &Tls, now: UnixMillis) -> Review {
    let mut review = Review::default();
    if let Some(pem) = &tls.ca {
        let usable = |der: &[u8]| {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from(der)).is_ok()
        };
        let certificates = Pem::parse_certificates(pem).unwrap_or_default();
        review.look_at(CA, &certificates, now, usable);
    }
    let Some(client) = &tls.client else {
        return review;
    };
    let certificate = client.certificate.as_deref();
    let mut chain = certificate.map(|pem| Pem::parse_certificates(pem).unwrap_or_default());
    let clear = client.key.inline();
    let place = if chain.is_some() { CERTIFICATE } else { KEY };
    if let (None, Some(clear)) = (&chain, clear) {
        chain = Pem::parse(clear.expose()).ok().map(|pem| pem.certificates);
    }
    let usable = |der: &[u8]| ParsedCertificate::try_from(&CertificateDer::from(der)).is_ok();
    let chain = chain.unwrap_or_default();
    review.look_at(place, &chain, now, usable);
    if let Some(clear) = clear {
        let problem = match certified_key(Some(chain), clear.expose()) {
            // Said already, of the form or of the certificate.
            Ok(_)
            | Err(KeyError::Pem(_) | KeyError::NoKey | KeyError::NoCertificate)
            | Err(KeyError::Certificate) => None,
            Err(KeyError::Mismatch) => Some("does not belong to the certificate".to_owned()),
            Err(other) => Some(other.to_string()),
        };
        review
            .problems
            .extend(problem.map(|problem| (KEY, problem)));
    }
    review
}

impl Review {
    fn look_at(
        &mut self,
        place: &'static str,
        certificates: &[Vec<u8>],
        now: UnixMillis,
        usable: impl Fn(&[u8]) -> bool,
    ) {
        for (number, der) in (1..).zip(certificates) {
            if !usable(der) {
                let problem = format!("certificate {number} is not an X.509 certificate");
                self.problems.push((place, problem));
                continue;
            }
            let Some(read) = Certificate::read(der) else {
                continue;
            };
            let doubt = if read.not_after < now {
                format!("has expired at {}", read.not_after)
            } else if now < read.not_before {
                format!("is not valid before {}", read.not_before)
            } else {
                continue;
            };
            let doubt = format!("certificate {number} ({read}) {doubt}");
            self.doubts.push((place, doubt));
        }
    }
}

#[cfg(test)]
mod tests;
