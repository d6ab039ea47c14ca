use hooklane_model::resource::ClientCertificate;
use hooklane_model::secret::{Secret, SecretRef};
use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};

use super::*;

/// 2030-01-01.
const NOW: UnixMillis = UnixMillis(1_893_456_000_000);
const NO_CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAAEC\n-----END CERTIFICATE-----\n";
const NO_KEY: &str = "-----BEGIN PRIVATE KEY-----\nczNjcjN0\n-----END PRIVATE KEY-----\n";

/// A certificate that is valid in these years, and its key, as PEM.
fn pair((from, to): (i32, i32)) -> (String, String) {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "hooklane");
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(to, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

fn tls(ca: Option<&str>, certificate: Option<&str>, key: &str) -> Tls {
    let key = SecretRef::Inline(Secret::from(key.to_owned()));
    Tls {
        ca: ca.map(Into::into),
        client: Some(ClientCertificate {
            certificate: certificate.map(Into::into),
            key,
        }),
        ..Tls::default()
    }
}

#[test]
fn what_is_fine_is_passed_in_both_shapes() {
    let (certificate, key) = pair((2025, 2035));
    let apart = tls(Some(&certificate), Some(&certificate), &key);
    assert_eq!(review(&apart, NOW), Review::default());
    let together = tls(None, None, &format!("{key}{certificate}"));
    assert_eq!(review(&together, NOW), Review::default());
    // What is not here cannot be compared.
    let mut elsewhere = apart;
    elsewhere.client.as_mut().unwrap().key = SecretRef::File("erp".to_owned());
    assert_eq!(review(&elsewhere, NOW), Review::default());
    assert_eq!(review(&Tls::default(), NOW), Review::default());
}

#[test]
fn every_problem_is_found_and_no_key_is_shown() {
    let (certificate, key) = pair((2025, 2035));
    let (_, other) = pair((2025, 2035));
    let two = format!("{certificate}{NO_CERTIFICATE}");
    let cases = [
        (
            tls(Some(&two), Some(&two), &key),
            &[
                (CA, "certificate 2 is not an X.509 certificate"),
                (CERTIFICATE, "certificate 2 is not an X.509 certificate"),
            ][..],
        ),
        (
            tls(None, Some(&certificate), &other),
            &[(KEY, "does not belong to the certificate")],
        ),
        (
            tls(None, None, &format!("{other}{certificate}")),
            &[(KEY, "does not belong to the certificate")],
        ),
        (
            tls(Some(NO_CERTIFICATE), Some(&certificate), NO_KEY),
            &[
                (CA, "certificate 1 is not an X.509 certificate"),
                (
                    KEY,
                    "is not a key of RSA (2,048 bits and more), ECDSA (P-256, P-384, P-521) or \
                     Ed25519",
                ),
            ],
        ),
    ];
    for (tls, expected) in cases {
        let found = review(&tls, NOW);
        let problems: Vec<_> = found
            .problems
            .iter()
            .map(|(p, r)| (*p, r.as_str()))
            .collect();
        assert_eq!(problems, expected);
        assert_eq!(found.doubts, []);
    }
}

#[test]
fn a_certificate_out_of_its_time_is_a_doubt_with_the_date() {
    let (old, old_key) = pair((2020, 2029));
    let (early, _) = pair((2031, 2035));
    let found = review(&tls(Some(&early), Some(&old), &old_key), NOW);
    assert_eq!(found.problems, []);
    let doubts: Vec<_> = found.doubts.iter().map(|(p, r)| (*p, r.as_str())).collect();
    assert_eq!(
        doubts,
        [
            (
                CA,
                "certificate 1 (CN=hooklane) is not valid before 2031-01-01T00:00:00.000Z"
            ),
            (
                CERTIFICATE,
                "certificate 1 (CN=hooklane) has expired at 2029-01-01T00:00:00.000Z"
            ),
        ]
    );
    let together = tls(None, None, &format!("{old_key}{old}"));
    assert_eq!(review(&together, NOW).doubts[0].0, KEY);
}
