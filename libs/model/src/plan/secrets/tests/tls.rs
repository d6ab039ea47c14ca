use super::*;

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAAEC\n-----END CERTIFICATE-----\n";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nczNjcjN0\n-----END PRIVATE KEY-----\n";

fn file(url: &str, more: &Value) -> String {
    let mut spec = json!({"url": url, "signing": {"scheme": "none"}});
    for (field, value) in more.as_object().unwrap() {
        spec[field] = value.clone();
    }
    json!({
        "apiVersion": "hooklane/v1", "kind": "Endpoint",
        "metadata": {"tenant": "acme", "name": "erp"},
        "spec": spec,
    })
    .to_string()
}

fn with_key(key: &Value) -> Value {
    json!({"tls": {"clientCertificate": {"certificate": CERTIFICATE, "key": key}}})
}

/// Goal: a client key is a secret like others, and who sees its handle can
/// neither send it to a receiver nor make another server believe in it.
#[test]
fn a_client_key_is_sealed_kept_and_used_nowhere_else() {
    let here = "https://erp.example/hooks";
    let mut world = World::new();
    let given = file(here, &with_key(&json!({"value": KEY})));
    world.apply(&given).unwrap();
    let (spec, _) = world.stored();
    assert!(!spec.to_string().contains("czNjcjN0"), "{spec}");
    let key = &spec["tls"]["clientCertificate"]["key"];
    assert!(key["sealed"].as_str().unwrap().starts_with("hks1."));
    assert_eq!(spec["tls"]["clientCertificate"]["certificate"], CERTIFICATE);
    assert_eq!(actions(&world.apply(&given).unwrap()), [Action::Unchanged]);
    let shown = world.catalog.documents()[0].1.to_shown();
    let handle = &shown["spec"]["tls"]["clientCertificate"]["key"];
    assert_eq!(handle["sealed"].as_str().unwrap().split('.').count(), 3);
    assert_eq!(
        actions(&world.apply(&shown.to_string()).unwrap()),
        [Action::Unchanged]
    );
    for elsewhere in [
        file("https://evil.example/hooks", &with_key(handle)),
        file(here, &json!({"auth": {"bearer": handle}})),
    ] {
        let error = world.apply(&elsewhere).unwrap_err().to_string();
        assert!(error.contains("give it again"), "{error}");
    }
    // What goes with the endpoint takes the key along.
    let victims = [Victim::named(world.catalog.documents()[0].0.clone())];
    let plan = world
        .plan(|catalog, given, _| delete(catalog, &victims, given))
        .unwrap();
    let value = plan.writes[0].1.as_ref().unwrap();
    assert!(!String::from_utf8_lossy(value).contains("hks1"));
}
