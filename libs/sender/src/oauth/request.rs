//! The token request: what every one of an endpoint is made of.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hooklane_model::resource::{ClientAuthentication, OAuth2, check_credential};
use hooklane_model::secret::Secret;
use http::{HeaderMap, HeaderValue, header};
use url::form_urlencoded::byte_serialize;
use zeroize::Zeroizing;

use crate::recipient::RecipientError;

/// Headers, beginning with `headers`, and body.
pub(super) fn prepare(
    oauth2: &OAuth2,
    secret: &Secret,
    mut headers: HeaderMap,
) -> Result<(HeaderMap, Bytes), RecipientError> {
    // From a file, which ends with the line; none ends with a space.
    let secret = secret.expose().trim_ascii_end();
    check_credential(secret).map_err(RecipientError::Auth)?;
    let form = HeaderValue::from_static("application/x-www-form-urlencoded");
    headers.insert(header::CONTENT_TYPE, form);
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::ACCEPT, json);
    let scope = oauth2.scopes.join(" ");
    let id = oauth2.client_id.as_bytes();
    let mut fields: Vec<(&str, &[u8])> = vec![("grant_type", b"client_credentials")];
    if !scope.is_empty() {
        fields.push(("scope", scope.as_bytes()));
    }
    if let Some(audience) = &oauth2.audience {
        fields.push(("audience", audience.as_bytes()));
    }
    let further = oauth2.parameters.iter();
    fields.extend(further.map(|(name, value)| (name.as_str(), value.as_bytes())));
    match oauth2.client_authentication {
        ClientAuthentication::Basic => {
            headers.insert(header::AUTHORIZATION, basic(id, secret));
        }
        ClientAuthentication::Body => {
            fields.extend([("client_id", id), ("client_secret", secret)]);
        }
    }
    Ok((headers, Bytes::from(form_of(&fields))))
}

/// Both parts encoded like a form's before they are joined: RFC 6749, 2.3.1.
fn basic(id: &[u8], secret: &[u8]) -> HeaderValue {
    let encoded = |part| byte_serialize(part).collect::<String>();
    let pair = Zeroizing::new(format!("{}:{}", encoded(id), encoded(secret)));
    let text = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
    let mut value = HeaderValue::from_str(&text).expect("base64 is a header value");
    // Not shown by Debug, and kept out of HTTP/2's table.
    value.set_sensitive(true);
    value
}

fn form_of(fields: &[(&str, &[u8])]) -> String {
    let mut text = String::new();
    for (name, value) in fields {
        if !text.is_empty() {
            text.push('&');
        }
        text.extend(byte_serialize(name.as_bytes()));
        text.push('=');
        text.extend(byte_serialize(value));
    }
    text
}

#[cfg(test)]
mod tests {
    use hooklane_model::secret::SecretRef;

    use super::*;

    fn oauth2(way: ClientAuthentication) -> OAuth2 {
        OAuth2 {
            token_url: "https://login.example/token".parse().unwrap(),
            client_id: "s6B:hd Rk".into(),
            client_secret: SecretRef::Env("UNUSED".into()),
            scopes: vec!["a".into(), "b/c".into()],
            audience: Some("https://erp.example/?x=y&z".into()),
            client_authentication: way,
            parameters: vec![("resource".into(), "ü=1".into())],
        }
    }

    fn prepared(oauth2: &OAuth2) -> (HeaderMap, String) {
        let secret = Secret::from("p+ss:w%rd ~\n".to_owned());
        let (headers, body) = prepare(oauth2, &secret, HeaderMap::new()).unwrap();
        (headers, String::from_utf8(body.to_vec()).unwrap())
    }

    #[test]
    fn id_and_secret_are_encoded_each_and_joined() {
        let (headers, body) = prepared(&oauth2(ClientAuthentication::Basic));
        let value = &headers["authorization"];
        assert!(value.is_sensitive());
        let encoded = value.to_str().unwrap().strip_prefix("Basic ").unwrap();
        let pair = String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap();
        assert_eq!(pair, "s6B%3Ahd+Rk:p%2Bss%3Aw%25rd+%7E");
        let expected = "grant_type=client_credentials&scope=a+b%2Fc&\
                        audience=https%3A%2F%2Ferp.example%2F%3Fx%3Dy%26z&resource=%C3%BC%3D1";
        assert_eq!(body, expected);
        assert_eq!(headers["content-type"], "application/x-www-form-urlencoded");
        assert_eq!(headers["accept"], "application/json");
    }

    #[test]
    fn in_the_body_they_stand_there_alone() {
        let mut least = oauth2(ClientAuthentication::Body);
        least.scopes.clear();
        least.audience = None;
        least.parameters.clear();
        let (headers, body) = prepared(&least);
        assert!(!headers.contains_key("authorization"));
        let expected = "grant_type=client_credentials&client_id=s6B%3Ahd+Rk&\
                        client_secret=p%2Bss%3Aw%25rd+%7E";
        assert_eq!(body, expected);
    }
}
