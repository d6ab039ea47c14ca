//! What lets requests in, as it stands in their headers.

use hooklane_model::envelope::EventHead;
use hooklane_model::resource::{Manifest, parse_yaml};
use hooklane_model::secret::Secret;
use hooklane_model::time::UnixMillis;
use hooklane_sender::{Delivery, Event, Recipient, RecipientError, SenderConfig};
use http::HeaderMap;

use crate::support::sender;

/// The headers of a request of an endpoint with this `auth`, whose signing
/// secret comes first.
fn headers(auth: &str, secret: &[u8]) -> Result<HeaderMap, RecipientError> {
    let yaml = format!(
        "apiVersion: hooklane/v1\nkind: Endpoint\nmetadata: {{tenant: acme, name: erp}}\nspec: \
         {{url: 'https://erp.example/', auth: {auth}, signing: {{scheme: github, secrets: \
         [{{valueFrom: {{file: signs}}}}]}}}}"
    );
    let Manifest::Endpoint(endpoint) = parse_yaml(&yaml).unwrap().remove(0).manifest else {
        panic!("an endpoint");
    };
    let secrets = [
        Secret::from("a secret that signs".to_owned()),
        Secret::new(secret.to_vec()),
    ];
    let recipient = Recipient::try_new(&sender(SenderConfig::default()), &endpoint.spec, &secrets)?;
    let shown = format!("{recipient:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
    let head = EventHead::default();
    let payload = bytes::Bytes::from_static(b"{}");
    let event = Event {
        head: &head,
        payload: &payload,
        first_seen: UnixMillis(0),
    };
    let delivery = Delivery {
        id: "dlv_1",
        attempt: 1,
        event,
    };
    Ok(recipient.request(&delivery, UnixMillis(0)).unwrap().headers)
}

#[test]
fn each_kind_of_credential_is_its_header() {
    let file = "valueFrom: {file: token}";
    let cases = [
        (
            format!("{{bearer: {{{file}}}}}"),
            "authorization",
            "Bearer hunter2",
        ),
        // RFC 7617, 2: the example, with its user name.
        (
            format!("{{basic: {{username: Aladdin, password: {{{file}}}}}}}"),
            "authorization",
            "Basic QWxhZGRpbjpodW50ZXIy",
        ),
        (
            format!("{{header: {{name: X-Api-Key, {file}}}}}"),
            "x-api-key",
            "hunter2",
        ),
    ];
    for (auth, name, value) in cases {
        // A file ends with the line.
        let headers = headers(&auth, b"hunter2\n").unwrap();
        assert_eq!(headers[name], value, "{auth}");
        assert!(headers[name].is_sensitive());
        assert!(!format!("{headers:?}").contains(value), "{headers:?}");
        assert!(headers.contains_key("x-hub-signature-256"));
    }
}

#[test]
fn what_is_no_header_value_is_not_sent_nor_shown() {
    for secret in [
        &b"hunter2\r\nhost: evil"[..],
        b"\n",
        b"hunter2\xff",
        b" hunter2",
    ] {
        let error = headers("{bearer: {valueFrom: {file: token}}}", secret).unwrap_err();
        assert_eq!(error.reason(), "invalid_secret");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
