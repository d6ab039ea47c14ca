//! Secrets: in clear, and as a spec refers to them.
//!
//! A spec says where a secret is ([`SecretRef`]); only who needs the bytes
//! turns that into [`Secret`], and lets them go when done. A secret in
//! clear has no `Display`, no `Serialize` and no `Debug` that shows it, so
//! that it cannot reach a log, a record or an answer by accident. Problems
//! found while reading a reference name its path and never its text.

use std::fmt;

use serde_json::Value;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::fields::{Fields, Findings, kind};

/// A PEM chain of keys is the largest secret there is.
const SECRET_MAX: usize = 64 << 10;

/// Bytes that are wiped when dropped. Debug shows nothing of them, and there
/// is no Display and no Serialize: what needs the value says so by
/// [`Secret::expose`].
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for the one place that needs them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The value as text, if it is one.
    #[must_use]
    pub fn expose_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// Whether two values are the same, in a time that depends on their
    /// lengths alone.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text.into_bytes())
    }
}

impl fmt::Debug for Secret {
    /// Not even the length: it tells keys from passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// By [`Secret::same_as`]: specs are compared, and they hold secrets.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.same_as(other)
    }
}

impl Eq for Secret {}

/// Where a secret is, as a spec says it.
///
/// A name of the environment or a path is a tenant's word: whoever resolves it
/// must hold it to what the deployment set aside for that, or a manifest could
/// send any file of the process to any receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretRef {
    /// `value`: in clear, in what a person applies. Never stored so.
    Inline(Secret),
    /// `valueFrom: {env: NAME}`: in the environment of who uses it.
    Env(String),
    /// `valueFrom: {file: PATH}`: in a file mounted at who uses it.
    File(String),
    /// `sealed`: encrypted, as it is stored.
    Sealed(String),
}

impl SecretRef {
    /// Reads `value`, `valueFrom` or `sealed` among the other fields of
    /// `fields`; exactly one of them must be there.
    pub(crate) fn read(fields: &mut Fields, findings: &mut Findings) -> Option<Self> {
        let here = fields.path_of("value");
        let here = here.strip_suffix(".value").unwrap_or(&here).to_owned();
        let given = [
            read_text(fields, "value", findings)
                .map(|text| text.map(|text| Self::Inline(Secret::new(text.into_bytes())))),
            read_value_from(fields, findings),
            read_text(fields, "sealed", findings).map(|text| text.map(Self::Sealed)),
        ];
        let mut given = given.into_iter().flatten();
        let (Some(one), None) = (given.next(), given.next()) else {
            findings.problem(
                here,
                "give the secret as exactly one of `value: TEXT`, `valueFrom: {env: NAME}` or \
                 `valueFrom: {file: PATH}`",
            );
            return None;
        };
        one
    }

    /// The secret in clear, where the spec itself holds it.
    #[must_use]
    pub fn inline(&self) -> Option<&Secret> {
        match self {
            Self::Inline(secret) => Some(secret),
            Self::Env(_) | Self::File(_) | Self::Sealed(_) => None,
        }
    }
}

/// What a sealed text begins with, `hks1.KEY_ID.VERSION`: it names the secret
/// and holds nothing of it, so people may see it. `None` if it is no such text.
#[must_use]
pub fn sealed_handle(sealed: &str) -> Option<&str> {
    sealed_version(sealed)?;
    let end = sealed.match_indices('.').nth(2);
    Some(end.map_or(sealed, |(end, _)| &sealed[..end]))
}

/// Which of all values that an endpoint ever had a sealed text, or its handle,
/// is. The encryption itself is not known here.
#[must_use]
pub fn sealed_version(sealed: &str) -> Option<&str> {
    let mut parts = sealed.split('.');
    let known = |part: &str| {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        (1..=32).contains(&part.len()) && part.bytes().all(plain)
    };
    let (format, key_id, version) = (parts.next()?, parts.next()?, parts.next()?);
    let hex = version.len() == 32 && version.bytes().all(|b| b.is_ascii_hexdigit());
    (format.starts_with("hks") && known(format) && known(key_id) && hex).then_some(version)
}

/// `None` is absent, `Some(None)` is there and wrong. Never shows what it found.
fn read_text(
    fields: &mut Fields,
    field: &'static str,
    findings: &mut Findings,
) -> Option<Option<String>> {
    let path = fields.path_of(field);
    let problem = match fields.take(field)? {
        Value::String(text) if text.is_empty() => "is empty".to_owned(),
        Value::String(text) if text.len() > SECRET_MAX => "is longer than 64 KiB".to_owned(),
        Value::String(text) => return Some(Some(text)),
        other => format!("expected a string, found {}; quote it", kind(&other)),
    };
    findings.problem(path, problem);
    Some(None)
}

/// `None` is absent, `Some(None)` is there and wrong.
fn read_value_from(fields: &mut Fields, findings: &mut Findings) -> Option<Option<SecretRef>> {
    let path = fields.path_of("valueFrom");
    let mut from = fields.object("valueFrom", findings)?;
    let env = from.text("env", findings);
    let file = from.text("file", findings);
    from.finish(findings);
    Some(match (env, file) {
        (Some(env), None) if !env.is_empty() => Some(SecretRef::Env(env)),
        (None, Some(file)) if !file.is_empty() => Some(SecretRef::File(file)),
        _ => {
            findings.problem(path, "give exactly one of env, file, and not empty");
            None
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> (Option<SecretRef>, Vec<String>) {
        let mut findings = Findings::default();
        let mut fields = Fields::of(value, "auth.bearer", &mut findings);
        let secret = SecretRef::read(&mut fields, &mut findings);
        fields.finish(&mut findings);
        findings.problems.append(&mut findings.unknown);
        let problems = findings.problems.iter().map(ToString::to_string).collect();
        (secret, problems)
    }

    #[test]
    fn each_form_reads() {
        let clear = SecretRef::Inline(Secret::new(b"hunter2".to_vec()));
        let cases = [
            (json!({"value": "hunter2"}), clear),
            (
                json!({"valueFrom": {"env": "TOKEN"}}),
                SecretRef::Env("TOKEN".into()),
            ),
            (
                json!({"valueFrom": {"file": "/run/t"}}),
                SecretRef::File("/run/t".into()),
            ),
            (
                json!({"sealed": "v1.k.n.c"}),
                SecretRef::Sealed("v1.k.n.c".into()),
            ),
        ];
        for (value, expected) in cases {
            assert_eq!(read(value), (Some(expected), vec![]));
        }
    }

    #[test]
    fn problems_have_the_path_and_never_the_secret() {
        let long = "s3cr3t".repeat(20_000);
        let cases = [
            (json!({}), "auth.bearer: give the secret as exactly one"),
            (
                json!({"value": "s3cr3t", "valueFrom": {"env": "A"}}),
                "auth.bearer: give the secret as exactly one",
            ),
            (
                json!({"value": 42_4242}),
                "auth.bearer.value: expected a string, found a number",
            ),
            (json!({"value": ""}), "auth.bearer.value: is empty"),
            (
                json!({"value": long}),
                "auth.bearer.value: is longer than 64 KiB",
            ),
            (
                json!({"valueFrom": {"env": "A", "file": "b"}}),
                "auth.bearer.valueFrom: give exactly one of env, file",
            ),
            (
                json!({"valueFrom": {"env": "A", "file": ""}}),
                "auth.bearer.valueFrom: give exactly one of env, file",
            ),
            (
                json!({"valueFrom": "s3cr3t"}),
                "auth.bearer.valueFrom: expected an object, found a string",
            ),
            (
                json!("s3cr3t"),
                "auth.bearer: expected an object, found a string",
            ),
            (
                json!({"value": "s3cr3t", "vlaue": "s3cr3t"}),
                "auth.bearer.vlaue: unknown field; known here: value, valueFrom, sealed",
            ),
        ];
        for (value, expected) in cases {
            let (_, problems) = read(value);
            assert!(
                problems.iter().any(|p| p.starts_with(expected)),
                "{expected}: {problems:?}"
            );
            let text = problems.join("\n");
            assert!(!text.contains("s3cr3t") && !text.contains("4242"), "{text}");
        }
    }

    #[test]
    fn a_handle_is_the_head_of_a_sealed_text_and_of_nothing_else() {
        let handle = "hks1.k-1.0123456789abcdef0123456789abcdef";
        for sealed in [handle.to_owned(), format!("{handle}.QUJD.REVG")] {
            assert_eq!(sealed_handle(&sealed), Some(handle));
            assert_eq!(sealed_version(&sealed), Some(&handle[9..]));
        }
        for other in [
            "",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "hks1.k1",
            "hks1.SECRET.0123456789abcdef0123456789abcdef.A.B",
            "hks1.k1.not-hex-but-32-characters-long-x.A.B",
        ] {
            assert_eq!(sealed_handle(other), None, "{other}");
        }
    }

    #[test]
    fn nothing_shows_the_value_or_its_length() {
        let secret = |text: &str| Secret::from(text.to_owned());
        let shown = format!("{:?} {:#?}", secret("hunter2"), Secret::new(vec![1]));
        assert_eq!(shown, "*** ***");
        let shown = format!("{:?}", SecretRef::Inline(secret("hunter2")));
        assert_eq!(shown, "Inline(***)");
    }

    #[test]
    fn equal_is_equal_in_every_byte() {
        let secret = |text: &str| Secret::from(text.to_owned());
        assert_eq!(secret("hunter2"), secret("hunter2"));
        for other in ["hunter3", "iunter2", "hunter", "hunter22", ""] {
            assert_ne!(secret("hunter2"), secret(other), "{other}");
        }
    }
}
