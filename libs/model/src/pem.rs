//! Certificates and private keys as people paste and mount them: PEM.
//!
//! Only the wrapping (RFC 7468) is known here, so that whoever reads a
//! manifest can tell what stands in it without a TLS stack. What a certificate
//! says and whether a key is one, the sender knows. Problems are constant
//! texts: where a key belongs, everything may be one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// How a private key is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyForm {
    /// `PRIVATE KEY`: PKCS #8, any kind of key.
    Pkcs8,
    /// `RSA PRIVATE KEY`: PKCS #1.
    Pkcs1,
    /// `EC PRIVATE KEY`: SEC 1.
    Sec1,
}

/// A private key in DER, wiped when dropped.
pub struct KeyDer {
    /// How it is encoded.
    pub form: KeyForm,
    /// The encoding.
    pub der: Zeroizing<Vec<u8>>,
}

/// What a PEM text holds.
#[derive(Default)]
pub struct Pem {
    /// Certificates in DER, in the order of the text.
    pub certificates: Vec<Vec<u8>>,
    /// Its private key, if one is there.
    pub key: Option<KeyDer>,
}

/// Certificates in one text: chains have two or three, bundles of the CAs of a
/// company some more; with all public ones (150) every handshake and every
/// record would be too large.
pub const CERTIFICATES_MAX: usize = 20;

impl Pem {
    /// Reads a text of certificates and at most one private key. What stands
    /// between them is comment.
    ///
    /// # Errors
    /// What is wrong with it, without a part of it.
    pub fn parse(text: &[u8]) -> Result<Self, &'static str> {
        let mut pem = Self::default();
        let mut open: Option<(&[u8], Zeroizing<Vec<u8>>)> = None;
        for line in text.split(|byte| matches!(byte, b'\n' | b'\r')) {
            let line = line.trim_ascii();
            let Some((label, body)) = &mut open else {
                // Room for all of it: a key must not be left behind in a
                // buffer that has become too small.
                open = label_of(line, b"-----BEGIN ")
                    .map(|label| (label, Zeroizing::new(Vec::with_capacity(text.len()))));
                continue;
            };
            if line.starts_with(b"-----") {
                if label_of(line, b"-----END ") != Some(*label) {
                    return Err("has a PEM section that does not end as it begins");
                }
                pem.add(label, body)?;
                open = None;
            } else if line.contains(&b':') {
                // Headers of RFC 1421, which keys have that are encrypted.
                return Err(ENCRYPTED);
            } else {
                body.extend_from_slice(line);
            }
        }
        match open {
            Some(_) => Err("ends within a PEM section; is a part of it missing?"),
            None => Ok(pem),
        }
    }

    /// Reads a text that everybody may see: certificates, at least one.
    ///
    /// # Errors
    /// What is wrong with it, without a part of it.
    pub fn parse_certificates(text: &str) -> Result<Vec<Vec<u8>>, &'static str> {
        // Also a key that is damaged, and would pass as comment.
        if text.contains("PRIVATE KEY") {
            return Err(
                "holds a private key, and what stands here is stored as it is and shown; \
                        give the key as clientCertificate.key, and a new one if this was written \
                        anywhere else",
            );
        }
        let pem = Self::parse(text.as_bytes())?;
        if pem.certificates.is_empty() {
            return Err("holds no certificate; expected PEM: -----BEGIN CERTIFICATE-----");
        }
        Ok(pem.certificates)
    }

    fn add(&mut self, label: &[u8], body: &[u8]) -> Result<(), &'static str> {
        let form = match label {
            b"CERTIFICATE" => None,
            b"PRIVATE KEY" => Some(KeyForm::Pkcs8),
            b"RSA PRIVATE KEY" => Some(KeyForm::Pkcs1),
            b"EC PRIVATE KEY" => Some(KeyForm::Sec1),
            // What OpenSSL writes in front of such a key, which says it again.
            b"EC PARAMETERS" => return Ok(()),
            b"ENCRYPTED PRIVATE KEY" => return Err(ENCRYPTED),
            _ => return Err("holds PEM of another kind than certificates and private keys"),
        };
        let der = STANDARD.decode(body).map(Zeroizing::new);
        let mut der = der.map_err(|_shows_a_byte| "has a PEM section that is not base64")?;
        match form {
            None if self.certificates.len() == CERTIFICATES_MAX => {
                return Err("holds more than 20 certificates");
            }
            None => self.certificates.push(std::mem::take(&mut *der)),
            Some(_) if self.key.is_some() => return Err("holds more than one private key"),
            Some(form) => self.key = Some(KeyDer { form, der }),
        }
        Ok(())
    }
}

const ENCRYPTED: &str = "is a key that needs a passphrase; give it without (openssl pkey -in KEY): \
                         it is encrypted when it is stored";

fn label_of<'a>(line: &'a [u8], begins: &[u8]) -> Option<&'a [u8]> {
    line.strip_prefix(begins)?.strip_suffix(b"-----")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(label: &str, body: &str) -> String {
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    }

    fn read(text: &str) -> Result<(usize, Option<KeyForm>), &'static str> {
        let pem = Pem::parse(text.as_bytes())?;
        Ok((pem.certificates.len(), pem.key.map(|key| key.form)))
    }

    #[test]
    fn certificates_and_a_key_with_comments_and_any_line_ends() {
        let certificate = section("CERTIFICATE", "AAEC\nAwQF");
        for (label, form) in [
            ("PRIVATE KEY", KeyForm::Pkcs8),
            ("RSA PRIVATE KEY", KeyForm::Pkcs1),
            ("EC PRIVATE KEY", KeyForm::Sec1),
        ] {
            let key = section(label, "AAEC");
            let text = format!("subject: CN = a\n{certificate}\n{key}{certificate}");
            for text in [
                text.clone(),
                text.replace('\n', "\r\n"),
                text.trim().to_owned(),
                text.replace('\n', "\n  "),
            ] {
                assert_eq!(read(&text), Ok((2, Some(form))), "{text}");
            }
        }
        let pem = Pem::parse(certificate.as_bytes()).unwrap();
        assert_eq!(pem.certificates, [[0, 1, 2, 3, 4, 5]]);
        let openssl = section("EC PARAMETERS", "BggqhkjOPQMBBw==");
        let openssl = openssl + &section("EC PRIVATE KEY", "AAEC");
        assert_eq!(read(&openssl), Ok((0, Some(KeyForm::Sec1))));
        assert_eq!(read("no section at all"), Ok((0, None)));
    }

    #[test]
    fn what_is_no_such_text_is_refused_and_not_shown() {
        let key = section("PRIVATE KEY", "czNjcjN0");
        let cases = [
            (section("ENCRYPTED PRIVATE KEY", "czNjcjN0"), "passphrase"),
            (
                section("RSA PRIVATE KEY", "Proc-Type: 4,ENCRYPTED\n\nczNjcjN0"),
                "passphrase",
            ),
            (section("OPENSSH PRIVATE KEY", "czNjcjN0"), "another kind"),
            (section("PUBLIC KEY", "czNjcjN0"), "another kind"),
            (section("PRIVATE KEY", "czNjcjN0!"), "not base64"),
            (section("PRIVATE KEY", "czNjcjN"), "not base64"),
            (format!("{key}{key}"), "more than one private key"),
            (key.replace("END P", "END RSA P"), "as it begins"),
            (key.replace("-----END", "-----BEGIN"), "as it begins"),
            (key[..key.len() - 30].to_owned(), "ends within"),
            (
                section("CERTIFICATE", "AAEC").repeat(21),
                "more than 20 certificates",
            ),
        ];
        for (text, expected) in cases {
            let problem = read(&text).unwrap_err();
            assert!(problem.contains(expected), "{text}: {problem}");
        }
    }

    #[test]
    fn a_key_among_what_everybody_may_see_is_refused_in_any_shape() {
        let certificate = section("CERTIFICATE", "AAEC");
        let one = Pem::parse_certificates(&certificate);
        assert_eq!(one, Ok(vec![vec![0, 1, 2]]));
        let key = section("PRIVATE KEY", "czNjcjN0");
        for text in [
            format!("{certificate}{key}"),
            format!("{certificate}{}", key.replace("-----", "----")),
            section("ENCRYPTED PRIVATE KEY", "czNjcjN0"),
        ] {
            let problem = Pem::parse_certificates(&text).unwrap_err();
            assert!(problem.starts_with("holds a private key"), "{problem}");
        }
        let problem = Pem::parse_certificates("czNjcjN0").unwrap_err();
        assert!(problem.starts_with("holds no certificate"), "{problem}");
    }
}
