//! What an endpoint's requests show to be let in by the receiver.

mod oauth2;

use super::headers::{check_value, header_name};
use super::{CustomHeaders, Signing, SigningScheme};
use crate::fields::{Fields, Findings};
use crate::secret::SecretRef;

pub use self::oauth2::{ClientAuthentication, OAuth2};

/// Credentials: the same in every request, or what they are come by with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// `authorization: Bearer <secret>`.
    Bearer(SecretRef),
    /// `authorization: Basic <user name and password in base64>`.
    Basic {
        /// The user name.
        username: String,
        /// The password.
        password: SecretRef,
    },
    /// A header of the receiver's choice.
    Header {
        /// Its name, in lower case.
        name: String,
        /// Its value.
        value: SecretRef,
    },
    /// `authorization: Bearer <token>` with a token that is asked for.
    OAuth2(Box<OAuth2>),
}

/// Servers bound a line of the head by 8 KiB; beyond half of that a token is
/// a mistake.
const CREDENTIAL_MAX: usize = 4 << 10;
const USERNAME_MAX: usize = 256;

impl Auth {
    /// Reads the `auth` field of an endpoint's spec.
    pub(super) fn read(
        fields: &mut Fields,
        (signing, custom): (&Signing, &CustomHeaders),
        findings: &mut Findings,
    ) -> Option<Self> {
        let path = fields.path_of("auth");
        let mut object = fields.object("auth", findings)?;
        let bearer = object.object("bearer", findings);
        let basic = object.object("basic", findings);
        let header = object.object("header", findings);
        let oauth2 = object.object("oauth2", findings);
        object.finish(findings);
        let auth = match (bearer, basic, header, oauth2) {
            (Some(mut bearer), None, None, None) => {
                let secret = read_secret(&mut bearer, findings);
                bearer.finish(findings);
                secret.map(Self::Bearer)
            }
            (None, Some(basic), None, None) => read_basic(basic, findings),
            (None, None, Some(header), None) => read_header(header, signing, findings),
            (None, None, None, Some(oauth2)) => OAuth2::read(oauth2, findings)
                .map(Box::new)
                .map(Self::OAuth2),
            _ => {
                findings.problem(&*path, "give exactly one of bearer, basic, header, oauth2");
                None
            }
        }?;
        let name = auth.header_name();
        if custom.headers.iter().any(|(custom, _)| custom == name) {
            findings.problem(path, format!("sets {name}, and so does spec.headers"));
        }
        Some(auth)
    }

    /// Where its secret stands, as a JSON pointer from the spec on.
    #[must_use]
    pub fn secret(&self) -> (&'static str, &SecretRef) {
        match self {
            Self::Bearer(secret) => ("/auth/bearer", secret),
            Self::Basic { password, .. } => ("/auth/basic/password", password),
            Self::Header { value, .. } => ("/auth/header", value),
            Self::OAuth2(oauth2) => ("/auth/oauth2/clientSecret", &oauth2.client_secret),
        }
    }

    /// The header that it sets.
    #[must_use]
    pub fn header_name(&self) -> &str {
        match self {
            Self::Bearer(_) | Self::Basic { .. } | Self::OAuth2(_) => "authorization",
            Self::Header { name, .. } => name,
        }
    }
}

fn read_basic(mut fields: Fields, findings: &mut Findings) -> Option<Auth> {
    let path = fields.path_of("username");
    let username = fields.required_text("username", findings);
    let problem = if username.len() > USERNAME_MAX {
        Some("must not be longer than 256 characters")
    } else if username.contains(':') {
        Some("must not hold a colon: the password begins at the first one")
    } else if username.is_empty() {
        // Said already.
        None
    } else {
        check_value(&username).err()
    };
    if let Some(problem) = problem {
        findings.problem(path, problem);
    }
    let given = fields.has("password");
    let password = fields.object("password", findings);
    if password.is_none() && !given {
        findings.problem(fields.path_of("password"), "is required");
    }
    fields.finish(findings);
    let mut password = password?;
    let secret = read_secret(&mut password, findings);
    password.finish(findings);
    Some(Auth::Basic {
        username,
        password: secret?,
    })
}

fn read_header(mut fields: Fields, signing: &Signing, findings: &mut Findings) -> Option<Auth> {
    let path = fields.path_of("name");
    let text = fields.required_text("name", findings);
    let value = read_secret(&mut fields, findings);
    fields.finish(findings);
    if text.is_empty() {
        return None;
    }
    // Denied to headers that everybody may see, and made for this.
    let name = match text.to_ascii_lowercase() {
        lower if lower == "authorization" => Ok(lower),
        _ => header_name(&text),
    };
    let name = name.and_then(|name| {
        let signs = signing.header.as_deref() == Some(&*name)
            || SigningScheme::ALL
                .iter()
                .any(|scheme| scheme.default_header() == Some(&*name));
        if signs {
            return Err("carries signatures");
        }
        Ok(name)
    });
    match name {
        Ok(name) => value.map(|value| Auth::Header { name, value }),
        Err(problem) => {
            findings.problem(path, problem);
            None
        }
    }
}

fn read_secret(fields: &mut Fields, findings: &mut Findings) -> Option<SecretRef> {
    let path = fields.path_of("value");
    let secret = SecretRef::read(fields, findings)?;
    if let Some(clear) = secret.inline()
        && let Err(problem) = check_credential(clear.expose())
    {
        findings.problem(path, problem);
    }
    Some(secret)
}

/// Whether a secret can stand in a header as it is.
///
/// # Errors
/// Why not; shows nothing of it.
pub fn check_credential(secret: &[u8]) -> Result<(), &'static str> {
    let printable = secret.iter().all(|b| matches!(b, b' '..=b'~'));
    if secret.is_empty() || !printable || secret.trim_ascii() != secret {
        return Err("must be printable ASCII without spaces at its ends");
    }
    if secret.len() > CREDENTIAL_MAX {
        return Err("is longer than 4 KiB");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(auth: Value) -> (Option<Auth>, Vec<String>) {
        let mut findings = Findings::default();
        let spec = json!({"auth": auth});
        let mut fields = Fields::of(spec, "spec", &mut findings);
        let signing = Signing {
            header: Some("x-acme-signature".into()),
            ..Signing::default()
        };
        let custom = CustomHeaders {
            headers: vec![("x-own".into(), "1".into())],
            ..CustomHeaders::default()
        };
        let auth = Auth::read(&mut fields, (&signing, &custom), &mut findings);
        findings.problems.append(&mut findings.unknown);
        let problems = findings.problems.iter().map(ToString::to_string).collect();
        (auth, problems)
    }

    #[test]
    fn each_form_reads_and_says_where_its_secret_is() {
        let secret = json!({"valueFrom": {"file": "token"}});
        for (auth, pointer, header) in [
            (json!({"bearer": secret}), "/auth/bearer", "authorization"),
            (
                json!({"basic": {"username": "hooks", "password": secret}}),
                "/auth/basic/password",
                "authorization",
            ),
            (
                json!({"header": {"name": "X-Api-Key", "valueFrom": {"file": "token"}}}),
                "/auth/header",
                "x-api-key",
            ),
            (
                json!({"oauth2": {
                    "tokenUrl": "https://login.example/",
                    "clientId": "hooks",
                    "clientSecret": secret,
                }}),
                "/auth/oauth2/clientSecret",
                "authorization",
            ),
            (
                json!({"header": {"name": "Authorization", "valueFrom": {"file": "token"}}}),
                "/auth/header",
                "authorization",
            ),
        ] {
            let (read, problems) = read(auth.clone());
            assert_eq!(problems, Vec::<String>::new());
            let read = read.unwrap();
            let (found, reference) = read.secret();
            assert_eq!((found, read.header_name()), (pointer, header));
            assert_eq!(*reference, SecretRef::File("token".into()));
            // The pointer leads to the object with the reference.
            let place = json!({"auth": auth});
            assert!(place.pointer(pointer).unwrap().get("valueFrom").is_some());
        }
    }

    #[test]
    fn problems() {
        let long = "hunter2".repeat(1000);
        let cases = [
            (json!({}), "spec.auth: give exactly one"),
            (
                json!({"bearer": {"value": "hunter2"}, "header": {"name": "x-a", "value": "hunter2"}}),
                "spec.auth: give exactly one",
            ),
            (json!({"bearer": "hunter2"}), "spec.auth.bearer: expected"),
            (
                json!({"bearer": {"value": "hunter2\nx: y"}}),
                "spec.auth.bearer.value: must be printable",
            ),
            (
                json!({"bearer": {"value": long}}),
                "spec.auth.bearer.value: is longer",
            ),
            (
                json!({"basic": {"username": "a:b", "password": {"value": "hunter2"}}}),
                "spec.auth.basic.username: must not hold a colon",
            ),
            (
                json!({"basic": {"username": "a"}}),
                "spec.auth.basic.password: is required",
            ),
            (
                json!({"basic": {"password": {"value": "hunter2"}}}),
                "spec.auth.basic.username: is required",
            ),
            (
                json!({"header": {"name": "Host", "value": "hunter2"}}),
                "spec.auth.header.name: is a header that frames",
            ),
            (
                json!({"header": {"name": "X-Acme-Signature", "value": "hunter2"}}),
                "spec.auth.header.name: carries signatures",
            ),
            (
                json!({"header": {"name": "X-Own", "value": "hunter2"}}),
                "spec.auth: sets x-own, and so does spec.headers",
            ),
            (
                json!({"baerer": {"value": "hunter2"}}),
                "spec.auth.baerer: unknown field",
            ),
        ];
        for (auth, expected) in cases {
            let (_, problems) = read(auth);
            let found = problems.iter().any(|p| p.starts_with(expected));
            assert!(found, "{expected}: {problems:?}");
            assert!(!problems.join("\n").contains("hunter2"), "{problems:?}");
        }
    }
}
