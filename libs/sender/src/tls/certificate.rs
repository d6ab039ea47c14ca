//! What people want to know of a certificate: whose it is and how long.
//!
//! For warnings and for showing, never for trust: what is trusted, rustls
//! decides.

use std::fmt;

use hooklane_model::pem::Pem;
use hooklane_model::time::UnixMillis;
use x509_parser::parse_x509_certificate;
use x509_parser::time::ASN1Time;

/// Whose a certificate is and how long it is valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Its subject as `CN=..., O=...`; empty where the names stand elsewhere.
    pub subject: String,
    /// The first moment it is valid at.
    pub not_before: UnixMillis,
    /// The last one.
    pub not_after: UnixMillis,
}

impl Certificate {
    /// Reads DER; `None` if that is not what it is.
    #[must_use]
    pub fn read(der: &[u8]) -> Option<Self> {
        let (rest, read) = parse_x509_certificate(der).ok()?;
        let subject = read.subject().to_string();
        rest.is_empty().then(|| Self {
            // A tenant's text on an operator's terminal.
            subject: subject.replace(char::is_control, "?"),
            not_before: time(read.validity().not_before),
            not_after: time(read.validity().not_after),
        })
    }

    /// All certificates of a PEM text, in order; `None` for those that cannot
    /// be read.
    #[must_use]
    pub fn read_all(pem: &[u8]) -> Vec<Option<Self>> {
        let pem = Pem::parse(pem).unwrap_or_default();
        let certificates = pem.certificates.iter();
        certificates.map(|der| Self::read(der)).collect()
    }
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.subject.as_str() {
            "" => f.write_str("(no subject)"),
            subject => f.write_str(subject),
        }
    }
}

/// What lies before 1970 is over either way.
fn time(at: ASN1Time) -> UnixMillis {
    UnixMillis(u64::try_from(at.timestamp()).unwrap_or(0) * 1_000)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};

    use super::*;

    fn der(name: &[(DnType, &str)], years: (i32, i32)) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in name {
            params.distinguished_name.push(kind.clone(), *value);
        }
        params.not_before = date_time_ymd(years.0, 2, 29);
        params.not_after = date_time_ymd(years.1, 12, 31);
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn subject_and_validity_in_both_forms_of_time() {
        let name = [
            (DnType::OrganizationName, "Acme, Inc."),
            (DnType::CommonName, "hook\u{1b}[31mlane"),
        ];
        let read = Certificate::read(&der(&name, (2024, 2060))).unwrap();
        assert_eq!(read.to_string(), "O=Acme, Inc., CN=hook?[31mlane");
        assert_eq!(read.not_before.to_rfc3339(), "2024-02-29T00:00:00.000Z");
        assert_eq!(read.not_after.to_rfc3339(), "2060-12-31T00:00:00.000Z");
        let read = Certificate::read(&der(&[], (1996, 2049))).unwrap();
        assert_eq!(read.to_string(), "(no subject)");
        assert_eq!(read.not_before.to_rfc3339(), "1996-02-29T00:00:00.000Z");
        assert_eq!(read.not_after.to_rfc3339(), "2049-12-31T00:00:00.000Z");
        // RFC 5280: a certificate that does not end.
        let read = Certificate::read(&der(&[], (1952, 9999))).unwrap();
        assert_eq!(read.not_before, UnixMillis(0));
        assert_eq!(read.not_after.to_rfc3339(), "9999-12-31T00:00:00.000Z");
    }

    #[test]
    fn what_is_cut_or_changed_is_unreadable_or_another_and_ends_nothing() {
        let whole = der(&[(DnType::CommonName, "a")], (2024, 2060));
        for end in 0..whole.len() {
            assert_eq!(Certificate::read(&whole[..end]), None, "{end}");
        }
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..20_000 {
            let mut changed = whole.clone();
            for _ in 0..=random.usize(..4) {
                let at = random.usize(..changed.len());
                changed[at] = random.u8(..);
            }
            // It returns, whatever it says.
            let _read = Certificate::read(&changed);
        }
    }
}
