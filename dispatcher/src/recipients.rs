//! What a worker keeps per endpoint: its connections, keys and headers.

use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hooklane_engine::Mono;
use hooklane_model::id::EndpointUid;
use hooklane_model::resource::Endpoint;
use hooklane_model::secret::{Secret, SecretRef};
use hooklane_sender::{Recipient, Sender};

/// Turns what a spec says of a secret into the secret.
pub(crate) trait SecretSource: Send + Sync {
    /// The secret in clear, for requests of `endpoint`.
    fn reveal(&self, endpoint: &Endpoint, secret: &SecretRef) -> Result<Secret, NoSecret>;
}

/// Why a secret cannot be had here; never a part of one.
#[derive(Debug)]
pub(crate) struct NoSecret(pub(crate) &'static str);

impl fmt::Display for NoSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for NoSecret {}

/// Secrets that stand in the spec itself.
pub(crate) struct InSpec;

impl SecretSource for InSpec {
    fn reveal(&self, _endpoint: &Endpoint, secret: &SecretRef) -> Result<Secret, NoSecret> {
        let clear = secret.inline().cloned();
        clear.ok_or(NoSecret("this release reads no secret from elsewhere"))
    }
}

/// The recipients of a worker's endpoints, by endpoint and generation: a
/// changed URL or secret starts with connections of its own.
pub(crate) struct Recipients {
    known: HashMap<EndpointUid, Used>,
    secrets: Arc<dyn SecretSource>,
}

struct Used {
    generation: u64,
    at: Mono,
    recipient: Rc<Recipient>,
}

/// How long the connections of an endpoint without attempts are remembered;
/// idle ones are closed before that, so this bounds the table, not sockets.
const FORGET_AFTER: Duration = Duration::from_secs(600);

impl Recipients {
    /// Knows nobody yet.
    pub(crate) fn new(secrets: Arc<dyn SecretSource>) -> Self {
        Self {
            known: HashMap::new(),
            secrets,
        }
    }

    /// The recipient for an endpoint as configured now, or the reason why
    /// there is none.
    pub(crate) fn of(
        &mut self,
        sender: &Sender,
        endpoint: &Endpoint,
        now: Mono,
    ) -> Result<Rc<Recipient>, &'static str> {
        let generation = endpoint.meta.generation;
        let known = self.known.get_mut(&endpoint.uid());
        if let Some(used) = known.filter(|used| used.generation == generation) {
            used.at = now;
            return Ok(used.recipient.clone());
        }
        let recipient = Rc::new(self.prepare(sender, endpoint)?);
        let used = Used {
            generation,
            at: now,
            recipient: recipient.clone(),
        };
        self.known.insert(endpoint.uid(), used);
        Ok(recipient)
    }

    fn prepare(&self, sender: &Sender, endpoint: &Endpoint) -> Result<Recipient, &'static str> {
        let mut secrets = Vec::new();
        for (place, secret) in endpoint.spec.secrets() {
            let clear = self.secrets.reveal(endpoint, secret).map_err(|error| {
                tracing::warn!(endpoint = %endpoint.uid(), %place, %error, "a secret is missing");
                "secret_unavailable"
            })?;
            secrets.push(clear);
        }
        Recipient::try_new(sender, &endpoint.spec, &secrets).map_err(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            let cause = cause.unwrap_or_default();
            tracing::warn!(endpoint = %endpoint.uid(), %error, cause, "the endpoint cannot be called");
            error.reason()
        })
    }

    /// Forgets endpoints that nothing was sent to for long.
    pub(crate) fn forget_unused(&mut self, now: Mono) {
        self.known
            .retain(|_, used| now.since(used.at) < FORGET_AFTER);
    }

    /// Lets an endpoint's connections go.
    pub(crate) fn forget(&mut self, endpoint: EndpointUid) {
        self.known.remove(&endpoint);
    }
}
