//! OAuth 2.0 client credentials (RFC 6749, 4.4): an access token is asked for
//! at a token server and shown to the receiver.

use std::collections::BTreeSet;

use url::Url;

use super::super::headers::check_value;
use super::super::read_url;
use super::read_secret;
use crate::fields::{Fields, Findings};
use crate::secret::SecretRef;

/// How an endpoint's access tokens are come by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuth2 {
    /// Where tokens are asked for; held to the rules of an endpoint's URL.
    pub token_url: Url,
    /// Who asks.
    pub client_id: String,
    /// What proves it.
    pub client_secret: SecretRef,
    /// What the token is to allow; none is the server's default.
    pub scopes: Vec<String>,
    /// Whom the token is for, where the server wants to be told.
    pub audience: Option<String>,
    /// Where id and secret stand in the token request.
    pub client_authentication: ClientAuthentication,
    /// What the token request says besides, sorted by name.
    pub parameters: Vec<(String, String)>,
}

/// Where id and secret stand in a token request (RFC 6749, 2.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuthentication {
    /// In the `authorization` header, which every server has to take.
    #[default]
    Basic,
    /// In the body.
    Body,
}

const WAYS: [(&str, ClientAuthentication); 2] = [
    ("basic", ClientAuthentication::Basic),
    ("body", ClientAuthentication::Body),
];

const CLIENT_ID_MAX: usize = 512;
const AUDIENCE_MAX: usize = 2_048;
const SCOPES_MAX: usize = 50;
/// All scopes together, and all further parameters: token requests are read
/// into memory by servers that refuse large ones.
const BYTES_MAX: usize = 4 << 10;
const PARAMETERS_MAX: usize = 10;

/// Parameters that have a field of their own, that are secrets and would stand
/// in clear, or that belong to grants with a person in them.
const DENIED: [&str; 14] = [
    "grant_type",
    "client_id",
    "client_secret",
    "scope",
    "audience",
    "client_assertion",
    "client_assertion_type",
    "assertion",
    "username",
    "password",
    "code",
    "code_verifier",
    "refresh_token",
    "redirect_uri",
];

impl OAuth2 {
    pub(super) fn read(mut fields: Fields, findings: &mut Findings) -> Option<Self> {
        let token_url = read_url(&mut fields, "tokenUrl", findings);
        let client_id = read_client_id(&mut fields, findings);
        let given = fields.has("clientSecret");
        let secret = fields.object("clientSecret", findings);
        if secret.is_none() && !given {
            findings.problem(fields.path_of("clientSecret"), "is required");
        }
        let client_secret = secret.and_then(|mut secret| {
            let read = read_secret(&mut secret, findings);
            secret.finish(findings);
            read
        });
        let scopes = read_scopes(&mut fields, findings);
        let audience_path = fields.path_of("audience");
        let audience = fields.text("audience", findings);
        if let Some(audience) = &audience {
            say(audience_path, check_text(audience, AUDIENCE_MAX), findings);
        }
        let client_authentication = fields.word("clientAuthentication", &WAYS, findings);
        let parameters = read_parameters(&mut fields, findings);
        fields.finish(findings);
        Some(Self {
            token_url: token_url?,
            client_id,
            client_secret: client_secret?,
            scopes,
            audience,
            client_authentication: client_authentication.unwrap_or_default(),
            parameters,
        })
    }
}

fn read_client_id(fields: &mut Fields, findings: &mut Findings) -> String {
    let path = fields.path_of("clientId");
    let id = fields.required_text("clientId", findings);
    if !id.is_empty() {
        say(path, check_text(&id, CLIENT_ID_MAX), findings);
    }
    id
}

fn read_scopes(fields: &mut Fields, findings: &mut Findings) -> Vec<String> {
    let path = fields.path_of("scopes");
    let scopes = fields.texts("scopes", findings).unwrap_or_default();
    if scopes.len() > SCOPES_MAX || scopes.iter().map(String::len).sum::<usize>() > BYTES_MAX {
        let reason = format!("at most {SCOPES_MAX} scopes of {BYTES_MAX} bytes together");
        findings.problem(&*path, reason);
    }
    let mut seen = BTreeSet::new();
    for (i, scope) in scopes.iter().enumerate() {
        let problem = if !is_scope(scope) {
            "must be printable ASCII without spaces, quotes and backslashes; give each scope as \
             an item of its own"
        } else if !seen.insert(scope) {
            "is there twice"
        } else {
            continue;
        };
        findings.problem(format!("{path}[{i}]"), problem);
    }
    scopes
}

/// RFC 6749, 3.3: scope-token.
fn is_scope(scope: &str) -> bool {
    let token = |b: u8| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    !scope.is_empty() && scope.bytes().all(token)
}

fn read_parameters(fields: &mut Fields, findings: &mut Findings) -> Vec<(String, String)> {
    let path = fields.path_of("parameters");
    let given = fields.text_map("parameters", findings).unwrap_or_default();
    let bytes: usize = given.iter().map(|(name, v)| name.len() + v.len()).sum();
    if given.len() > PARAMETERS_MAX || bytes > BYTES_MAX {
        let reason = format!("at most {PARAMETERS_MAX} parameters of {BYTES_MAX} bytes together");
        findings.problem(&*path, reason);
    }
    for (name, value) in &given {
        let checked = check_parameter(name).and_then(|()| check_value(value));
        // As it is shown for headers: the name of what may be anything.
        say(format!("{path}.{name:?}"), checked, findings);
    }
    given.into_iter().collect()
}

/// RFC 6749, A: names of parameters.
fn check_parameter(name: &str) -> Result<(), &'static str> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
        return Err("must be 1 to 64 letters, digits and `-._`");
    }
    if DENIED.contains(&name.to_ascii_lowercase().as_str()) {
        return Err("is set from other fields, is a secret, or belongs to another grant");
    }
    Ok(())
}

fn check_text(text: &str, max: usize) -> Result<(), &'static str> {
    if text.len() > max {
        return Err("is too long");
    }
    check_value(text)
}

fn say(path: String, checked: Result<(), &'static str>, findings: &mut Findings) {
    if let Err(problem) = checked {
        findings.problem(path, problem);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(oauth2: Value) -> (Option<OAuth2>, Vec<String>) {
        let mut findings = Findings::default();
        let fields = Fields::of(oauth2, "oauth2", &mut findings);
        let read = OAuth2::read(fields, &mut findings);
        findings.problems.append(&mut findings.unknown);
        let problems = findings.problems.iter().map(ToString::to_string);
        (read, problems.collect())
    }

    fn least() -> Value {
        json!({
            "tokenUrl": "https://login.example/token",
            "clientId": "hooks",
            "clientSecret": {"valueFrom": {"file": "client"}},
        })
    }

    fn with(field: &str, value: Value) -> Value {
        let mut spec = least();
        spec[field] = value;
        spec
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let (read, problems) = read(least());
        assert_eq!(problems, Vec::<String>::new());
        let expected = OAuth2 {
            token_url: Url::parse("https://login.example/token").unwrap(),
            client_id: "hooks".into(),
            client_secret: SecretRef::File("client".into()),
            scopes: vec![],
            audience: None,
            client_authentication: ClientAuthentication::Basic,
            parameters: vec![],
        };
        assert_eq!(read.unwrap(), expected);
    }

    #[test]
    fn every_field_reads() {
        let mut spec = least();
        spec["scopes"] = json!(["hooks:write", "api://erp/.default"]);
        spec["audience"] = json!("https://erp.example/");
        spec["clientAuthentication"] = json!("body");
        spec["parameters"] = json!({"resource": "https://erp.example", "acr": "1"});
        let (read, problems) = read(spec);
        assert_eq!(problems, Vec::<String>::new());
        let read = read.unwrap();
        assert_eq!(read.scopes, ["hooks:write", "api://erp/.default"]);
        assert_eq!(read.audience.as_deref(), Some("https://erp.example/"));
        assert_eq!(read.client_authentication, ClientAuthentication::Body);
        let names: Vec<_> = read.parameters.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["acr", "resource"]);
    }

    fn assert_problems(cases: &[(&str, Value, &str)]) {
        for (field, value, expected) in cases {
            let (_, problems) = read(with(field, value.clone()));
            let expected = format!("oauth2.{field}{expected}");
            let found = problems.iter().any(|p| p.starts_with(&expected));
            assert!(found, "{expected}: {problems:?}");
            assert!(!problems.join("\n").contains("hunter2"), "{problems:?}");
        }
    }

    #[test]
    fn a_token_url_is_held_to_the_rules_of_urls() {
        let url = |text: &str| json!(text);
        assert_problems(&[
            ("tokenUrl", json!(null), ": is required"),
            (
                "tokenUrl",
                url("https://u:hunter2@a.example/"),
                ": must not hold a user",
            ),
            (
                "tokenUrl",
                url("https://a.example/#x"),
                ": must not hold a fragment",
            ),
            (
                "tokenUrl",
                url("https://a.example/ "),
                ": must not hold spaces",
            ),
            (
                "tokenUrl",
                url("https://localhost/"),
                ": must not name localhost",
            ),
            (
                "tokenUrl",
                url("https://a.example:25/"),
                ": must not name port 25",
            ),
            (
                "tokenUrl",
                url("ftp://a.example/"),
                ": must begin with https",
            ),
            ("tokenUri", url("https://a.example/"), ": unknown field"),
        ]);
    }

    #[test]
    fn problems_of_who_asks_and_for_what() {
        assert_problems(&[
            ("clientId", json!(null), ": is required"),
            ("clientId", json!("a\nb"), ": must be printable"),
            ("clientId", json!("x".repeat(513)), ": is too long"),
            ("clientSecret", json!(null), ": is required"),
            ("clientSecret", json!("hunter2"), ": expected an object"),
            (
                "clientSecret",
                json!({"value": "hunter2\n"}),
                ".value: must be printable",
            ),
            ("scopes", json!("a b"), ": expected a list"),
            ("scopes", json!(["a", "b c"]), "[1]: must be printable"),
            ("scopes", json!(["a\"b"]), "[0]: must be printable"),
            ("scopes", json!(["a\\b"]), "[0]: must be printable"),
            ("scopes", json!([""]), "[0]: must be printable"),
            ("scopes", json!(["a", "a"]), "[1]: is there twice"),
            ("scopes", json!(vec!["x"; 51]), ": at most 50"),
            ("scopes", json!(["x".repeat(4097)]), ": at most 50"),
            ("audience", json!(""), ": must be printable"),
            ("audience", json!("x".repeat(2049)), ": is too long"),
            (
                "clientAuthentication",
                json!("jwt"),
                ": expected one of basic, body",
            ),
        ]);
    }

    #[test]
    fn problems_of_further_parameters() {
        let field = "parameters";
        let many: serde_json::Map<_, _> = (0..11).map(|n| (n.to_string(), json!("x"))).collect();
        assert_problems(&[
            (
                field,
                json!({"client_secret": "hunter2"}),
                ".\"client_secret\": is set from",
            ),
            (
                field,
                json!({"Grant_Type": "password"}),
                ".\"Grant_Type\": is set from",
            ),
            (field, json!({"a b": "c"}), ".\"a b\": must be 1 to 64"),
            (field, json!({"": "c"}), ".\"\": must be 1 to 64"),
            (field, json!({"a": "b\r\n"}), ".\"a\": must be printable"),
            (field, json!({"a": "x".repeat(4096)}), ": at most 10"),
            (field, Value::Object(many), ": at most 10"),
        ]);
    }

    #[test]
    fn all_problems_come_at_once() {
        let (_, all) = read(json!({"scopes": [1], "parameters": []}));
        assert_eq!(all.len(), 5, "{all:?}");
    }
}
