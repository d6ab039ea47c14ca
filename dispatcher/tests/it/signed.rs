//! Signatures with mounted secrets, as requests carry them.

use std::sync::Arc;
use std::time::Duration;

use hooklane_model::resource::{Signing, SigningScheme, SigningSecret};
use hooklane_model::secret::{Secret, SecretRef};
use hooklane_model::time::{Clock, UnixMillis};
use hooklane_sender::{Signer, ToSign};
use hooklane_service::clock::{SystemClock, TestClock};
use hooklane_test_support::Request;
use http::HeaderMap;
use serde_json::{Value, json};

use crate::harness::{DEADLINE, Harness, Made, Time};

const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NEW: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// The signature of a request with one secret, made at `now`.
fn signature(secret: &str, request: &Request, now: UnixMillis) -> String {
    let secret = Secret::from(secret.to_owned());
    let signing = Signing {
        scheme: SigningScheme::Standard,
        header: None,
        secrets: vec![SigningSecret::lasting(SecretRef::Inline(secret.clone()))],
    };
    let what = ToSign {
        id: request.webhook_id(),
        now,
        url: &"http://127.0.0.1/".parse().unwrap(),
        content_type: b"application/json",
        body: &request.body,
    };
    let mut headers = HeaderMap::new();
    let signer = Signer::try_new(&signing, &[secret]).unwrap();
    signer.sign(&what, &mut headers).unwrap();
    let value = headers.values().next().unwrap();
    value.to_str().unwrap().to_owned()
}

/// Goal: what signs is what is valid when an attempt is made, however long ago
/// its event came, and an endpoint's first request waits for its files and for
/// nothing else. Method: a first attempt, and later ones as the ladder brings
/// them back, hours later by the dispatcher's clock.
#[test]
fn a_retry_hours_later_is_signed_with_what_is_valid_then() {
    let begun = SystemClock.now();
    let at = |hours: u64| begun.after(Duration::from_secs(hours * 3_600));
    let clock = Arc::new(TestClock::at(begun));
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("t")).unwrap();
    for (name, secret) in [("old", OLD), ("new", NEW)] {
        std::fs::write(dir.path().join("t").join(name), format!("{secret}\n")).unwrap();
    }
    let made = Made {
        time: Time {
            wall: clock.clone(),
            ..Time::default()
        },
        spec: json!({"signing": {"scheme": "standard", "secrets": [
            {"valueFrom": {"file": "new"}, "notBefore": at(1).to_rfc3339()},
            {"valueFrom": {"file": "old"}, "expiresAt": at(2).to_rfc3339()},
        ]}}),
        keys: vec![("secrets.directory", dir.path().display().to_string())],
    };
    let h = Harness::made(made, &["/a"]);
    let steps: [(u64, u16, &[&str]); 3] = [(0, 1, &[OLD]), (1, 2, &[NEW, OLD]), (20, 3, &[NEW])];
    for (hours, attempt, secrets) in steps {
        clock.set_wall(at(hours));
        h.produce(b"{\"n\":1}", &["/a"], attempt);
        let count = usize::from(attempt);
        h.receiver.wait_count("/a", count, DEADLINE).unwrap();
        let request = h.receiver.requests().remove(count - 1);
        let expected: Vec<String> = secrets
            .iter()
            .map(|secret| signature(secret, &request, at(hours)))
            .collect();
        let found = request.header("webhook-signature");
        assert_eq!(found, Some(&*expected.join(" ")), "after {hours} hours");
    }
    h.wait_committed();
    let records = h.scan(&h.names.attempts());
    let attempts = records.iter().flat_map(|record| {
        let value = record.value.as_ref().unwrap();
        serde_json::from_slice::<Vec<Value>>(value).unwrap()
    });
    let outcomes: Vec<Value> = attempts.map(|mut one| one["outcome"].take()).collect();
    assert_eq!(outcomes, ["delivered"; 3], "none was held for its files");
    h.stop();
}
