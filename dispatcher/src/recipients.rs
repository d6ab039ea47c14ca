//! What a worker keeps per endpoint: its connections, keys and headers.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hooklane_engine::Mono;
use hooklane_model::id::{EndpointUid, IdMap};
use hooklane_model::resource::Endpoint;
use hooklane_sender::oauth::TokenEvent;
use hooklane_sender::{Recipient, RecipientError, Sender};

use crate::secrets::{FirstRead, NoSecret, Secrets, Watched};

/// Why nothing can be sent to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// Its spec: the attempt has failed.
    Invalid(&'static str),
    /// Its secrets: nothing was attempted, and it waits until they are there.
    Blocked(&'static str),
}

/// Why there is no recipient now.
#[derive(Debug)]
pub(crate) enum NoRecipient {
    Unusable(Unusable),
    /// One of its files is being read: wait for that and ask again.
    Reading(Arc<FirstRead>),
}

impl From<Unusable> for NoRecipient {
    fn from(why: Unusable) -> Self {
        Self::Unusable(why)
    }
}

/// The recipients of a worker's endpoints, by endpoint and generation: a
/// changed URL or secret starts with connections of its own.
pub(crate) struct Recipients {
    known: IdMap<EndpointUid, Used>,
    /// Files at hand of endpoints that wait for others, and since when: held by
    /// nobody, each would be read anew while the next one is waited for.
    waiting: IdMap<EndpointUid, (Mono, Vec<Arc<Watched>>)>,
    secrets: Arc<Secrets>,
}

struct Used {
    generation: u64,
    at: Mono,
    recipient: Rc<Recipient>,
    /// Files that its secrets were read from.
    files: Vec<Arc<Watched>>,
}

impl Used {
    fn is_current(&self, generation: u64) -> bool {
        self.generation == generation && !self.files.iter().any(|file| file.has_changed())
    }
}

/// A secret cannot be had here.
const SECRET_UNAVAILABLE: &str = "secret_unavailable";

/// How long the connections of an endpoint without attempts are remembered;
/// idle ones are closed before that, so this bounds the table, not sockets.
const FORGET_AFTER: Duration = Duration::from_secs(600);

impl Recipients {
    /// Knows nobody yet.
    pub(crate) fn new(secrets: Arc<Secrets>) -> Self {
        Self {
            known: IdMap::default(),
            waiting: IdMap::default(),
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
    ) -> Result<Rc<Recipient>, NoRecipient> {
        let generation = endpoint.meta.generation;
        let known = self.known.get_mut(&endpoint.uid());
        if let Some(used) = known.filter(|used| used.is_current(generation)) {
            used.at = now;
            return Ok(used.recipient.clone());
        }
        let waited = self.waiting.remove(&endpoint.uid());
        let (recipient, files) = self.prepare(sender, endpoint, now)?;
        drop(waited);
        self.observe_tokens(&recipient, endpoint.uid());
        let recipient = Rc::new(recipient);
        let used = Used {
            generation,
            at: now,
            recipient: recipient.clone(),
            files,
        };
        self.known.insert(endpoint.uid(), used);
        Ok(recipient)
    }

    fn prepare(
        &mut self,
        sender: &Sender,
        endpoint: &Endpoint,
        now: Mono,
    ) -> Result<(Recipient, Vec<Arc<Watched>>), NoRecipient> {
        let (mut secrets, mut files, mut reading) = (Vec::new(), Vec::new(), None);
        for (place, secret) in endpoint.spec.secrets() {
            match self.secrets.reveal(endpoint, &place, secret) {
                Ok(revealed) => {
                    secrets.push(revealed.secret);
                    files.extend(revealed.file);
                }
                // All of them are asked for, so that it waits once.
                Err(NoSecret::Reading(read)) => reading = Some(read),
                Err(_said) => return Err(Unusable::Blocked(SECRET_UNAVAILABLE).into()),
            }
        }
        if let Some(read) = reading {
            self.waiting.insert(endpoint.uid(), (now, files));
            return Err(NoRecipient::Reading(read));
        }
        let recipient = Recipient::try_new(sender, &endpoint.spec, &secrets);
        recipient.map(|made| (made, files)).map_err(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            let cause = cause.unwrap_or_default();
            tracing::warn!(endpoint = %endpoint.uid(), %error, cause, "the endpoint cannot be called");
            match error {
                RecipientError::Signing(_)
                | RecipientError::Auth(_)
                | RecipientError::Secrets { .. } => {
                    Unusable::Blocked(error.reason())
                }
                RecipientError::Tls(ref error) if error.is_of_secret() => {
                    Unusable::Blocked("invalid_secret")
                }
                RecipientError::Url(_)
                | RecipientError::TokenUrl(_)
                | RecipientError::Tls(_)
                | RecipientError::Header(_) => {
                    Unusable::Invalid(error.reason())
                }
            }
            .into()
        })
    }

    /// Counts token requests, and says to operators who look closely what came
    /// of each.
    fn observe_tokens(&self, recipient: &Recipient, endpoint: EndpointUid) {
        let Some(tokens) = recipient.tokens() else {
            return;
        };
        let metrics = self.secrets.metrics().clone();
        tokens.observe(move |event| {
            metrics.tokens.take(event);
            if let TokenEvent::Asked {
                failure: Some(failure),
                ..
            } = event
            {
                tracing::debug!(endpoint_id = %endpoint, "no access token: {failure}");
            }
        });
    }

    /// A file was waited for long enough: as if it were not there.
    pub(crate) fn gave_up(&self, endpoint: &Endpoint, read: Arc<FirstRead>) -> Unusable {
        self.secrets.gave_up(endpoint, read);
        Unusable::Blocked(SECRET_UNAVAILABLE)
    }

    /// Forgets endpoints that nothing was sent to for long.
    pub(crate) fn forget_unused(&mut self, now: Mono) {
        self.known
            .retain(|_, used| now.since(used.at) < FORGET_AFTER);
        self.waiting
            .retain(|_, (at, _)| now.since(*at) < FORGET_AFTER);
    }

    /// Lets an endpoint's connections go.
    pub(crate) fn forget(&mut self, endpoint: EndpointUid) {
        self.known.remove(&endpoint);
        self.waiting.remove(&endpoint);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use hooklane_model::resource::{Manifest, parse_yaml};
    use hooklane_sender::{DnsResolver, DnsTimeouts, SenderConfig, TlsDefaults};
    use hooklane_test_support::Authority;

    use super::*;
    use crate::secrets::tests::secrets;

    fn endpoint(signing: &str) -> Endpoint {
        endpoint_with(signing, "")
    }

    fn endpoint_with(signing: &str, more: &str) -> Endpoint {
        let yaml = format!(
            "apiVersion: hooklane/v1\nkind: Endpoint\nmetadata: {{tenant: acme, name: erp, uid: \
             ep_00000000000000000000000000000007}}\nspec: {{url: 'https://erp.example', signing: \
             {{scheme: {signing}}}{more}}}"
        );
        match parse_yaml(&yaml).unwrap().remove(0).manifest {
            Manifest::Endpoint(endpoint) => endpoint,
            other => panic!("{other:?}"),
        }
    }

    fn sender() -> Sender {
        // Nothing is asked.
        let nobody = ["127.0.0.1:1".parse().unwrap()];
        let resolver = DnsResolver::try_new(&nobody, DnsTimeouts::default()).unwrap();
        let tls = TlsDefaults::load(&[]).unwrap();
        Sender::new(SenderConfig::default(), tls, Arc::new(resolver))
    }

    fn write(dir: &Path, text: &str) {
        std::fs::create_dir_all(dir.join("acme")).unwrap();
        std::fs::write(dir.join("acme/hook"), text).unwrap();
    }

    /// What it comes to once the files that it asked for are read.
    fn of(
        known: &mut Recipients,
        sender: &Sender,
        endpoint: &Endpoint,
    ) -> Result<Rc<Recipient>, Unusable> {
        loop {
            match known.of(sender, endpoint, Mono(0)) {
                Ok(recipient) => return Ok(recipient),
                Err(NoRecipient::Reading(_)) => known.secrets.read_asked(),
                Err(NoRecipient::Unusable(why)) => return Err(why),
            }
        }
    }

    #[test]
    fn a_secret_that_is_missing_or_wrong_blocks_and_spends_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut known =
            Recipients::new(Arc::new(secrets(&[("secrets.directory", dir.path())], &[])));
        let signed = endpoint("standard, secrets: [{valueFrom: {file: hook}}]");
        let mut found = || of(&mut known, &sender(), &signed);
        assert_eq!(
            found().unwrap_err(),
            Unusable::Blocked("secret_unavailable"),
            "not there"
        );
        write(dir.path(), "not a whsec");
        assert_eq!(found().unwrap_err(), Unusable::Blocked("invalid_secret"));
        // Once it is there it is used, with no change of the endpoint.
        write(dir.path(), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        assert!(found().is_ok());
    }

    /// Goal: a volume that does not answer keeps no worker. Method: nobody
    /// reads; the worker's own thread asks, and goes on at once.
    #[test]
    fn files_are_read_by_another_thread_and_waited_for_once() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "shared-secret-one");
        std::fs::write(dir.path().join("acme/other"), "shared-secret-two").unwrap();
        let secrets = Arc::new(secrets(&[("secrets.directory", dir.path())], &[]));
        let mut known = Recipients::new(secrets.clone());
        let signed =
            endpoint("github, secrets: [{valueFrom: {file: hook}}, {valueFrom: {file: other}}]");
        let sender = sender();
        for _ in 0..2 {
            let found = known.of(&sender, &signed, Mono(0));
            assert!(matches!(found, Err(NoRecipient::Reading(_))), "{found:?}");
        }
        secrets.read_asked();
        assert!(known.of(&sender, &signed, Mono(0)).is_ok());
    }

    /// Goal: a file that is mounted later is all that is missing. Method: of two
    /// files the one that is asked for first is not there, and then is: the
    /// other one, found before, must still be at hand when it is read.
    #[test]
    fn what_was_read_stays_at_hand_until_the_rest_is_read() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "shared-secret-one");
        std::fs::rename(dir.path().join("acme/hook"), dir.path().join("acme/other")).unwrap();
        let secrets = Arc::new(secrets(&[("secrets.directory", dir.path())], &[]));
        let mut known = Recipients::new(secrets.clone());
        let signed =
            endpoint("github, secrets: [{valueFrom: {file: hook}}, {valueFrom: {file: other}}]");
        let sender = sender();
        assert!(of(&mut known, &sender, &signed).is_err());
        write(dir.path(), "shared-secret-two");
        for _ in 0..2 {
            let found = known.of(&sender, &signed, Mono(0));
            assert!(!matches!(found, Err(NoRecipient::Unusable(_))), "{found:?}");
            secrets.read_asked();
        }
        assert!(known.of(&sender, &signed, Mono(0)).is_ok());
    }

    /// A key of which nobody can identify himself is ours to mend, and the file
    /// may be another one in a moment; what the spec itself says is not.
    #[test]
    fn a_client_key_that_is_no_use_blocks_until_its_file_is_right() {
        let dir = tempfile::tempdir().unwrap();
        let secrets = Arc::new(secrets(&[("secrets.directory", dir.path())], &[]));
        let mut known = Recipients::new(secrets.clone());
        let authority = Authority::new("ours").unwrap();
        let [right, other] = ["a", "b"].map(|name| authority.vouch_for(name).unwrap());
        let with = |certificate: &str| {
            let certificate = serde_json::json!({
                "certificate": (!certificate.is_empty()).then_some(certificate),
                "key": {"valueFrom": {"file": "hook"}},
            });
            endpoint_with(
                "none",
                &format!(", tls: {{clientCertificate: {certificate}}}"),
            )
        };
        let apart = with(&right.pem());
        let sender = sender();
        let mut of = |endpoint: &Endpoint| of(&mut known, &sender, endpoint);
        let missing = Unusable::Blocked("secret_unavailable");
        assert_eq!(of(&apart).unwrap_err(), missing);
        for text in ["no key", &right.pem(), &other.key_pem()] {
            write(dir.path(), text);
            let blocked = Unusable::Blocked("invalid_secret");
            assert_eq!(of(&apart).unwrap_err(), blocked, "{text}");
        }
        write(dir.path(), &right.key_pem());
        let mut before = of(&apart).unwrap();
        let mut together = with("");
        together.meta.generation += 1;
        assert_eq!(
            of(&together).unwrap_err(),
            Unusable::Blocked("invalid_secret"),
            "no certificate anywhere"
        );
        for one in [&right, &other] {
            write(dir.path(), &(one.key_pem() + &one.pem()));
            secrets.look();
            let both = of(&together).unwrap();
            assert!(!Rc::ptr_eq(&before, &both), "renewed by its file alone");
            assert!(Rc::ptr_eq(&both, &of(&together).unwrap()));
            before = both;
        }
        let no_certificate = "-----BEGIN CERTIFICATE-----\nAAEC\n-----END CERTIFICATE-----\n";
        let no_authority = serde_json::json!({"ca": no_certificate});
        let mut other = endpoint_with("none", &format!(", tls: {no_authority}"));
        other.meta.generation += 2;
        assert_eq!(of(&other).unwrap_err(), Unusable::Invalid("invalid_tls"));
    }

    #[test]
    fn a_changed_file_makes_another_recipient_and_nothing_else_does() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "shared-secret-one");
        let secrets = Arc::new(secrets(&[("secrets.directory", dir.path())], &[]));
        let mut known = Recipients::new(secrets.clone());
        let signed = endpoint("github, secrets: [{valueFrom: {file: hook}}]");
        let plain = endpoint("none");
        let sender = sender();
        let mut of = |endpoint: &Endpoint| of(&mut known, &sender, endpoint).unwrap();
        let first = of(&signed);
        secrets.look();
        assert!(Rc::ptr_eq(&first, &of(&signed)));
        write(dir.path(), "shared-secret-two");
        secrets.look();
        let second = of(&signed);
        assert!(!Rc::ptr_eq(&first, &second));
        secrets.look();
        assert!(Rc::ptr_eq(&second, &of(&signed)));
        let mut edited = plain.clone();
        edited.meta.generation += 1;
        assert!(!Rc::ptr_eq(&of(&plain), &of(&edited)));
    }
}
