//! Published vectors, and what must fail.

use std::collections::BTreeMap;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hooklane_model::resource::SigningSecret;
use hooklane_model::secret::SecretRef;
use proptest::prelude::*;

use super::*;

const GO: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const GO_ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const GO_BODY: &str = r#"{"test": 2432232314}"#;
const GO_V1: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
const PAIR: &str =
    "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
const PUBLIC: &str = "1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";
const PAIR_V1A: &str =
    "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==";

fn signing(scheme: SigningScheme, secrets: &[(&str, Option<u64>)]) -> (Signing, Vec<Secret>) {
    let clear = |text: &str| Secret::from(text.to_owned());
    let listed = secrets.iter().map(|(text, end)| SigningSecret {
        expires_at: end.map(UnixMillis),
        ..SigningSecret::lasting(SecretRef::Inline(clear(text)))
    });
    let signing = Signing {
        scheme,
        header: None,
        secrets: listed.collect(),
    };
    (
        signing,
        secrets.iter().map(|(text, _)| clear(text)).collect(),
    )
}

fn signer(scheme: SigningScheme, secrets: &[(&str, Option<u64>)]) -> Signer {
    let (signing, secrets) = signing(scheme, secrets);
    Signer::try_new(&signing, &secrets).unwrap()
}

/// What `signer` makes of a request: the header's value and the added query.
fn sign(signer: &Signer, what: &ToSign<'_>) -> Result<(String, Option<String>), NoValidSecret> {
    let mut headers = HeaderMap::new();
    let query = signer.sign(what, &mut headers)?;
    assert_eq!(headers.len(), 1);
    let value = headers.values().next().unwrap().to_str().unwrap();
    Ok((value.to_owned(), query))
}

fn request<'a>(url: &'a Url, id: &'a str, seconds: u64, body: &'a [u8]) -> ToSign<'a> {
    ToSign {
        id,
        // Milliseconds within the second must not show.
        now: UnixMillis(seconds * 1_000 + 999),
        url,
        content_type: b"application/json",
        body,
    }
}

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

#[test]
fn standard_webhooks_vectors() {
    let anywhere = url("https://x.example/");
    let cases = [
        (GO, GO_ID, 1_614_265_330, GO_BODY, GO_V1),
        (
            "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
            "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            1_649_367_553,
            r#"{"email":"test@example.com","username":"test_user"}"#,
            "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
        ),
        (PAIR, GO_ID, 1_614_265_330, GO_BODY, PAIR_V1A),
    ];
    for (secret, id, seconds, body, expected) in cases {
        let signer = signer(SigningScheme::Standard, &[(secret, None)]);
        let (signature, query) =
            sign(&signer, &request(&anywhere, id, seconds, body.as_bytes())).unwrap();
        assert_eq!((signature.as_str(), query), (expected, None));
    }
}

#[test]
fn a_seed_alone_is_a_key_too() {
    let pair = STANDARD
        .decode(PAIR.strip_prefix("whsk_").unwrap())
        .unwrap();
    let seed = format!("whsk_{}", STANDARD.encode(&pair[..32]));
    let signer = signer(SigningScheme::Standard, &[(&seed, None)]);
    let anywhere = url("https://x.example/");
    let what = request(&anywhere, GO_ID, 1_614_265_330, GO_BODY.as_bytes());
    assert_eq!(sign(&signer, &what).unwrap().0, PAIR_V1A);
}

#[test]
fn a_pair_is_made_as_the_vector_has_it() {
    let bytes = STANDARD.decode(&PAIR["whsk_".len()..]).unwrap();
    let (secret, public) = key_pair(bytes[..32].try_into().unwrap());
    assert_eq!(secret.expose_text(), Some(PAIR));
    assert_eq!(public, format!("whpk_{PUBLIC}"));
}

#[test]
fn github_and_shopify_vectors() {
    let anywhere = url("https://x.example/");
    let what = request(&anywhere, "dlv_1", 0, b"Hello, World!");
    let secret = "It's a Secret to Everybody";
    let hex = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let (github, _) = sign(&signer(SigningScheme::Github, &[(secret, None)]), &what).unwrap();
    assert_eq!(github, format!("sha256={hex}"));
    // The same bytes in the other notation.
    let (shopify, _) = sign(&signer(SigningScheme::Shopify, &[(secret, None)]), &what).unwrap();
    let mut again = String::new();
    text::push_hex(&mut again, &STANDARD.decode(shopify).unwrap());
    assert_eq!(again, hex);
}

#[test]
fn rfc_4231_case_2() {
    let anywhere = url("https://x.example/");
    let what = request(&anywhere, "dlv_1", 0, b"what do ya want for nothing?");
    let (github, _) = sign(&signer(SigningScheme::Github, &[("Jefe", None)]), &what).unwrap();
    let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    assert_eq!(github, format!("sha256={expected}"));
}

#[test]
fn stripe_signs_time_and_body_with_each_secret() {
    let anywhere = url("https://x.example/");
    let what = request(&anywhere, "dlv_1", 1_492_774_577, b"{}");
    let signer = signer(
        SigningScheme::Stripe,
        &[("new-secret", None), ("old-secret", None)],
    );
    let (signature, _) = sign(&signer, &what).unwrap();
    let hmac = |secret: &str| {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
        let mut hex = String::new();
        let tag = aws_lc_rs::hmac::sign(&key, b"1492774577.{}");
        text::push_hex(&mut hex, tag.as_ref());
        hex
    };
    let expected = format!(
        "t=1492774577,v1={},v1={}",
        hmac("new-secret"),
        hmac("old-secret")
    );
    assert_eq!(signature, expected);
}

#[test]
fn twilio_vector() {
    let to = url("https://mycompany.com/myapp.php?foo=1&bar=2");
    // Not in order, as a sender would have it.
    let body = "To=%2B18005551212&Digits=1234&CallSid=CA1234567890ABCDE&\
                From=%2B14158675309&Caller=%2B14158675309";
    let what = ToSign {
        content_type: b"application/x-www-form-urlencoded; charset=utf-8",
        ..request(&to, "dlv_1", 0, body.as_bytes())
    };
    let signer = signer(SigningScheme::Twilio, &[("12345", None)]);
    let (signature, query) = sign(&signer, &what).unwrap();
    assert_eq!(
        (signature.as_str(), query),
        ("RSOYDt4T1cUTdK1PDd93/VVr8B8=", None)
    );
}

#[test]
fn twilio_covers_other_bodies_by_their_hash_in_the_query() {
    // Twilio's own example of a JSON body.
    let body = br#"{"property": "value", "boolean": true}"#;
    let hash = "bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620";
    let signer = signer(SigningScheme::Twilio, &[("12345", None)]);
    for (to, signed) in [
        (
            "https://mycompany.com/myapp.php",
            format!("https://mycompany.com/myapp.php?{hash}"),
        ),
        (
            "https://mycompany.com/myapp.php?foo=1&bar=2",
            format!("https://mycompany.com/myapp.php?foo=1&bar=2&{hash}"),
        ),
    ] {
        let to = url(to);
        let (signature, query) = sign(&signer, &request(&to, "dlv_1", 0, body)).unwrap();
        assert_eq!(query.as_deref(), Some(hash));
        let algorithm = aws_lc_rs::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY;
        let key = aws_lc_rs::hmac::Key::new(algorithm, b"12345");
        let tag = aws_lc_rs::hmac::sign(&key, signed.as_bytes());
        assert_eq!(signature, STANDARD.encode(tag));
    }
}

#[test]
fn validity_is_judged_by_the_attempt() {
    let anywhere = url("https://x.example/");
    let old_until = 1_614_265_331_000;
    let secrets = [
        ("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", None),
        (GO, Some(old_until)),
    ];
    let signer = signer(SigningScheme::Standard, &secrets);
    let at = |now| {
        let what = ToSign {
            now: UnixMillis(now),
            ..request(&anywhere, GO_ID, 0, GO_BODY.as_bytes())
        };
        sign(&signer, &what).unwrap().0
    };
    let overlap = at(old_until - 1);
    let signatures: Vec<&str> = overlap.split(' ').collect();
    assert_eq!(signatures.len(), 2);
    assert_eq!(signatures[1], GO_V1);
    assert!(!at(old_until).contains(' '), "the old secret signs no more");
}

#[test]
fn schemes_of_one_signature_use_the_first_valid_secret() {
    let anywhere = url("https://x.example/");
    let what = request(&anywhere, "dlv_1", 10, b"Hello, World!");
    let secret = "It's a Secret to Everybody";
    let many = [
        ("expired-secret-123", Some(10_000)),
        (secret, None),
        ("later", None),
    ];
    let (signature, _) = sign(&signer(SigningScheme::Github, &many), &what).unwrap();
    assert!(signature.starts_with("sha256=757107ea"), "{signature}");
}

/// Goal: with one signature to a request, too, a secret can be changed without
/// a delivery that the receiver refuses. Method: it knows the new secret before
/// that signs, and the old one ends when it does.
#[test]
fn a_secret_signs_from_its_time_on() {
    let anywhere = url("https://x.example/");
    let (mut listed, secrets) = signing(
        SigningScheme::Github,
        &[
            ("new-secret-1234567", None),
            ("old-secret-1234567", Some(11_000)),
        ],
    );
    listed.secrets[0].not_before = Some(UnixMillis(11_000));
    let changing = Signer::try_new(&listed, &secrets).unwrap();
    let alone = |secret| signer(SigningScheme::Github, &[(secret, None)]);
    for (seconds, secret) in [(10, "old-secret-1234567"), (11, "new-secret-1234567")] {
        let what = request(&anywhere, "dlv_1", seconds, b"{}");
        assert_eq!(
            sign(&changing, &what),
            sign(&alone(secret), &what),
            "{seconds}"
        );
    }
    listed.secrets[1].expires_at = Some(UnixMillis(5_000));
    let gap = Signer::try_new(&listed, &secrets).unwrap();
    let what = request(&anywhere, "dlv_1", 6, b"{}");
    assert_eq!(sign(&gap, &what), Err(NoValidSecret));
}

#[test]
fn what_must_be_signed_is_not_signed_with_nothing() {
    let anywhere = url("https://x.example/");
    let what = request(&anywhere, GO_ID, 10, b"{}");
    for scheme in [
        SigningScheme::Standard,
        SigningScheme::Stripe,
        SigningScheme::Twilio,
    ] {
        let signer = signer(scheme, &[(GO, Some(10_000))]);
        let mut headers = HeaderMap::new();
        assert_eq!(signer.sign(&what, &mut headers), Err(NoValidSecret));
        assert!(headers.is_empty());
    }
    let mut headers = HeaderMap::new();
    assert_eq!(
        signer(SigningScheme::None, &[]).sign(&what, &mut headers),
        Ok(None)
    );
    assert!(headers.is_empty());
}

#[test]
fn errors_name_the_secret_and_never_show_it() {
    let (mut signing, secrets) = signing(SigningScheme::Standard, &[(GO, None), ("hunter2", None)]);
    let error = Signer::try_new(&signing, &secrets).unwrap_err().to_string();
    assert_eq!(
        error,
        "signing.secrets[1] must begin with `whsec_` (HMAC-SHA256) or `whsk_` (ed25519)"
    );
    assert!(Signer::try_new(&signing, &secrets[..1]).is_err());
    signing.secrets.truncate(1);
    let mut other = STANDARD
        .decode(PAIR.strip_prefix("whsk_").unwrap())
        .unwrap();
    other[40] ^= 1;
    let other = Secret::from(format!("whsk_{}", STANDARD.encode(other)));
    let error = Signer::try_new(&signing, &[other]).unwrap_err().to_string();
    assert!(
        error.starts_with("signing.secrets[0] holds a public key"),
        "{error}"
    );
    let shown = format!(
        "{:?}",
        signer(SigningScheme::Standard, &[(GO, None), (PAIR, None)])
    );
    assert!(
        !shown.contains("MfKQ") && !shown.contains("6Xb/"),
        "{shown}"
    );
}

/// A receiver of Standard Webhooks, written from the specification.
fn accepts(headers: &BTreeMap<&str, String>, body: &[u8]) -> bool {
    let signed = [
        headers["id"].as_bytes(),
        b".",
        headers["timestamp"].as_bytes(),
        b".",
        body,
    ];
    let secret = STANDARD.decode(GO.strip_prefix("whsec_").unwrap()).unwrap();
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &secret);
    let public = UnparsedPublicKey::new(&ED25519, STANDARD.decode(PUBLIC).unwrap());
    headers["signature"].split(' ').all(|signature| {
        let (version, text) = signature.split_once(',').unwrap();
        let Ok(bytes) = STANDARD.decode(text) else {
            return false;
        };
        match version {
            "v1" => aws_lc_rs::hmac::verify(&key, &signed.concat(), &bytes).is_ok(),
            "v1a" => public.verify(&signed.concat(), &bytes).is_ok(),
            _ => false,
        }
    })
}

proptest! {
    #[test]
    fn any_flipped_bit_is_noticed(
        body in prop::collection::vec(any::<u8>(), 0..200),
        seconds in 0..4_000_000_000_u64,
        which in 0..3_usize,
        at in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let signer = signer(SigningScheme::Standard, &[(GO, None), (PAIR, None)]);
        let anywhere = url("https://x.example/");
        let (signature, _) = sign(&signer, &request(&anywhere, GO_ID, seconds, &body)).unwrap();
        let headers = BTreeMap::from([
            ("id", GO_ID.to_owned()),
            ("timestamp", seconds.to_string()),
            ("signature", signature),
        ]);
        prop_assert!(accepts(&headers, &body));
        let mut changed = body.clone();
        let mut other = headers.clone();
        // The body, the id or the time; a flipped bit may be no longer text.
        let name = ["id", "timestamp"].get(which);
        match name {
            Some(name) => {
                let mut bytes = headers[name].clone().into_bytes();
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << (bit % 7);
                prop_assume!(bytes.is_ascii());
                other.insert(name, String::from_utf8(bytes).unwrap());
            }
            None if body.is_empty() => changed.push(1 << bit),
            None => changed[at.index(body.len())] ^= 1 << bit,
        }
        prop_assert!(!accepts(&other, &changed));
    }
}
