//! Keys at work for the planner of the configuration.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hooklane_model::id::EndpointUid;
use hooklane_model::plan::{Sealing, SecretPlace};
use hooklane_model::resource::{Document, ResourceKey};
use hooklane_model::secret::{Secret, SecretRef};
use zeroize::Zeroizing;

use crate::entropy::{Entropy, EntropyError};
use crate::keyring::Keyring;
use crate::seal::{Place, open, rewrap, seal};
use crate::sealed::Sealed;

/// Bytes of a signing secret that is made: Standard Webhooks 1.0 asks for 24
/// to 64, and HMAC-SHA256 is at its best from 32 on.
const MADE_BYTES: usize = 32;

/// Seals, opens and makes secrets, and remembers those it made until they are
/// shown.
pub struct Sealer {
    keyring: Keyring,
    entropy: Box<dyn Entropy>,
    made: BTreeMap<ResourceKey, Secret>,
}

impl Sealer {
    /// Works with these keys.
    #[must_use]
    pub fn new(keyring: Keyring, entropy: Box<dyn Entropy>) -> Self {
        Self {
            keyring,
            entropy,
            made: BTreeMap::new(),
        }
    }

    /// The keys.
    #[must_use]
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// The secret that was made for an endpoint, if one was and `written` has
    /// it; this is the one time that it can be had.
    pub fn take_made(&mut self, written: &Document) -> Option<Secret> {
        let key = written.manifest.key();
        let made = self.made.remove(&key)?;
        let place = SecretPlace {
            key: &key,
            endpoint: EndpointUid(written.manifest.meta().uid),
        };
        let holds = |secret: &SecretRef| match secret {
            SecretRef::Sealed(sealed) => self.holds(&place, sealed, &made),
            _ => false,
        };
        let has = written.secrets().into_iter().any(|(_, one)| holds(one));
        has.then_some(made)
    }

    /// The text of a sealed secret with its data key under the writing key;
    /// `None` if it is there already.
    ///
    /// # Errors
    /// Why it cannot be moved.
    pub fn move_one(
        &mut self,
        place: &SecretPlace<'_>,
        sealed: &str,
    ) -> Result<Option<String>, String> {
        let sealed = Sealed::parse(sealed).map_err(|e| e.to_string())?;
        if sealed.key_id() == self.keyring.writing() {
            return Ok(None);
        }
        let moved = rewrap(&self.keyring, &at(place), &sealed, &mut *self.entropy);
        let moved = moved.map_err(|e| e.to_string())?;
        moved
            .map(|sealed| Some(sealed.to_string()))
            .map_err(|e| e.to_string())
    }
}

fn at<'a>(place: &SecretPlace<'a>) -> Place<'a> {
    Place {
        tenant: &place.key.tenant,
        endpoint: place.endpoint.0,
    }
}

impl Sealing for Sealer {
    fn holds(&self, place: &SecretPlace<'_>, sealed: &str, clear: &Secret) -> bool {
        let sealed = Sealed::parse(sealed).ok();
        let opened = sealed.and_then(|sealed| open(&self.keyring, &at(place), &sealed).ok());
        opened.is_some_and(|opened| opened.same_as(clear))
    }

    fn seal(&mut self, place: &SecretPlace<'_>, clear: &Secret) -> Result<String, String> {
        let sealed = seal(&self.keyring, &at(place), clear, &mut *self.entropy);
        sealed
            .map(|sealed| sealed.to_string())
            .map_err(|e| e.to_string())
    }

    fn make(&mut self, place: &SecretPlace<'_>) -> Result<Secret, String> {
        // A plan is made again when another writer was faster; the secret that
        // is shown in the end must be the one that was written.
        if let Some(made) = self.made.get(place.key) {
            return Ok(made.clone());
        }
        let made = make_signing_secret(&mut *self.entropy).map_err(|e| e.to_string())?;
        self.made.insert(place.key.clone(), made.clone());
        Ok(made)
    }
}

/// A new secret for Standard Webhooks: `whsec_` and random bytes in base64.
///
/// # Errors
/// When there is no randomness.
pub fn make_signing_secret(entropy: &mut dyn Entropy) -> Result<Secret, EntropyError> {
    let mut bytes = Zeroizing::new([0; MADE_BYTES]);
    entropy.fill(&mut *bytes)?;
    // Room for all of it at once: a text that grows leaves copies behind.
    let mut text = String::with_capacity(64);
    text.push_str("whsec_");
    STANDARD.encode_string(*bytes, &mut text);
    Ok(Secret::from(text))
}

#[cfg(test)]
mod tests {
    use hooklane_model::resource::{Kind, parse_yaml};

    use super::*;
    use crate::SystemEntropy;

    const K1: &str = "k1: AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";
    const K2: &str = "k2: ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=\n";

    fn sealer(text: &str) -> Sealer {
        Sealer::new(Keyring::parse(text).unwrap(), Box::new(SystemEntropy))
    }

    fn key(name: &str) -> ResourceKey {
        ResourceKey {
            kind: Kind::Endpoint,
            tenant: "acme".to_owned(),
            name: name.to_owned(),
        }
    }

    #[test]
    fn values_are_known_again_at_their_place() {
        let mut sealer = sealer(&format!("{K1}writing: k1"));
        let key = key("erp");
        let place = |uid| SecretPlace {
            key: &key,
            endpoint: EndpointUid(uid),
        };
        let secret = |text: &str| Secret::from(text.to_owned());
        let sealed = sealer.seal(&place(1), &secret("one")).unwrap();
        assert!(sealer.holds(&place(1), &sealed, &secret("one")));
        assert!(!sealer.holds(&place(1), &sealed, &secret("two")));
        assert!(!sealer.holds(&place(2), &sealed, &secret("one")));
        assert!(!sealer.holds(&place(1), "one", &secret("one")));
    }

    #[test]
    fn a_made_secret_is_one_per_endpoint_and_is_had_once() {
        let written = |sealed: &str| {
            let yaml = format!(
                "apiVersion: hooklane/v1\nkind: Endpoint\nmetadata: {{tenant: acme, name: erp, uid: \
                 ep_00000000000000000000000000000001}}\nspec: {{url: 'https://a.example', signing: \
                 {{scheme: github, secrets: [{{sealed: {sealed}}}]}}}}"
            );
            parse_yaml(&yaml).unwrap().remove(0)
        };
        let mut sealer = sealer(&format!("{K1}writing: k1"));
        let (erp, crm) = (key("erp"), key("crm"));
        let mut make = |key| {
            let place = SecretPlace {
                key,
                endpoint: EndpointUid(1),
            };
            sealer.make(&place).unwrap()
        };
        let (first, again, other) = (make(&erp), make(&erp), make(&crm));
        assert_eq!(first, again);
        assert_ne!(first, other);
        let text = first.expose_text().unwrap();
        assert_eq!(STANDARD.decode(&text["whsec_".len()..]).unwrap().len(), 32);
        let place = SecretPlace {
            key: &erp,
            endpoint: EndpointUid(1),
        };
        let sealed = sealer.seal(&place, &first).unwrap();
        assert_eq!(sealer.take_made(&written(&sealed)), Some(first));
        assert_eq!(sealer.take_made(&written(&sealed)), None);
        // Another writer was faster: what was made here is nobody's.
        sealer.make(&place).unwrap();
        assert_eq!(sealer.take_made(&written(&sealed)), None);
    }

    #[test]
    fn what_the_writing_key_wraps_is_not_moved() {
        let mut old = sealer(&format!("{K1}writing: k1"));
        let mut both = sealer(&format!("{K1}{K2}writing: k2"));
        let mut new = sealer(&format!("{K2}writing: k2"));
        let key = key("erp");
        let place = SecretPlace {
            key: &key,
            endpoint: EndpointUid(1),
        };
        let value = Secret::from("one".to_owned());
        let sealed = old.seal(&place, &value).unwrap();
        let moved = both.move_one(&place, &sealed).unwrap().unwrap();
        assert!(new.holds(&place, &moved, &value));
        assert_eq!(both.move_one(&place, &moved), Ok(None));
        let error = new.move_one(&place, &sealed).unwrap_err();
        assert_eq!(error, "key k1 is not in the key file");
    }
}
