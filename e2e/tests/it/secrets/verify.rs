//! Signatures, checked by a program that is not ours.

use std::process::Command;

use hooklane_test_support::Request;

/// Standard Webhooks 1.0 in Python: prints for each secret how many of the
/// signatures it made, and then how many there are.
const CHECK: &str = r#"
import base64, hashlib, hmac, sys
id, at, body, signatures, *secrets = [bytes.fromhex(arg) for arg in sys.argv[1:]]
signed = b".".join([id, at, body])
given = signatures.split(b" ")
def makes(secret):
    key = base64.b64decode(secret.removeprefix(b"whsec_"))
    made = hmac.new(key, signed, hashlib.sha256).digest()
    return sum(one == b"v1," + base64.b64encode(made) for one in given)
print(*[makes(secret) for secret in secrets], len(given))
"#;

/// How many of a request's signatures each secret has made; there are no
/// others.
pub(super) fn signed_with<const N: usize>(request: &Request, secrets: &[&str; N]) -> [usize; N] {
    let header = |name| request.header(name).unwrap_or_default().as_bytes();
    let mut parts = vec![
        header("webhook-id"),
        header("webhook-timestamp"),
        &request.body,
        header("webhook-signature"),
    ];
    parts.extend(secrets.iter().map(|secret| secret.as_bytes()));
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let ran = Command::new("python3")
        .args(["-c", CHECK])
        .args(parts.into_iter().map(hex))
        .output()
        .unwrap();
    let out = String::from_utf8(ran.stdout).unwrap();
    let numbers: Vec<usize> = out.split_whitespace().map(|n| n.parse().unwrap()).collect();
    let err = String::from_utf8_lossy(&ran.stderr);
    let (total, counts) = numbers.split_last().unwrap_or_else(|| panic!("{err}"));
    assert_eq!(counts.iter().sum::<usize>(), *total, "{request:?}");
    counts.try_into().unwrap()
}
