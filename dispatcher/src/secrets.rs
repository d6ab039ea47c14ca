//! The secrets of endpoints in clear, for whoever makes their requests.
//!
//! One for the process. Secrets are opened when an endpoint's first request
//! is made and not before, so that a dispatcher holds those it uses. What
//! cannot be had is our failure: the endpoint waits, and the log says which
//! key or file is missing. Files are read by a thread of their own, the first
//! time and then now and then, so that a slow volume keeps no worker.

mod reads;
mod watch;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use hooklane_model::resource::Endpoint;
use hooklane_model::secret::{Secret, SecretRef};
use hooklane_secrets::{FormatError, Keyring, OpenError, Place, Sealed, open};
use hooklane_service::logs::RateLimit;
use hooklane_service::secrets::{
    KeyFile, KeyFileError, MountError, MountedSecrets, SecretsSection,
};
use thiserror::Error;

pub(crate) use self::reads::FirstRead;
use self::reads::FirstReads;
pub(crate) use self::watch::{Watch, Watched};
use crate::metrics::Metrics;

/// How often the same reason is logged.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// Why a secret cannot be had here; never a part of one.
#[derive(Debug, Error)]
pub(crate) enum NoSecret {
    /// It is encrypted, and there are no keys.
    #[error("no key file is configured (secrets.kek_file)")]
    NoKeys,
    /// Its text is not of the form.
    #[error("it {0}")]
    Format(#[from] FormatError),
    /// It does not open.
    #[error("{0}")]
    Open(#[from] OpenError),
    /// It is not mounted.
    #[error("{0}")]
    Mount(#[from] MountError),
    /// It is being read: wait for that and ask again.
    #[error("file {}/{} in secrets.directory is not read yet", .0.tenant, .0.name)]
    Reading(Arc<FirstRead>),
    /// It stands in the configuration in clear, which readers refuse.
    #[error("it is not encrypted")]
    Clear,
}

/// A secret in clear.
#[derive(Debug)]
pub(crate) struct Revealed {
    pub(crate) secret: Secret,
    /// Says when it is another one, where that can happen without a change of
    /// the endpoint.
    pub(crate) file: Option<Arc<Watched>>,
}

/// The secrets of all endpoints.
pub(crate) struct Secrets {
    file: Mutex<Option<KeyFile>>,
    keyring: RwLock<Option<Arc<Keyring>>>,
    mounted: MountedSecrets,
    /// Files in use, by tenant and name, and those that are used no longer
    /// until the next look.
    watched: Mutex<HashMap<(String, String), Weak<Watched>>>,
    reads: FirstReads,
    metrics: Arc<Metrics>,
    said: Mutex<RateLimit<String>>,
}

impl Secrets {
    /// Reads the key file, if one is configured.
    pub(crate) fn open(
        section: &SecretsSection,
        environment: impl Iterator<Item = (String, String)>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, KeyFileError> {
        let (file, keyring) = match &section.kek_file {
            Some(path) => {
                let (file, keyring) = KeyFile::open(path)?;
                if let Some(exposed) = file.exposed_to() {
                    tracing::warn!("{exposed}");
                }
                tracing::info!(?keyring, "keys of secrets loaded");
                (Some(file), Some(Arc::new(keyring)))
            }
            None => (None, None),
        };
        Ok(Self {
            file: Mutex::new(file),
            keyring: RwLock::new(keyring),
            mounted: MountedSecrets::new(section, environment),
            watched: Mutex::default(),
            reads: FirstReads::default(),
            metrics,
            said: Mutex::new(RateLimit::new(LOG_EVERY)),
        })
    }

    /// Where it counts, as do others who use secrets.
    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// The secret in clear, for requests of `endpoint`; `place` is where in
    /// its spec it stands.
    pub(crate) fn reveal(
        &self,
        endpoint: &Endpoint,
        place: &str,
        secret: &SecretRef,
    ) -> Result<Revealed, NoSecret> {
        let result = self.find(endpoint, secret);
        if let Err(error) = &result
            && !matches!(error, NoSecret::Reading(_))
        {
            self.unavailable(endpoint, place, error);
        }
        result
    }

    /// A file was waited for, and is not read.
    pub(crate) fn gave_up(&self, endpoint: &Endpoint, read: Arc<FirstRead>) {
        self.unavailable(endpoint, "", &NoSecret::Reading(read));
    }

    fn unavailable(&self, endpoint: &Endpoint, place: &str, error: &NoSecret) {
        self.metrics.secrets_unavailable.inc();
        // One line a minute for each missing key, however many need it.
        let Some(left_out) = self.may_say(error.to_string()) else {
            return;
        };
        let cause = std::error::Error::source(error).and_then(std::error::Error::source);
        let cause = cause.map(ToString::to_string).unwrap_or_default();
        tracing::error!(
            endpoint = %endpoint.uid(),
            place,
            %error,
            cause,
            left_out,
            "a secret cannot be had; deliveries that need it wait"
        );
    }

    fn find(&self, endpoint: &Endpoint, secret: &SecretRef) -> Result<Revealed, NoSecret> {
        let tenant = &endpoint.meta.tenant;
        let fixed = |secret| Revealed { secret, file: None };
        match secret {
            SecretRef::Inline(_) => Err(NoSecret::Clear),
            SecretRef::Env(name) => Ok(fixed(self.mounted.variable(tenant, name)?)),
            SecretRef::File(name) => self.file(tenant, name),
            SecretRef::Sealed(text) => {
                let sealed = Sealed::parse(text)?;
                let keyring = self.keyring.read().unwrap_or_else(PoisonError::into_inner);
                let keyring = keyring.clone().ok_or(NoSecret::NoKeys)?;
                let place = Place {
                    tenant,
                    endpoint: endpoint.meta.uid,
                };
                Ok(fixed(open(&keyring, &place, &sealed)?))
            }
        }
    }

    /// What stood in a tenant's file when it was last looked at.
    fn file(&self, tenant: &str, name: &str) -> Result<Revealed, NoSecret> {
        let key = (tenant.to_owned(), name.to_owned());
        let in_use = lock(&self.watched).get(&key).and_then(Weak::upgrade);
        if let Some(file) = in_use.filter(|file| !file.has_changed()) {
            return Ok(Revealed {
                secret: file.secret().clone(),
                file: Some(file),
            });
        }
        let secret = self.reads.ask(tenant, name).map_err(NoSecret::Reading)??;
        let file = Arc::new(Watched::new(tenant, name, secret.clone()));
        lock(&self.watched).insert(key, Arc::downgrade(&file));
        let file = Some(file);
        Ok(Revealed { secret, file })
    }

    fn read(&self, first: &FirstRead) {
        first.finish(self.mounted.file(&first.tenant, &first.name));
    }

    /// Makes the reads that were asked for, here.
    #[cfg(test)]
    pub(crate) fn read_asked(&self) {
        while let Some(first) = self.reads.asked() {
            self.read(&first);
        }
    }

    /// Reads the key file and all files in use again.
    pub(crate) fn look(&self) {
        self.look_at_keys();
        // What nobody came for is neither kept nor used when it is old.
        self.reads.forget_done();
        let watched: Vec<Arc<Watched>> = {
            let mut all = lock(&self.watched);
            all.retain(|_, one| one.strong_count() > 0);
            all.values().filter_map(Weak::upgrade).collect()
        };
        for one in watched {
            one.compare(self.mounted.file(one.tenant(), one.name()).ok());
        }
    }

    fn look_at_keys(&self) {
        let mut file = lock(&self.file);
        let Some(file) = file.as_mut() else { return };
        match file.reload() {
            Ok(None) => {}
            Ok(Some(keyring)) => {
                tracing::info!(
                    ?keyring,
                    "keys of secrets loaded again: the key file changed"
                );
                self.metrics.secret_key_reloads.inc();
                let mut current = self.keyring.write().unwrap_or_else(PoisonError::into_inner);
                *current = Some(Arc::new(keyring));
            }
            Err(error) => {
                self.metrics.secret_key_errors.inc();
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                let cause = cause.unwrap_or_default();
                if let Some(left_out) = self.may_say(format!("{error}: {cause}")) {
                    tracing::error!(%error, cause, left_out, "the keys loaded before stay in use");
                }
            }
        }
    }

    fn may_say(&self, reason: String) -> Option<u64> {
        lock(&self.said).admit(reason, Instant::now())
    }
}

/// What a panic left behind is as good as before: each change is one step.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(crate) mod tests;
