//! An endpoint as requests are made for it: where they go and what they carry.
//!
//! A [`Recipient`] is made once per endpoint and generation, from its spec and
//! its secrets in clear. What is the same in every request (custom headers,
//! credentials, keys) is prepared then; an attempt adds what is its own.

use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hooklane_model::resource::{
    Auth, EndpointSpec, PayloadFormat, RateLimit, Verification, check_credential,
};
use hooklane_model::secret::Secret;
use hooklane_model::time::UnixMillis;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use url::Url;
use zeroize::Zeroizing;

use crate::destination::Destination;
use crate::egress::UrlError;
use crate::oauth::Tokens;
use crate::payload::{self, Event, percent_encoded};
use crate::sender::{AttemptRequest, Sender};
use crate::signing::{NoValidSecret, Signer, SignerError, ToSign};
use crate::tls::TlsError;
use crate::verify::REQUEST_ORIGIN;

const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");

/// Why no request can be made for an endpoint.
#[derive(Debug, thiserror::Error)]
pub enum RecipientError {
    /// Its URL cannot be called.
    #[error("spec.url")]
    Url(#[source] UrlError),
    /// Its secrets cannot sign.
    #[error("spec.signing")]
    Signing(#[source] SignerError),
    /// What lets its requests in cannot stand in a header.
    #[error("spec.auth: {0}")]
    Auth(&'static str),
    /// Its connections cannot be made as asked.
    #[error("spec.tls")]
    Tls(#[source] TlsError),
    /// Its token URL cannot be called.
    #[error("spec.auth.oauth2.tokenUrl")]
    TokenUrl(#[source] UrlError),
    /// A header that it adds is none.
    #[error("spec.headers: {0} is no header")]
    Header(String),
    /// Its spec names another number of secrets.
    #[error("{given} secrets given for {listed} in the spec")]
    Secrets {
        /// How many came.
        given: usize,
        /// How many the spec names.
        listed: usize,
    },
}

impl RecipientError {
    /// The stable name in metrics and records.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Url(_) | Self::TokenUrl(_) => "invalid_url",
            Self::Tls(error) if !error.is_of_secret() => "invalid_tls",
            Self::Signing(_) | Self::Auth(_) | Self::Tls(_) | Self::Secrets { .. } => {
                "invalid_secret"
            }
            Self::Header(_) => "invalid_header",
        }
    }
}

/// One attempt of a delivery.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// The delivery's id.
    pub id: &'a str,
    /// Number of the attempt, from 1.
    pub attempt: u16,
    /// The event.
    pub event: Event<'a>,
}

/// An endpoint as requests are made for it.
pub struct Recipient {
    destination: Rc<Destination>,
    url: Url,
    /// What every request carries.
    pub(crate) headers: HeaderMap,
    extra: bool,
    format: PayloadFormat,
    signer: Signer,
    pub(crate) timeout: Duration,
    tokens: Option<Rc<Tokens>>,
    pub(crate) verification: Verification,
    pub(crate) rate_limit: Option<RateLimit>,
}

impl Recipient {
    /// Prepares requests for an endpoint. `secrets` are what
    /// [`EndpointSpec::secrets`] lists, in that order.
    ///
    /// # Errors
    /// What of the spec cannot be used.
    pub fn try_new(
        sender: &Sender,
        spec: &EndpointSpec,
        secrets: &[Secret],
    ) -> Result<Self, RecipientError> {
        let listed = spec.secrets().len();
        let (Some((signing, others)), true) = (
            secrets.split_at_checked(spec.signing.secrets.len()),
            secrets.len() == listed,
        ) else {
            let given = secrets.len();
            return Err(RecipientError::Secrets { given, listed });
        };
        let (of_auth, of_tls) = others.split_at(spec.auth.iter().len());
        let tls = sender.tls().of(spec.tls.as_deref(), of_tls.first());
        let tls = tls.map_err(RecipientError::Tls)?;
        let destination = sender.destination_with(&spec.url, &tls);
        let destination = destination.map_err(RecipientError::Url)?;
        let mut headers = destination.headers();
        let custom = spec.headers.as_deref();
        let agent = custom.and_then(|custom| custom.user_agent.as_deref());
        let agent = agent.map(|value| ("user-agent", value));
        let extra = custom.is_some_and(|custom| custom.extra);
        let custom = custom.iter().flat_map(|custom| &custom.headers);
        let custom = custom.map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in custom.chain(agent) {
            let pair = HeaderName::try_from(name).ok().zip(value.parse().ok());
            let (name, value) = pair.ok_or_else(|| RecipientError::Header(name.to_owned()))?;
            headers.insert::<HeaderName>(name, value);
        }
        if let (Verification::Handshake, Some(origin)) = (spec.verification, &sender.config.origin)
        {
            headers.insert(REQUEST_ORIGIN, origin.clone());
        }
        let mut tokens = None;
        if let (Some(auth), Some(secret)) = (spec.auth.as_deref(), of_auth.first()) {
            if let Auth::OAuth2(oauth2) = auth {
                let made = Tokens::try_new(sender, oauth2, secret, spec.timeout)?;
                tokens = Some(Rc::new(made));
            } else {
                let (name, value) = credential(auth, secret)?;
                headers.insert(name, value);
            }
        }
        Ok(Self {
            destination,
            url: spec.url.clone(),
            headers,
            extra,
            format: spec.format,
            signer: Signer::try_new(&spec.signing, signing).map_err(RecipientError::Signing)?,
            timeout: spec.timeout,
            tokens,
            verification: spec.verification,
            rate_limit: spec.rate_limit,
        })
    }

    /// Where its access tokens come from, if its requests need one: then each
    /// is to be given its header.
    #[must_use]
    pub fn tokens(&self) -> Option<&Rc<Tokens>> {
        self.tokens.as_ref()
    }

    /// The limit of an attempt.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Its address and connections.
    #[must_use]
    pub fn destination(&self) -> &Rc<Destination> {
        &self.destination
    }

    /// The request of an attempt made at `now`.
    ///
    /// # Errors
    /// [`NoValidSecret`]: what must be signed is not sent without.
    pub fn request(
        &self,
        delivery: &Delivery<'_>,
        now: UnixMillis,
    ) -> Result<AttemptRequest, NoValidSecret> {
        let plain = "hex digits and an underscore are a header value";
        let mut headers = self.headers.clone();
        let content = payload::content(self.format, &delivery.event, &mut headers);
        headers.insert(WEBHOOK_ID, HeaderValue::from_str(delivery.id).expect(plain));
        headers.insert(WEBHOOK_TIMESTAMP, HeaderValue::from(now.0 / 1_000));
        if self.extra {
            extra_headers(delivery, &mut headers);
        }
        let signed = ToSign {
            id: delivery.id,
            now,
            url: &self.url,
            content_type: content.content_type.as_bytes(),
            body: &content.body,
        };
        let query = self.signer.sign(&signed, &mut headers)?;
        headers.insert(header::CONTENT_TYPE, content.content_type);
        Ok(AttemptRequest {
            headers,
            body: content.body,
            query,
            timeout: self.timeout,
        })
    }
}

/// The header that lets requests in.
fn credential(auth: &Auth, secret: &Secret) -> Result<(HeaderName, HeaderValue), RecipientError> {
    // From a file, which ends with the line; none ends with a space.
    let secret = secret.expose().trim_ascii_end();
    check_credential(secret).map_err(RecipientError::Auth)?;
    let text = match auth {
        Auth::Bearer(_) => [b"Bearer ", secret].concat(),
        // What its own requests show is no secret of the spec: see `tokens`.
        Auth::OAuth2(_) => return Err(RecipientError::Header(auth.header_name().to_owned())),
        Auth::Header { .. } => secret.to_vec(),
        Auth::Basic { username, .. } => {
            let pair = Zeroizing::new([username.as_bytes(), b":", secret].concat());
            format!("Basic {}", STANDARD.encode(&*pair)).into_bytes()
        }
    };
    let name = HeaderName::try_from(auth.header_name());
    let value = HeaderValue::from_bytes(&Zeroizing::new(text));
    let (Ok(name), Ok(mut value)) = (name, value) else {
        return Err(RecipientError::Header(auth.header_name().to_owned()));
    };
    // Not shown by Debug, and kept out of HTTP/2's table.
    value.set_sensitive(true);
    Ok((name, value))
}

impl std::fmt::Debug for Recipient {
    /// Never the headers or the URL: they may hold a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recipient")
            .field("destination", &self.destination)
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

/// Which attempt of which event this is, for people who look at requests.
fn extra_headers(delivery: &Delivery<'_>, headers: &mut HeaderMap) {
    let head = delivery.event.head;
    headers.insert("webhook-attempt", HeaderValue::from(delivery.attempt));
    for (name, value) in [
        ("webhook-event-id", &head.id),
        ("webhook-event-source", &head.source),
        ("webhook-event-type", &head.event_type),
    ] {
        let value = HeaderValue::try_from(percent_encoded(value));
        headers.insert(name, value.expect("percent-encoded text is a header value"));
    }
}
