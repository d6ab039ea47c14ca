//! Receivers that demand a client certificate.

use hooklane_test_support::{Authority, Identity, PlantedSecret, Receiver, wait_for};
use serde_json::{Value, json};

use super::{Vault, everything};
use crate::harness::{DEADLINE, subscription};

fn tls(receiver: &Receiver, identity: &Identity, key: Value) -> Value {
    json!({
        "minVersion": "1.3",
        "ca": receiver.ca_pem(),
        "clientCertificate": {"certificate": identity.pem(), "key": key},
    })
}

/// The attempts at an endpoint, as they stand in the topic.
fn attempts(vault: &Vault, endpoint: &str) -> Vec<Value> {
    let records = vault.p.records(&vault.p.names.attempts());
    let lists = records.iter().filter_map(|record| record.value.as_deref());
    let all = lists.flat_map(|value| serde_json::from_slice::<Vec<Value>>(value).unwrap());
    all.filter(|attempt| attempt["endpoint"] == endpoint)
        .collect()
}

/// Goal: an endpoint gets to a receiver of a private authority that demands a
/// certificate, with a key that is stored sealed, or with a mounted one as soon
/// as it is one that the receiver takes; an endpoint without does not. Each is
/// told why. No part of a key is seen anywhere.
/// Method: all three at one receiver, which serves nobody whom it does not
/// know; keys given in wrong places; then everything there is, searched.
#[test]
fn a_receiver_that_demands_a_certificate_is_reached_by_who_has_one() {
    let vault = Vault::new("mutual");
    let p = &vault.p;
    let clients = Authority::new("clients").unwrap();
    let receiver = Receiver::start_mutual_tls(&[b"h2"], &clients).unwrap();
    let strangers = Authority::new("strangers").unwrap();
    let identities = [
        clients.vouch_for("sealed").unwrap(),
        strangers.vouch_for("mounted").unwrap(),
        clients.vouch_for("renewed").unwrap(),
    ];
    let [sealed, mounted, renewed] = &identities;
    let canaries = identities.each_ref().map(|identity| {
        let key = identity.key().unwrap();
        PlantedSecret::private_key("client key", &identity.key_pem(), key.secret_der())
    });
    let file = vault.path("mounted/acme/client.pem");
    std::fs::write(&file, mounted.key_pem() + &mounted.pem()).unwrap();

    let endpoint = |path: &str, tls: Value| {
        let spec = json!({
            "url": receiver.url(path), "tls": tls, "breaker": "none",
            "retry": {"schedule": vec!["1s"; 50], "jitter": 0.0},
        });
        p.endpoint(path, spec)
    };
    let from_file = json!({
        "ca": receiver.ca_pem(),
        "clientCertificate": {"key": {"valueFrom": {"file": "client.pem"}}},
    });
    let mut manifests = vec![
        p.source(),
        endpoint(
            "/sealed",
            tls(&receiver, sealed, json!({"value": sealed.key_pem()})),
        ),
        endpoint("/mounted", from_file),
        endpoint("/nobody", json!({"ca": receiver.ca_pem()})),
    ];
    for path in ["sealed", "mounted", "nobody"] {
        manifests.push(subscription(path, path, json!({})));
    }
    vault.apply(&manifests);
    let services = p.start_all();
    vault.send("1");
    receiver.wait_count("/sealed", 1, DEADLINE).unwrap();
    for endpoint in ["nobody", "mounted"] {
        let refused = wait_for("a refused attempt", DEADLINE, || {
            let all = attempts(&vault, endpoint);
            all.into_iter().find(|one| one.get("failure").is_some())
        })
        .unwrap();
        assert_eq!(refused["failure"], "tls_client_certificate", "{refused:#}");
        assert_eq!(refused["side"], "receiver", "{refused:#}");
    }
    assert_eq!(receiver.count("/mounted"), 0);
    std::fs::write(&file, renewed.key_pem() + &renewed.pem()).unwrap();
    receiver.wait_count("/mounted", 1, DEADLINE).unwrap();
    look_and_be_refused(&vault, &receiver, sealed);
    assert_eq!(receiver.count("/nobody"), 0);
    let seen = everything(&vault, services);
    for canary in &canaries {
        let found = canary.traces_in(&seen);
        assert!(found.is_empty(), "{}: {found:?}", canary.name);
    }
    assert!(seen.contains("hks1.k1."), "what was searched holds the key");
    let certificate = sealed.pem();
    let line = certificate.lines().nth(1).unwrap();
    assert!(seen.contains(line), "and what is public");
}

/// Commands that show the endpoint, and manifests with its key where it does
/// not belong.
fn look_and_be_refused(vault: &Vault, receiver: &Receiver, identity: &Identity) {
    for args in [
        &["get", "endpoints", "-o", "yaml"][..],
        &["describe", "endpoint", "sealed", "--tenant", "acme"],
        &["secrets", "list"],
        &["secrets", "rekey"],
    ] {
        let (ok, said) = vault.run(args, "");
        assert!(ok, "{said}");
    }
    let key = identity.key_pem();
    let whole = tls(receiver, identity, json!({"value": key}));
    let changed = |pointer: &str, value: &str| {
        let mut tls = whole.clone();
        *tls.pointer_mut(pointer).unwrap() = json!(value);
        tls
    };
    let other = Authority::new("other").unwrap().vouch_for("other").unwrap();
    for tls in [
        changed("/ca", &key),
        changed("/minVersion", &key),
        changed("/clientCertificate/certificate", &key),
        changed("/clientCertificate/certificate", &other.pem()),
        changed("/clientCertificate/key", &key),
        changed("/clientCertificate/key/value", &key[..key.len() - 40]),
        json!(key),
    ] {
        let manifest = vault.p.endpoint(
            "/sealed",
            json!({"url": receiver.url("/sealed"), "tls": tls}),
        );
        let (ok, said) = vault.run(&["apply", "-f", "-"], &manifest.to_string());
        assert!(!ok, "{said}");
    }
}
