use serde_json::{Value, json};

use super::*;

/// 24 bytes, from the specification's own tests.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn read(signing: Value) -> (Signing, Vec<String>) {
    let mut findings = Findings::default();
    let mut fields = Fields::of(json!({ "signing": signing }), "spec", &mut findings);
    let signing = Signing::read(&mut fields, &mut findings);
    findings.problems.append(&mut findings.unknown);
    let problems = findings.problems.iter().map(ToString::to_string);
    (signing, problems.collect())
}

#[test]
fn secrets_read_with_their_times() {
    let (signing, problems) = read(json!({
        "scheme": "standard",
        "secrets": [
            {"id": "new", "createdAt": "2026-11-25T00:00:00Z", "value": SECRET},
            {"id": "old", "expiresAt": "1970-01-01T00:00:01Z", "valueFrom": {"env": "OLD"}},
            {"notBefore": "1970-01-01T00:00:01Z", "valueFrom": {"env": "LATER"}},
        ],
    }));
    assert_eq!(problems, Vec::<String>::new());
    assert_eq!(signing.scheme, SigningScheme::Standard);
    let [new, old, later] = &signing.secrets[..] else {
        panic!("{signing:?}")
    };
    assert_eq!(new.secret.inline().unwrap().expose(), SECRET.as_bytes());
    assert!(new.validity().holds(UnixMillis(u64::MAX)));
    assert!(old.validity().holds(UnixMillis(999)));
    assert!(
        !old.validity().holds(UnixMillis(1_000)),
        "the end is not included"
    );
    assert!(!later.validity().holds(UnixMillis(999)));
    assert!(later.validity().holds(UnixMillis(1_000)), "the start is");
}

#[test]
fn a_secret_that_would_never_sign_is_a_problem() {
    let at = "2026-11-25T00:00:00Z";
    let (_, problems) = read(json!({"secrets": [
        {"value": SECRET, "notBefore": at, "expiresAt": at},
        {"value": SECRET, "notBefore": at, "expiresAt": "2026-11-25T00:00:01Z"},
        {"value": SECRET},
    ]}));
    let expected = "spec.signing.secrets[0].notBefore: is not before expiresAt, so the secret \
                    never signs";
    assert_eq!(problems, [expected]);
}

#[test]
fn problems() {
    let short = "c2hvcnQtc2VjcmV0";
    let cases = [
        (
            json!({"scheme": "hmac"}),
            "spec.signing.scheme: expected one of standard, github",
        ),
        (
            json!({"scheme": "github"}),
            "spec.signing.secrets: is required",
        ),
        (
            json!({"scheme": "none", "secrets": [{"value": SECRET}]}),
            "spec.signing.secrets: is for schemes",
        ),
        (
            json!({"scheme": "standard", "header": "x-sig", "secrets": [{"value": SECRET}]}),
            "spec.signing.header: cannot be chosen",
        ),
        (
            json!({"scheme": "stripe", "header": "host", "secrets": [{"value": SECRET}]}),
            "spec.signing.header: is a header that",
        ),
        (
            json!({"scheme": "standard", "secrets": [{"value": format!("whsec_{short}")}]}),
            "spec.signing.secrets[0].value: must hold 24 to 64 bytes",
        ),
        (
            json!({"scheme": "standard", "secrets": [{"value": format!("whsk_{short}")}]}),
            "spec.signing.secrets[0].value: must hold 32 bytes",
        ),
        (
            json!({"scheme": "standard", "secrets": [{"value": short}]}),
            "spec.signing.secrets[0].value: must begin with",
        ),
        (
            json!({"scheme": "standard", "secrets": [{"value": "whsec_not*base64"}]}),
            "spec.signing.secrets[0].value: is not base64",
        ),
        (
            json!({"scheme": "github", "secrets": [{"value": "hunter2"}]}),
            "spec.signing.secrets[0].value: is shorter than 16",
        ),
        (
            json!({"scheme": "github", "secrets": [{"value": "x".repeat(257)}]}),
            "spec.signing.secrets[0].value: is longer than 256",
        ),
        (
            json!({"scheme": "github", "secrets": ["hunter2-hunter2-hunter2"]}),
            "spec.signing.secrets[0]: expected an object, found a string",
        ),
        (
            json!({"scheme": "standard", "secrets": [{"value": SECRET, "expiresAt": "tomorrow"}]}),
            "spec.signing.secrets[0].expiresAt: expected an RFC 3339",
        ),
        (
            json!({"scheme": "standard", "secrets": [{"value": SECRET, "expiresAt": "2026-11-25T00:00:00Z"}]}),
            "spec.signing.secrets: one of them must not expire",
        ),
        (
            json!({"scheme": "standard", "secrets": vec![json!({"value": SECRET}); 11]}),
            "spec.signing.secrets: has 11 secrets; at most 10",
        ),
    ];
    for (signing, expected) in cases {
        let text = signing.to_string();
        let (_, problems) = read(signing);
        assert!((1..=2).contains(&problems.len()), "{text}: {problems:?}");
        assert!(problems[0].starts_with(expected), "{text}: {problems:?}");
        for secret in [short, "hunter2", &SECRET[8..], "not*base64"] {
            assert!(
                !problems[0].contains(secret),
                "shows the secret: {problems:?}"
            );
        }
    }
}

#[test]
fn standard_keys() {
    let of = |text: &str| StandardKey::parse(text.as_bytes());
    assert!(matches!(of(SECRET), Ok(StandardKey::Symmetric(key)) if key.len() == 24));
    let pair = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
    assert!(matches!(of(pair), Ok(StandardKey::Asymmetric(key)) if key.len() == 64));
    // A secret from a file ends with the line.
    assert!(of(&format!("{SECRET}\n")).is_ok());
    for length in [23, 65] {
        assert!(of(&format!("whsec_{}", STANDARD.encode(vec![7; length]))).is_err());
    }
    for length in [24, 64] {
        assert!(of(&format!("whsec_{}", STANDARD.encode(vec![7; length]))).is_ok());
    }
}
