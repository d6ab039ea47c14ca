//! The token that says "stop", for threads and for tasks.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// Asked for once, never taken back. Clones share it.
#[derive(Clone, Debug)]
pub struct Shutdown {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Why, once it is requested.
    reason: Mutex<Option<&'static str>>,
    changed: Condvar,
    requested: watch::Sender<bool>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

impl Shutdown {
    /// A token that nobody has used.
    #[must_use]
    pub fn new() -> Self {
        let requested = watch::Sender::new(false);
        let inner = Inner {
            reason: Mutex::new(None),
            changed: Condvar::new(),
            requested,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Asks everybody to stop. Only the first reason is kept.
    pub fn request(&self, reason: &'static str) {
        self.set(reason, || tracing::info!(reason, "shutdown requested"));
    }

    /// The same without a log line, where it stops no service.
    pub(crate) fn request_quietly(&self, reason: &'static str) {
        self.set(reason, || ());
    }

    fn set(&self, reason: &'static str, log: impl FnOnce()) {
        let mut kept = self
            .inner
            .reason
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if kept.is_none() {
            *kept = Some(reason);
            // Under the lock: a thread that only now begins to wait would
            // else log its draining before the cause of it.
            log();
            drop(kept);
            self.inner.changed.notify_all();
            self.inner.requested.send_replace(true);
        }
    }

    /// Whether it was asked for. Cheap enough for every turn of a poll loop.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.inner.requested.borrow()
    }

    /// Why, once it was asked for.
    #[must_use]
    pub fn reason(&self) -> Option<&'static str> {
        *self
            .inner
            .reason
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks the thread until it is asked for or `timeout` has passed;
    /// returns whether it was.
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        let reason = self
            .inner
            .reason
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .inner
            .changed
            .wait_timeout_while(reason, timeout, |reason| reason.is_none());
        let (reason, _) = waited.unwrap_or_else(PoisonError::into_inner);
        reason.is_some()
    }

    /// Blocks the thread until it is asked for.
    pub fn wait(&self) {
        let reason = self
            .inner
            .reason
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // The guard is all that comes back, poisoned or not.
        drop(
            self.inner
                .changed
                .wait_while(reason, |reason| reason.is_none()),
        );
    }

    /// Resolves when it is asked for. Cancel safe.
    pub async fn requested(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        self.inner
            .requested
            .subscribe()
            .wait_for(|requested| *requested)
            .await
            .ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_and_tasks_both_learn_of_it() {
        let shutdown = Shutdown::new();
        assert!(!shutdown.wait_timeout(Duration::from_millis(1)));
        let blocked = std::thread::spawn({
            let shutdown = shutdown.clone();
            move || shutdown.wait()
        });
        let timed = std::thread::spawn({
            let shutdown = shutdown.clone();
            move || shutdown.wait_timeout(Duration::from_secs(60))
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            let waiting = shutdown.requested();
            tokio::pin!(waiting);
            tokio::select! {
                biased;
                () = &mut waiting => panic!("nobody asked"),
                () = std::future::ready(()) => {}
            }
            shutdown.request("first");
            shutdown.request("second");
            waiting.await;
        });
        blocked.join().unwrap();
        assert!(timed.join().unwrap());
        assert!(shutdown.is_requested());
        assert_eq!(shutdown.reason(), Some("first"));
    }
}
