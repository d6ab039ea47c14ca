//! Our signatures against those that independent libraries made: see
//! `tests/vectors/README.md`.

use std::collections::{BTreeMap, BTreeSet};

use hooklane_model::resource::{Signing, SigningScheme, SigningSecret};
use hooklane_model::secret::{Secret, SecretRef};
use hooklane_model::time::UnixMillis;
use hooklane_sender::{Signer, ToSign};
use http::HeaderMap;
use serde_json::Value;
use url::Url;

const REQUESTS: &str = include_str!("../vectors/requests.json");
const VECTORS: [&str; 3] = [
    include_str!("../vectors/python.json"),
    include_str!("../vectors/node.json"),
    include_str!("../vectors/go.json"),
];

fn list(text: &str) -> Vec<Value> {
    serde_json::from_str(text).unwrap()
}

fn signer(scheme: SigningScheme, secret: &str) -> Signer {
    let secret = Secret::from(secret.to_owned());
    let signing = Signing {
        scheme,
        header: None,
        secrets: vec![SigningSecret::lasting(SecretRef::Inline(secret.clone()))],
    };
    Signer::try_new(&signing, &[secret]).unwrap()
}

/// Goal: what receivers check with the libraries they have, they accept.
/// Method: every stored signature is made again here, and must be the same.
#[test]
fn libraries_in_three_languages_make_the_same_signatures() {
    let requests = list(REQUESTS);
    let requests: BTreeMap<&str, &Value> = requests
        .iter()
        .map(|request| (request["name"].as_str().unwrap(), request))
        .collect();
    let mut seen = BTreeSet::new();
    for vector in VECTORS.iter().flat_map(|text| list(text)) {
        let text = |field: &str| vector[field].as_str().unwrap().to_owned();
        let request = requests[&*text("request")];
        let scheme = match &*text("scheme") {
            "standard" => SigningScheme::Standard,
            "stripe" => SigningScheme::Stripe,
            "github" => SigningScheme::Github,
            "shopify" => SigningScheme::Shopify,
            "twilio" => SigningScheme::Twilio,
            other => panic!("{other}"),
        };
        let url = Url::parse(request["url"].as_str().unwrap()).unwrap();
        let what = ToSign {
            id: request["id"].as_str().unwrap(),
            now: UnixMillis(request["seconds"].as_u64().unwrap() * 1_000 + 500),
            url: &url,
            content_type: request["contentType"].as_str().unwrap().as_bytes(),
            body: request["body"].as_str().unwrap().as_bytes(),
        };
        let mut headers = HeaderMap::new();
        let query = signer(scheme, &text("secret")).sign(&what, &mut headers);
        let header = headers.get(scheme.default_header().unwrap()).unwrap();
        assert_eq!(
            header.to_str().unwrap(),
            vector["signature"],
            "{vector:#} {request:#}"
        );
        assert_eq!(query.unwrap().as_deref(), vector["query"].as_str());
        let library = text("by");
        let language = library.rsplit(' ').next().unwrap_or_default().to_owned();
        seen.insert((text("scheme"), language));
    }
    // Guards against files that have lost their content.
    for language in ["(Python)", "(Node)", "(Go)"] {
        for scheme in ["standard", "stripe"] {
            let pair = (scheme.to_owned(), language.to_owned());
            assert!(seen.contains(&pair), "{pair:?}");
        }
    }
}
