//! Secrets: used, and seen by nobody.

mod documented;
mod mutual;
mod oauth;
mod unusable;
mod verify;

use std::path::PathBuf;

use hooklane_kafka::record::Record;
use hooklane_model::ladder::Rung;
use hooklane_test_support::{Answer, PlantedSecret, Receiver, Request, Script, base64, wait_until};
use serde_json::{Value, json};

use crate::harness::{DEADLINE, Event, Kind, Pipeline, Service, subscription};
use documented::{Received, java, key_pair};
use verify::signed_with;

/// 32 bytes that can be recognised.
const KEK: &str = "canary:key-encryption-key/000001";
const OTHER_KEK: &str = "canary:key-encryption-key/000002";

/// A pipeline with a key file, and secrets mounted for tenant `acme`.
struct Vault {
    p: Pipeline,
    folder: tempfile::TempDir,
    /// Everything that commands wrote.
    said: std::cell::RefCell<String>,
}

impl Vault {
    fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mounted = folder.path().join("mounted/acme");
        std::fs::create_dir_all(&mounted).unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let p = Pipeline::new(name)
            .set("HOOKLANE__SECRETS__KEK_FILE", &path("kek"))
            .set("HOOKLANE__SECRETS__DIRECTORY", &path("mounted"))
            .set("HOOKLANE__LOG__LEVEL", "debug");
        let vault = Self {
            p,
            folder,
            said: std::cell::RefCell::default(),
        };
        vault.keys("k1", &[("k1", KEK)]);
        vault
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts another key file in place, as a whole.
    fn keys(&self, writing: &str, keys: &[(&str, &str)]) {
        self.key_file("kek", writing, keys);
    }

    fn key_file(&self, name: &str, writing: &str, keys: &[(&str, &str)]) {
        let mut text = format!("writing: {writing}\n");
        for (id, key) in keys {
            text.push_str(&format!("{id}: {}\n", base64(key.as_bytes())));
        }
        let new = self.path("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(&new, self.path(name)).unwrap();
    }

    /// Runs a command and keeps what it wrote, whatever came of it.
    fn run(&self, args: &[&str], input: &str) -> (bool, String) {
        let (ok, out, err) = self.p.try_command(args, input);
        let mut said = self.said.borrow_mut();
        said.push_str(&out);
        said.push_str(&err);
        (ok, out + &err)
    }

    fn apply(&self, manifests: &[Value]) {
        let documents: Vec<String> = manifests.iter().map(Value::to_string).collect();
        let (ok, said) = self.run(&["apply", "-f", "-"], &documents.join("\n---\n"));
        assert!(ok, "{said}");
    }

    fn send(&self, id: &str) {
        self.p.events.store(&[Event::new(id, "acme", "order.paid")]);
    }
}

fn signing(scheme: &str, secret: Value) -> Value {
    json!({
        "retry": {"schedule": ["1s"], "jitter": 0.0},
        "signing": {"scheme": scheme, "secrets": [secret]},
    })
}

/// Goal: no secret, and no key, is in any output, log, metric, topic or
/// request, in clear or in a form that is easily undone.
/// Method: a value of its own for every way a secret can come; deliveries
/// that succeed, fail, die and wait; refused manifests with values in the
/// wrong places; then everything there is, searched for every value.
#[test]
fn no_secret_is_seen_anywhere() {
    let (certificate, client_key) = client_certificate();
    let canaries = [
        PlantedSecret::text("client key", client_key.lines().nth(1).unwrap()),
        PlantedSecret::whsec("inline", "canary:inline/standard01"),
        PlantedSecret::text("github", "canary:inline?github&one"),
        PlantedSecret::text("file", "canary:mounted+file=value1"),
        PlantedSecret::text("variable", "canary:variable/value~001"),
        PlantedSecret::whsec("rotated", "canary:rotated/standard1"),
        PlantedSecret::whsec("refused", "canary:refused/standard1"),
        PlantedSecret::text("bearer", "canary:bearer/token~~0001"),
        PlantedSecret::text("client", "canary:client/secret=0001"),
        PlantedSecret::text("token", "canary.access-token~00001"),
        PlantedSecret::text("said", "canary.token+server/says1"),
        PlantedSecret::text("key", KEK),
    ];
    let value = |name: &str| {
        let found = canaries.iter().find(|canary| canary.name == name);
        found.unwrap().given.clone()
    };
    let mut vault = Vault::new("canary");
    vault.p = vault
        .p
        .set("HOOKLANE_SECRET_ACME__CANARY", &value("variable"));
    std::fs::write(vault.path("mounted/acme/hook"), value("file")).unwrap();
    let p = &vault.p;
    p.receiver
        .script("/dead", Script::always(Answer::status(500)));
    let endpoints = canary_endpoints(p, &value);
    oauth::token_servers(p, &value("token"), &value("said"));
    let mut manifests = vec![p.source()];
    manifests.extend(endpoints);
    let secure = Receiver::start_tls().unwrap();
    manifests.push(known_client(p, &secure, (&certificate, &client_key)));
    for path in [
        "ok", "known", "dead", "file", "variable", "waits", "oauth", "refused", "useless",
    ] {
        manifests.push(subscription(path, path, json!({})));
    }
    vault.apply(&manifests);
    let services = p.start_all();
    vault.send("1");
    for (path, header) in [
        ("/ok", "webhook-signature"),
        ("/dead", "x-hub-signature-256"),
        ("/file", "x-shopify-hmac-sha256"),
        ("/variable", "stripe-signature"),
    ] {
        p.receiver.wait_count(path, 1, DEADLINE).unwrap();
        let requests = p.receiver.requests();
        let request = requests.iter().find(|r| r.route() == path).unwrap();
        assert!(request.header(header).is_some(), "{path}: {request:?}");
    }
    wait_until("a dead letter", DEADLINE, || p.count(&p.names.dead()) >= 1).unwrap();
    let [_, dispatcher, _] = &services;
    dispatcher.wait_metric("hooklane_secrets_unavailable_total", &[], 1.0);
    secure.wait_count("/known", 1, DEADLINE).unwrap();
    let bearers = ["bearer", "token"].map(|name| format!("Bearer {}", value(name)));
    see_bearers(p, dispatcher, &bearers);
    rotate_and_look(&vault, &value("rotated"));
    be_refused(&vault, &value("refused"));
    // What is for the receiver, the receiver sees.
    let seen = everything(&vault, services);
    let seen = bearers.iter().fold(seen, |seen, own| seen.replace(own, ""));
    for canary in &canaries {
        let found = canary.traces_in(&seen);
        assert!(found.is_empty(), "{}: {found:?}", canary.name);
    }
    assert!(
        seen.contains("hks1.k1."),
        "what was searched holds sealed secrets"
    );
    for path in ["/waits", "/refused", "/useless"] {
        assert_eq!(p.receiver.count(path), 0, "{path}");
    }
}

/// An endpoint for every way in which a secret can come, and go wrong.
fn canary_endpoints(p: &Pipeline, value: &dyn Fn(&str) -> String) -> Vec<Value> {
    let mut ok = signing("standard", json!({"value": value("inline")}));
    ok["auth"] = json!({"bearer": {"value": value("bearer")}});
    vec![
        p.endpoint("/ok", ok),
        p.endpoint(
            "/dead",
            signing("github", json!({"value": value("github")})),
        ),
        p.endpoint(
            "/file",
            signing("shopify", json!({"valueFrom": {"file": "hook"}})),
        ),
        p.endpoint(
            "/variable",
            signing("stripe", json!({"valueFrom": {"env": "CANARY"}})),
        ),
        p.endpoint(
            "/waits",
            signing("stripe", json!({"valueFrom": {"file": "missing"}})),
        ),
        p.endpoint("/oauth", oauth::spec(p, "/token", &value("client"))),
        p.endpoint("/refused", oauth::spec(p, "/no-token", &value("client"))),
        p.endpoint("/useless", oauth::spec(p, "/bad-token", &value("client"))),
    ]
}

/// Deliveries show what lets them in, and those that cannot wait.
fn see_bearers(p: &Pipeline, dispatcher: &Service, bearers: &[String]) {
    for bearer in bearers {
        let sent = |all: &[Request]| {
            all.iter()
                .any(|r| r.header("authorization") == Some(bearer))
        };
        p.receiver.wait_until("a bearer", DEADLINE, sent).unwrap();
    }
    for path in ["/no-token", "/bad-token"] {
        p.receiver.wait_count(path, 1, DEADLINE).unwrap();
    }
    let line = "no access token: invalid";
    dispatcher.process.wait_log(line, DEADLINE).unwrap();
}

/// An endpoint that knows who calls it by a certificate.
fn known_client(p: &Pipeline, receiver: &Receiver, (certificate, key): (&str, &str)) -> Value {
    let client = json!({"certificate": certificate, "key": {"value": key}});
    let spec = json!({
        "url": receiver.url("/known"),
        "tls": {"ca": receiver.ca_pem(), "clientCertificate": client},
    });
    p.endpoint("/known", spec)
}

/// A certificate for clients and its key, in PEM.
fn client_certificate() -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj \
                /CN=canary -keyout key.pem -out certificate.pem";
    let ran = std::process::Command::new("sh")
        .args(["-c", make])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(ran.status.success(), "{ran:?}");
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    (read("certificate.pem"), read("key.pem"))
}

fn rotate_and_look(vault: &Vault, value: &str) {
    let rotate = [
        "secrets",
        "rotate",
        "ok",
        "--tenant",
        "acme",
        "--value-file",
        "-",
    ];
    assert!(vault.run(&rotate, value).0);
    for args in [
        &["get", "endpoints"][..],
        &["get", "endpoints", "-o", "json"],
        &["get", "endpoints", "-o", "yaml"],
        &["describe", "endpoint", "ok", "--tenant", "acme"],
        &[
            "describe", "endpoint", "ok", "--tenant", "acme", "-o", "json",
        ],
        &["secrets", "list"],
        &["secrets", "rekey"],
        &["--verbose", "books", "-o", "json"],
    ] {
        vault.run(args, "");
    }
}

/// Manifests with a secret where it does not belong, all of them refused, and
/// one that would change it.
fn be_refused(vault: &Vault, value: &str) {
    let p = &vault.p;
    let manifest = |secrets: Value| {
        let spec = json!({"signing": {"scheme": "standard", "secrets": secrets}});
        p.endpoint("/ok", spec).to_string()
    };
    let client = |secret: Value| {
        let mut spec = oauth::spec(p, "/token", "");
        spec["auth"]["oauth2"]["clientSecret"] = secret;
        p.endpoint("/oauth", spec).to_string()
    };
    let cut = &value[..value.len() - 2];
    let refused = [
        manifest(json!([value])),
        manifest(json!(value)),
        manifest(json!([{"sealed": value}])),
        manifest(json!([{"value": value, "vlaue": value}])),
        manifest(json!([{"value": {"text": value}}])),
        manifest(json!([{"value": format!("{value}!")}])),
        manifest(json!([{"value": value, "valueFrom": {"file": "hook"}}])),
        manifest(json!([{"value": value, "expiresAt": "2020-01-01T00:00:00Z"}])),
        format!("{}: [", manifest(json!([{"value": cut}]))),
        format!("spec: {{value: {value}"),
        client(json!(value)),
        client(json!({"sealed": value})),
        client(json!({"value": format!("{value}\n")})),
        client(json!({"value": value, "valueFrom": {"env": "CLIENT"}})),
    ];
    for manifest in refused {
        let (ok, said) = vault.run(&["apply", "-f", "-"], &manifest);
        assert!(!ok, "{said}");
    }
    vault.run(&["diff", "-f", "-"], &manifest(json!([{"value": value}])));
    vault.run(
        &["apply", "--dry-run", "-f", "-"],
        &manifest(json!([{"value": value}])),
    );
    let args = [
        "secrets",
        "rotate",
        "nobody",
        "--tenant",
        "acme",
        "--value-file",
        "-",
    ];
    assert!(!vault.run(&args, value).0);
}

/// All that anybody could look at, as text.
fn everything(vault: &Vault, services: [Service; 3]) -> String {
    let p = &vault.p;
    let mut seen = vault.said.take();
    let names = &p.names;
    let mut topics = vec![
        names.config(),
        names.status(),
        names.deliveries(),
        names.attempts(),
        names.dead(),
        names.poison(),
    ];
    topics.extend(Rung::ALL.map(|rung| names.delay(rung)));
    for topic in topics {
        for Record {
            key,
            value,
            headers,
            ..
        } in p.records(&topic)
        {
            let parts = [key, value].into_iter().flatten();
            for part in parts.chain(headers.into_iter().map(|(_, value)| value)) {
                seen.push_str(&String::from_utf8_lossy(&part));
                seen.push('\n');
            }
        }
    }
    // A token server is told who asks, and nobody else.
    let token_server = |r: &Request| r.route().ends_with("token");
    let requests = p.receiver.requests();
    for request in requests.iter().filter(|request| !token_server(request)) {
        seen.push_str(&format!(
            "{request:?}\n{}\n",
            String::from_utf8_lossy(&request.body)
        ));
    }
    for service in services {
        for path in ["/metrics", "/readyz", "/healthz"] {
            seen.push_str(&service.text_of(path));
        }
        seen.push_str(&service.stop_and_log());
    }
    seen
}

/// Goal: after a rotation requests carry both signatures, and when the
/// overlap has ended the new one alone; a re-wrap changes no request.
/// Method: Python's hmac says which secret made which signature.
#[test]
fn a_rotation_signs_with_both_until_the_overlap_ends() {
    let vault = Vault::new("rotation");
    let p = &vault.p;
    let old = PlantedSecret::whsec("old", "the first of two secrets").given;
    let new = PlantedSecret::whsec("new", "the second of two secret").given;
    vault.apply(&[
        p.source(),
        p.endpoint("/hook", signing("standard", json!({"value": old}))),
        subscription("all", "hook", json!({})),
    ]);
    let services = p.start([Kind::Ingest, Kind::Dispatcher]);
    let secrets = [&*old, &*new];
    let mut sent = 0;
    let mut wait_for_signatures = |expected: [usize; 2]| {
        wait_until(&format!("signatures {expected:?}"), DEADLINE, || {
            sent += 1;
            vault.send(&format!("event-{sent}"));
            p.receiver.wait_count("/hook", sent, DEADLINE).unwrap();
            let requests = p.receiver.requests();
            let counts = signed_with(requests.last().unwrap(), &secrets);
            println!("request {sent}: {counts:?}");
            counts == expected
        })
        .unwrap();
    };
    wait_for_signatures([1, 0]);
    let rotate = [
        "secrets",
        "rotate",
        "hook",
        "--tenant",
        "acme",
        "--value-file",
        "-",
    ];
    let with_overlap = [&rotate[..], &["--overlap", "30s"]].concat();
    assert!(vault.run(&with_overlap, &new).0);
    wait_for_signatures([1, 1]);
    vault.keys("k2", &[("k1", KEK), ("k2", OTHER_KEK)]);
    let (ok, said) = vault.run(&["secrets", "rekey"], "");
    assert!(
        ok && said.contains("2 secrets re-wrapped under key k2"),
        "{said}"
    );
    wait_for_signatures([0, 1]);
    for service in services {
        service.stop();
    }
}

/// Goal: a receiver that does what docs/verifying.md says accepts what is
/// sent, and nothing else.
/// Method: an endpoint with a shared secret and a key pair; the page's own
/// code in Python and Java and its OpenSSL commands judge the request.
#[test]
fn receivers_verify_as_documented() {
    let vault = Vault::new("documented");
    let p = &vault.p;
    let (private, pair) = key_pair(vault.folder.path());
    let shared = PlantedSecret::whsec("shared", "a secret of 24 bytes ...").given;
    let secrets = json!([{"value": shared}, {"value": pair}]);
    let spec = json!({"signing": {"scheme": "standard", "secrets": secrets}});
    vault.apply(&[
        p.source(),
        p.endpoint("/hook", spec),
        subscription("all", "hook", json!({})),
    ]);
    let services = p.start([Kind::Ingest, Kind::Dispatcher]);
    vault.send("documented");
    p.receiver.wait_count("/hook", 1, DEADLINE).unwrap();
    let request = p.receiver.requests().remove(0);
    let signatures = request.header("webhook-signature").unwrap().to_owned();
    let (by_secret, by_pair) = signatures.split_once(' ').unwrap();
    let other = PlantedSecret::whsec("other", "a secret of 24 bytes !!!").given;
    // A year: that the clock is looked at is shown by the tolerance of -1.
    let year = "31536000";
    let received = Received::new(&request, &request.body);
    assert!(received.python(&shared, year) && received.openssl(by_pair, &private));
    assert_eq!(received.shell(&shared), by_secret);
    assert!(!received.python(&other, year), "another secret");
    assert_ne!(received.shell(&other), by_secret);
    assert!(!received.python(&shared, "-1"), "the time is looked at");
    let mut body = request.body.clone();
    body[0] ^= 1;
    let changed = Received::new(&request, &body);
    assert!(!changed.python(&shared, year) && !changed.openssl(by_pair, &private));
    assert_ne!(changed.shell(&shared), by_secret);
    let judged = java([
        (&received, &shared, year),
        (&received, &other, year),
        (&received, &shared, "-1"),
        (&changed, &shared, year),
    ]);
    assert_eq!(judged, [true, false, false, false]);
    for service in services {
        service.stop();
    }
}
