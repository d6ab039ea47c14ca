//! `tls` of an endpoint through the command: refused as a whole, warned of,
//! and shown without its key.

use hooklane_test_support::{Authority, Identity};
use serde_json::{Value, json};

use crate::support::{Ran, World};

const NO_CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAAEC\n-----END CERTIFICATE-----\n";

fn endpoint(name: &str, tls: &Value) -> String {
    json!({
        "apiVersion": "hooklane/v1", "kind": "Endpoint",
        "metadata": {"tenant": "acme", "name": name},
        "spec": {"url": "https://erp.example/", "signing": {"scheme": "none"}, "tls": tls},
    })
    .to_string()
}

fn client(certificate: &str, key: &Value) -> Value {
    json!({"clientCertificate": {"certificate": certificate, "key": key}})
}

fn apply(world: &World, documents: &[String]) -> Ran {
    world.run_with_input(&["apply", "-f", "-"], &documents.join("\n---\n"))
}

/// The lines of a key that hold it.
fn shows(text: &str, identity: &Identity) -> bool {
    let key = identity.key_pem();
    key.lines()
        .filter(|line| !line.starts_with("-----"))
        .any(|line| text.contains(line))
}

/// Goal: whatever only who knows certificates can find wrong is found when the
/// file is applied, of all endpoints at once and beside what else is wrong.
#[test]
fn what_no_handshake_could_use_is_refused_all_at_once() {
    let world = World::new();
    let authority = Authority::new("ours").unwrap();
    let [one, two] = ["one", "two"].map(|name| authority.vouch_for(name).unwrap());
    let mismatch = client(&one.pem(), &json!({"value": two.key_pem()}));
    let said = apply(
        &world,
        &[
            endpoint("a", &mismatch),
            endpoint("b", &json!({"ca": NO_CERTIFICATE})),
            endpoint(
                "c",
                &client(NO_CERTIFICATE, &json!({"valueFrom": {"file": "k"}})),
            ),
        ],
    );
    let said = said.refused(1);
    for expected in [
        "Endpoint acme/a: spec.tls.clientCertificate.key: secrets are stored encrypted",
        "Endpoint acme/a: spec.tls.clientCertificate.key: does not belong to the certificate",
        "Endpoint acme/b: spec.tls.ca: certificate 1 is not an X.509 certificate",
        "Endpoint acme/c: spec.tls.clientCertificate.certificate: certificate 1 is not",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    assert!(!shows(&said, &two), "{said}");
}

/// Goal: a certificate that has expired is said with its date, and not
/// refused; `describe` says whose it is and until when.
#[test]
fn validity_is_said_when_applied_and_when_shown() {
    let world = World::new();
    let authority = Authority::new("acme-ca").unwrap();
    let old = authority.vouch_until("hooklane", 2020).unwrap();
    let new = authority.vouch_until("hooklane", 2080).unwrap();
    let tls = |identity: &Identity| {
        let mut tls = client(&identity.pem(), &json!({"valueFrom": {"file": "key"}}));
        tls["ca"] = json!(authority.pem());
        tls["minVersion"] = json!("1.3");
        tls
    };
    let ran = apply(
        &world,
        &[endpoint("old", &tls(&old)), endpoint("new", &tls(&new))],
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
    let warning = "warning: Endpoint acme/old: spec.tls.clientCertificate.certificate: certificate \
                   1 (CN=hooklane) has expired at 2020-01-01T00:00:00.000Z";
    assert!(ran.err.contains(warning), "{}", ran.err);
    assert!(!ran.err.contains("acme/new"), "{}", ran.err);
    let shown = |name: &str| {
        let args = ["describe", "endpoint", name, "--tenant", "acme"];
        world.run(&args).quiet(0)
    };
    let text = shown("new");
    for expected in [
        "TLS:         1.3 or newer",
        "Trusts:      CN=acme-ca, valid until ",
        "Client cert: CN=hooklane, valid until 2080-01-01T00:00:00.000Z",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let expired = "Client cert: CN=hooklane, expired at 2020-01-01T00:00:00.000Z";
    let text = shown("old");
    assert!(text.contains(expired), "{text}");
}
