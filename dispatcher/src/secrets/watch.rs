//! Files with secrets, read again now and then, by the thread that reads them
//! the first time.
//!
//! Mounted secrets change by a swap of links, which no watch of the files
//! themselves sees, so a thread looks.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hooklane_model::secret::Secret;

use super::Secrets;
use super::reads::Task;

/// How often files are looked at. They are small; Kubernetes itself brings a
/// changed secret into a running container within about a minute.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A tenant's file, with what stood in it when it was read for a recipient.
#[derive(Debug)]
pub(crate) struct Watched {
    tenant: String,
    name: String,
    secret: Secret,
    changed: AtomicBool,
}

impl Watched {
    pub(super) fn new(tenant: &str, name: &str, secret: Secret) -> Self {
        Self {
            tenant: tenant.to_owned(),
            name: name.to_owned(),
            secret,
            changed: AtomicBool::new(false),
        }
    }

    pub(super) fn tenant(&self) -> &str {
        &self.tenant
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What stood in it when it was read first.
    pub(super) fn secret(&self) -> &Secret {
        &self.secret
    }

    /// Whether something else stood in it at the last look, or nothing.
    pub(crate) fn has_changed(&self) -> bool {
        self.changed.load(Ordering::Relaxed)
    }

    /// Takes note of what stands in it now.
    pub(super) fn compare(&self, now: Option<Secret>) {
        if now.is_some_and(|now| now.same_as(&self.secret)) {
            return;
        }
        if !self.changed.swap(true, Ordering::Relaxed) {
            let (tenant, file) = (&self.tenant, &self.name);
            tracing::info!(%tenant, %file, "a mounted secret changed");
        }
    }
}

/// The thread that reads and looks, until this is dropped.
pub(crate) struct Watch(Arc<Secrets>);

impl Watch {
    /// Starts it.
    pub(crate) fn start(secrets: Arc<Secrets>) -> io::Result<Self> {
        let watch = Self(secrets.clone());
        let work = move || {
            let mut look_at = Instant::now() + LOOK_EVERY;
            loop {
                match secrets.reads.next(look_at) {
                    Task::Read(first) => secrets.read(&first),
                    Task::Time => {
                        secrets.look();
                        look_at = Instant::now() + LOOK_EVERY;
                    }
                    Task::Stop => return,
                }
            }
        };
        // Not joined: a volume that does not answer must not keep a dispatcher
        // from handing its lanes over.
        std::thread::Builder::new()
            .name("secrets".to_owned())
            .spawn(work)?;
        Ok(watch)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.reads.stop();
    }
}
