//! What an endpoint's connections show and accept beyond what all do.

use serde_json::Value;
use url::Url;

use crate::fields::{Fields, Findings};
use crate::pem::Pem;
use crate::secret::SecretRef;

/// The least version of TLS that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2; anything older is not spoken at all.
    #[default]
    V1_2,
    /// TLS 1.3.
    V1_3,
}

/// The `tls` object of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Receivers that know only less are not talked to.
    pub min_version: TlsVersion,
    /// Certificates in PEM, one of which must vouch for the receiver, instead
    /// of the system's: who names the authority of a receiver trusts no other
    /// to speak for it.
    pub ca: Option<Box<str>>,
    /// What it identifies itself with.
    pub client: Option<ClientCertificate>,
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The chain in PEM, the certificate itself first. `None`: it stands in
    /// the text of the key, so that both can be replaced by one file.
    pub certificate: Option<Box<str>>,
    /// The private key in PEM.
    pub key: SecretRef,
}

/// A record of the configuration holds it, and every dispatcher.
const PEM_MAX: usize = 32 << 10;

impl Tls {
    /// Reads the `tls` field of an endpoint's spec; `None` where it says
    /// nothing beyond the defaults, so that such endpoints share them.
    pub(super) fn read(
        fields: &mut Fields,
        url: Option<&Url>,
        findings: &mut Findings,
    ) -> Option<Self> {
        let path = fields.path_of("tls");
        let mut object = fields.object("tls", findings)?;
        if url.is_some_and(|url| url.scheme() != "https") {
            findings.problem(path, "is for https:// URLs; this one speaks no TLS");
        }
        let tls = Self {
            min_version: read_version(&mut object, findings).unwrap_or_default(),
            ca: read_certificates("ca", &mut object, findings),
            client: object
                .object("clientCertificate", findings)
                .and_then(|client| read_client(client, findings)),
        };
        object.finish(findings);
        (tls != Self::default()).then_some(tls)
    }

    /// Where its secret stands, as a JSON pointer from the spec on.
    #[must_use]
    pub fn secret(&self) -> Option<(&'static str, &SecretRef)> {
        let client = self.client.as_ref()?;
        Some(("/tls/clientCertificate/key", &client.key))
    }
}

fn read_version(object: &mut Fields, findings: &mut Findings) -> Option<TlsVersion> {
    let path = object.path_of("minVersion");
    let text = match object.take("minVersion")? {
        Value::String(text) => text,
        // What YAML makes of it without quotes.
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    };
    match text.as_str() {
        "1.2" => Some(TlsVersion::V1_2),
        "1.3" => Some(TlsVersion::V1_3),
        _ => {
            findings.problem(path, "expected \"1.2\" or \"1.3\"");
            None
        }
    }
}

fn read_certificates(
    field: &'static str,
    object: &mut Fields,
    findings: &mut Findings,
) -> Option<Box<str>> {
    let path = object.path_of(field);
    let text = match object.take(field)? {
        Value::String(text) => text,
        // By kind: it may be a key.
        other => {
            let found = crate::fields::kind(&other);
            findings.problem(path, format!("expected PEM as a string, found {found}"));
            return None;
        }
    };
    let checked = match text.len() {
        0..=PEM_MAX => Pem::parse_certificates(&text).map(|_certificates| ()),
        _ => Err("is longer than 32 KiB"),
    };
    match checked {
        Ok(()) => Some(text.into()),
        Err(problem) => {
            findings.problem(path, problem);
            None
        }
    }
}

fn read_client(mut object: Fields, findings: &mut Findings) -> Option<ClientCertificate> {
    let (path, key_path) = (object.path_of("certificate"), object.path_of("key"));
    let given = object.has("certificate");
    let certificate = read_certificates("certificate", &mut object, findings);
    let key = match object.object("key", findings) {
        Some(mut key) => {
            let secret = SecretRef::read(&mut key, findings);
            key.finish(findings);
            secret
        }
        None => {
            let reason = "is required: a certificate without its key proves nothing";
            findings.problem(&*key_path, reason);
            None
        }
    };
    object.finish(findings);
    let key = key?;
    if let Some(clear) = key.inline() {
        match check_client_key(clear.expose(), given) {
            Ok(()) => {}
            Err(NoIdentity::Key(problem)) => {
                findings.problem(format!("{key_path}.value"), problem);
            }
            Err(NoIdentity::Certificate) => {
                findings.problem(path, "is required: none stands with the key");
            }
        }
    }
    Some(ClientCertificate { certificate, key })
}

enum NoIdentity {
    Key(&'static str),
    Certificate,
}

/// What can be said of a key's form before it is used.
fn check_client_key(text: &[u8], certificate_given: bool) -> Result<(), NoIdentity> {
    let pem = Pem::parse(text).map_err(NoIdentity::Key)?;
    if pem.key.is_none() {
        let problem = "holds no private key; expected PEM: -----BEGIN PRIVATE KEY-----";
        return Err(NoIdentity::Key(problem));
    }
    if pem.certificates.is_empty() && !certificate_given {
        return Err(NoIdentity::Certificate);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::secret::Secret;

    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAAEC\n-----END CERTIFICATE-----\n";
    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nczNjcjN0\n-----END PRIVATE KEY-----\n";

    fn read_at(url: &str, tls: Value) -> (Option<Tls>, Vec<String>) {
        let mut findings = Findings::default();
        let mut fields = Fields::of(json!({"tls": tls}), "spec", &mut findings);
        let url = Url::parse(url).unwrap();
        let tls = Tls::read(&mut fields, Some(&url), &mut findings);
        findings.problems.append(&mut findings.unknown);
        let problems = findings.problems.iter().map(ToString::to_string);
        (tls, problems.collect())
    }

    fn read(tls: Value) -> (Option<Tls>, Vec<String>) {
        read_at("https://erp.example/", tls)
    }

    #[test]
    fn everything_reads_and_defaults_are_nothing() {
        for tls in [json!({}), json!({"minVersion": "1.2"}), json!(null)] {
            assert_eq!(read(tls), (None, vec![]));
        }
        for version in [json!("1.3"), json!(1.3)] {
            let (tls, problems) = read(json!({"minVersion": version}));
            assert_eq!(problems.len(), 0, "{problems:?}");
            assert_eq!(tls.unwrap().min_version, TlsVersion::V1_3);
        }
        let key = SecretRef::Inline(Secret::from(KEY.to_owned()));
        let whole = json!({
            "ca": CERTIFICATE,
            "clientCertificate": {"certificate": CERTIFICATE, "key": {"value": KEY}},
        });
        let (tls, problems) = read(whole);
        assert_eq!(problems.len(), 0, "{problems:?}");
        let tls = tls.unwrap();
        assert_eq!(tls.ca.as_deref(), Some(CERTIFICATE));
        assert_eq!(tls.secret(), Some(("/tls/clientCertificate/key", &key)));
        // One text, or one file, with both.
        for key in [
            json!({"value": format!("{KEY}{CERTIFICATE}")}),
            json!({"valueFrom": {"file": "erp.pem"}}),
        ] {
            let (tls, problems) = read(json!({"clientCertificate": {"key": key}}));
            assert_eq!(problems.len(), 0, "{problems:?}");
            assert_eq!(tls.unwrap().client.unwrap().certificate, None);
        }
    }

    #[test]
    fn problems_are_said_by_place_and_never_by_content() {
        let client = |client: Value| json!({"clientCertificate": client});
        let long = format!("{CERTIFICATE}{}", "#".repeat(PEM_MAX));
        let cases = [
            (json!({"minVersion": "1.1"}), "tls.minVersion: expected"),
            (json!({"minVersion": 1}), "tls.minVersion: expected"),
            (json!({"maxVersion": "1.3"}), "tls.maxVersion: unknown"),
            (json!({"ca": ""}), "tls.ca: holds no certificate"),
            (json!({"ca": [KEY]}), "tls.ca: expected PEM as a string"),
            (json!({"ca": KEY}), "tls.ca: holds a private key"),
            (json!({"ca": long}), "tls.ca: is longer than 32 KiB"),
            (json!("s3cr3t"), "tls: expected an object"),
            (client(json!({})), "tls.clientCertificate.key: is required"),
            (
                client(json!({"certificate": CERTIFICATE})),
                "tls.clientCertificate.key: is required",
            ),
            (
                client(json!({"certificate": KEY, "key": {"value": KEY}})),
                "tls.clientCertificate.certificate: holds a private key",
            ),
            (
                client(json!({"key": {"value": KEY}})),
                "tls.clientCertificate.certificate: is required",
            ),
            (
                client(json!({"certificate": CERTIFICATE, "key": KEY})),
                "tls.clientCertificate.key: expected an object",
            ),
            (
                client(json!({"certificate": CERTIFICATE, "key": {"value": CERTIFICATE}})),
                "tls.clientCertificate.key.value: holds no private key",
            ),
            (
                client(json!({"certificate": CERTIFICATE, "key": {"value": &KEY[..40]}})),
                "tls.clientCertificate.key.value: ends within",
            ),
        ];
        for (tls, expected) in cases {
            let (_, problems) = read(tls);
            let expected = format!("spec.{expected}");
            assert!(
                problems.iter().any(|p| p.starts_with(&expected)),
                "{expected}: {problems:?}"
            );
            let text = problems.join("\n");
            assert!(!text.contains("s3cr3t") && !text.contains("czNj"), "{text}");
        }
    }

    #[test]
    fn all_problems_are_said_at_once_also_of_plain_http() {
        let tls = json!({
            "minVersion": "1.0",
            "ca": "x",
            "clientCertificate": {"certificate": "y", "key": {"value": "z"}},
        });
        let (_, problems) = read_at("http://erp.example/", tls);
        assert_eq!(problems.len(), 5, "{problems:?}");
        assert!(problems[0].starts_with("spec.tls: is for https://"));
    }
}
