//! Signatures: what a receiver checks to know that a request is ours and whole.
//!
//! A [`Signer`] is made once per endpoint and generation, from its spec and its
//! secrets in clear, and holds keys with their schedule computed. It signs the
//! bytes that are sent, right before they are, with the attempt's own time;
//! which secrets are valid is judged then as well, so that a retry hours later
//! uses what is valid hours later. It neither logs nor keeps the body.

mod hmac_body;
mod key;
mod standard;
mod stripe;
mod text;
mod twilio;

use hooklane_model::resource::{Signing, SigningScheme, Validity};
use hooklane_model::secret::Secret;
use hooklane_model::time::UnixMillis;
use http::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use self::key::Key;
pub use self::key::key_pair;

/// Why an endpoint's signer cannot be made. Never shows a part of a secret.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SignerError {
    /// A secret is not what the scheme takes.
    #[error("signing.secrets[{index}] {reason}")]
    Secret {
        /// Its place in the list, from 0.
        index: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The endpoint's spec lists another number of secrets.
    #[error("{given} secrets given for {listed} listed")]
    Count {
        /// How many came.
        given: usize,
        /// How many the spec lists.
        listed: usize,
    },
    /// The header's name is none.
    #[error("signing.header is not a header name")]
    Header,
}

/// Every secret of the endpoint has expired: nothing can be signed, and what
/// must be signed is not sent.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("no signing secret of the endpoint is valid now")]
pub struct NoValidSecret;

/// What is signed.
#[derive(Clone, Copy, Debug)]
pub struct ToSign<'a> {
    /// The delivery's id, sent as `webhook-id`.
    pub id: &'a str,
    /// When the attempt is made.
    pub now: UnixMillis,
    /// Where to, as the endpoint says it.
    pub url: &'a Url,
    /// The media type sent.
    pub content_type: &'a [u8],
    /// The bytes sent.
    pub body: &'a [u8],
}

impl ToSign<'_> {
    fn seconds(&self) -> text::Decimal {
        text::Decimal::of(self.now.0 / 1_000)
    }
}

/// A key, and when it signs.
#[derive(Debug)]
struct Held {
    key: Key,
    valid: Validity,
}

/// An endpoint's signer.
#[derive(Debug)]
pub struct Signer {
    scheme: SigningScheme,
    /// `None` only for a scheme that signs nothing.
    header: Option<HeaderName>,
    keys: Vec<Held>,
}

impl Signer {
    /// A signer for `signing`, whose secrets are `secrets`, in that order.
    ///
    /// # Errors
    /// A secret that the scheme does not take.
    pub fn try_new(signing: &Signing, secrets: &[Secret]) -> Result<Self, SignerError> {
        if secrets.len() != signing.secrets.len() {
            return Err(SignerError::Count {
                given: secrets.len(),
                listed: signing.secrets.len(),
            });
        }
        let chosen = signing.header.as_deref();
        let header = chosen
            .or(signing.scheme.default_header())
            .map(|name| HeaderName::from_bytes(name.as_bytes()).map_err(|_| SignerError::Header))
            .transpose()?;
        let mut keys = Vec::with_capacity(secrets.len());
        for (index, (about, secret)) in signing.secrets.iter().zip(secrets).enumerate() {
            let key = Key::try_new(signing.scheme, secret)
                .map_err(|reason| SignerError::Secret { index, reason })?;
            let valid = about.validity();
            keys.push(Held { key, valid });
        }
        Ok(Self {
            scheme: signing.scheme,
            header,
            keys,
        })
    }

    /// Signs and inserts the header. What it returns must be added to the
    /// URL's query: one scheme says there what the body's hash is.
    ///
    /// # Errors
    /// [`NoValidSecret`].
    pub fn sign(
        &self,
        what: &ToSign<'_>,
        headers: &mut HeaderMap,
    ) -> Result<Option<String>, NoValidSecret> {
        let Some(header) = &self.header else {
            return Ok(None);
        };
        let valid = || {
            let held = self.keys.iter();
            let held = held.filter(|held| held.valid.holds(what.now));
            held.map(|held| &held.key)
        };
        let first = valid().next().ok_or(NoValidSecret)?;
        let mut query = None;
        let signature = match self.scheme {
            SigningScheme::None => return Ok(None),
            SigningScheme::Standard => standard::signatures(what, valid()),
            SigningScheme::Stripe => stripe::signatures(what, valid()),
            SigningScheme::Github => hmac_body::hex(what, first),
            SigningScheme::Shopify => hmac_body::base64(what, first),
            SigningScheme::Twilio => {
                let (signature, hash) = twilio::signature(what, first);
                query = hash;
                signature
            }
        };
        let mut value = HeaderValue::try_from(signature)
            .expect("base64, hex, digits, commas and spaces are a header value");
        // Different each time: not worth a place in HTTP/2's table.
        value.set_sensitive(true);
        headers.insert(header, value);
        Ok(query)
    }
}

#[cfg(test)]
mod tests;
