//! Endpoints whose secrets can't be used: what must be signed is not sent
//! without.

use hooklane_test_support::wait_for;
use serde_json::{Value, json};

use super::{KEK, OTHER_KEK, Vault, signing};
use crate::harness::{DEADLINE, subscription};

/// Goal: a secret whose key is missing costs no delivery and no attempt, owner
/// and operator see why, and a new key file is enough to send what waited. A
/// spec under which all secrets expire is not taken from anybody.
/// Method: the command writes with a key that the dispatcher lacks. Then a
/// client that is not ours writes the endpoint's record, its secret expired.
#[test]
fn a_missing_key_lets_deliveries_wait_until_it_is_there() {
    let vault = Vault::new("missing-key");
    let p = &vault.p;
    let services = p.start_all();
    let [_, dispatcher, _] = &services;
    let secret = json!({"value": "signs-under-another-key"});
    vault.key_file("other", "k2", &[("k2", OTHER_KEK)]);
    let manifests = [
        p.source(),
        p.endpoint("/hook", signing("github", secret)),
        subscription("all", "hook", json!({})),
    ];
    let documents: Vec<String> = manifests.iter().map(Value::to_string).collect();
    let other = vault.path("other").display().to_string();
    let keys = [("HOOKLANE__SECRETS__KEK_FILE", &*other)];
    let apply = ["apply", "-f", "-"];
    let (ok, _, err) = p.try_command_with(&keys, &apply, &documents.join("\n---\n"));
    assert!(ok, "{err}");
    vault.send("1");
    dispatcher.wait_metric("hooklane_secrets_unavailable_total", &[], 1.0);
    let blocked = [("reason", "secret_unavailable")];
    dispatcher.wait_metric("hooklane_attempt_failures_total", &blocked, 1.0);
    dispatcher
        .process
        .wait_log("key k2 is not in the key file", DEADLINE)
        .unwrap();
    let told = wait_for("a description that says so", DEADLINE, || {
        let args = ["describe", "endpoint", "hook", "--tenant", "acme"];
        let (ok, said) = vault.run(&args, "");
        (ok && said.contains("secret_unavailable (on our side")).then_some(said)
    })
    .unwrap();
    assert!(told.contains("by no fault of its own"), "{told}");
    assert_eq!(p.receiver.count("/hook"), 0);
    vault.keys("k2", &[("k1", KEK), ("k2", OTHER_KEK)]);
    p.receiver.wait_count("/hook", 1, DEADLINE).unwrap();
    assert_eq!(p.count(&p.names.dead()), 0);
    let settled = |a: &Value| a["outcome"] == "delivered";
    let all = wait_for("the last attempt's record", DEADLINE, || {
        Some(attempts(&vault)).filter(|all| all.iter().any(settled))
    });
    for attempt in all.unwrap() {
        assert_eq!(attempt["attempt"], 1, "none was spent: {attempt:#}");
        let unsigned = attempt["failure"] == "secret_unavailable";
        assert_eq!(attempt["outcome"] == "held", unsigned, "{attempt:#}");
    }

    let problems = "hooklane_config_problems_total";
    let before = dispatcher.metric(problems, &[]);
    expire(&vault);
    dispatcher.wait_metric(problems, &[], before + 1.0);
    vault.send("2");
    p.receiver.wait_count("/hook", 2, DEADLINE).unwrap();
    for request in p.receiver.requests() {
        assert_eq!(request.status, Some(200));
        assert!(request.header("x-hub-signature-256").is_some());
    }
    for service in services {
        service.stop();
    }
}

/// Writes the endpoint again as it is stored, as the next generation, with all
/// of its secrets expired: `apply` would refuse it.
fn expire(vault: &Vault) {
    let p = &vault.p;
    let topic = p.names.config();
    let records = p.records(&topic);
    let is_ours = |key: &[u8]| key == b"Endpoint/acme/hook";
    let stored = records.iter().rfind(|r| is_ours(r.key.as_ref().unwrap()));
    let stored = stored.unwrap();
    let mut document: Value = serde_json::from_slice(stored.value.as_ref().unwrap()).unwrap();
    let generation = document["metadata"]["generation"].as_u64().unwrap();
    document["metadata"]["generation"] = json!(generation + 1);
    document["spec"]["signing"]["secrets"][0]["expiresAt"] = json!("2026-01-01T00:00:00Z");
    let key = std::str::from_utf8(stored.key.as_ref().unwrap()).unwrap();
    p.write(&topic, key, document.to_string().as_bytes());
}

fn attempts(vault: &Vault) -> Vec<Value> {
    let records = vault.p.records(&vault.p.names.attempts());
    let read = |value: &[u8]| serde_json::from_slice::<Vec<Value>>(value).unwrap();
    let all = records.iter().map(|r| read(r.value.as_ref().unwrap()));
    all.flatten().collect()
}
