//! What a handle may be used for by who does not know the secret.

use super::*;

/// Goal: who may apply, and sees handles, cannot make the secret itself be
/// sent to a server of his own.
#[test]
fn a_handle_sends_no_secret_elsewhere() {
    let file = |url: &str, auth: &Value, secrets: &Value| {
        json!({
            "apiVersion": "hooklane/v1", "kind": "Endpoint",
            "metadata": {"tenant": "acme", "name": "erp"},
            "spec": {"url": url, "auth": auth, "signing": {"scheme": "standard", "secrets": secrets}},
        })
        .to_string()
    };
    let here = "https://erp.example/hooks";
    let mut world = World::new();
    let token = "token-for-the-receiver";
    let given = file(
        here,
        &json!({"bearer": {"value": token}}),
        &json!([{"value": CLEAR}]),
    );
    world.apply(&given).unwrap();
    let (spec, _) = world.stored();
    assert!(!spec.to_string().contains(token), "{spec}");
    let (bearer, signs) = (&spec["auth"]["bearer"], &spec["signing"]["secrets"]);
    let as_header = json!({"name": "x-token", "sealed": bearer["sealed"]});
    let refused = [
        file(
            "https://evil.example/hooks",
            &json!({"bearer": bearer}),
            signs,
        ),
        file(
            "http://erp.example/hooks",
            &json!({"bearer": bearer}),
            signs,
        ),
        file(
            "https://erp.example:8443/hooks",
            &json!({"bearer": bearer}),
            signs,
        ),
        file(here, &json!({"header": as_header}), signs),
        file(
            here,
            &json!({"bearer": {"sealed": signs[0]["sealed"]}}),
            signs,
        ),
        file(
            here,
            &json!({"bearer": bearer}),
            &json!([{"sealed": bearer["sealed"]}]),
        ),
    ];
    for file in refused {
        let error = world.apply(&file).unwrap_err().to_string();
        assert!(error.contains("give it again"), "{error}");
    }
    // Another path of the same server, and a signing secret anywhere, are fine.
    for file in [
        file(
            "https://erp.example/other",
            &json!({"bearer": bearer}),
            signs,
        ),
        file(
            "https://new.example/",
            &json!({"bearer": {"value": token}}),
            signs,
        ),
    ] {
        assert_eq!(actions(&world.apply(&file).unwrap()), [Action::Update]);
    }
}

/// Goal: neither the client secret nor a token that it gets is sent to another
/// server by who knows no more than the handle.
#[test]
fn a_handle_of_a_client_secret_goes_to_its_two_servers_only() {
    let file = |url: &str, token_url: &str, secret: &Value| {
        let oauth2 = json!({
            "tokenUrl": token_url, "clientId": "hooks", "clientSecret": secret,
        });
        json!({
            "apiVersion": "hooklane/v1", "kind": "Endpoint",
            "metadata": {"tenant": "acme", "name": "erp"},
            "spec": {"url": url, "auth": {"oauth2": oauth2}, "signing": {"scheme": "none"}},
        })
        .to_string()
    };
    let (here, login) = ("https://erp.example/hooks", "https://login.example/token");
    let mut world = World::new();
    let given = file(here, login, &json!({"value": "client-secret"}));
    world.apply(&given).unwrap();
    let (spec, shown) = world.stored();
    assert!(!format!("{spec} {shown:?}").contains("client-secret"));
    let handle = spec["auth"]["oauth2"]["clientSecret"].clone();
    assert!(handle["sealed"].is_string(), "{spec}");
    for (url, token_url) in [
        (here, "https://evil.example/token"),
        (here, "http://login.example/token"),
        ("https://evil.example/hooks", login),
    ] {
        let error = world.apply(&file(url, token_url, &handle)).unwrap_err();
        let said = error.to_string();
        assert!(
            said.contains("spec.auth.oauth2.clientSecret: would be sent to another server"),
            "{said}"
        );
    }
    let elsewhere = file(here, "https://login.example/v2/token", &handle);
    assert_eq!(actions(&world.apply(&elsewhere).unwrap()), [Action::Update]);
}
