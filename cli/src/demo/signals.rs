//! Ctrl-C and SIGTERM, counted. The first ends the production of events, the
//! second the waiting for what is still on its way; the books are printed in
//! either case.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::signal::unix::{SignalKind, signal};

/// How many signals came.
pub(super) struct Signals(Arc<AtomicUsize>);

impl Signals {
    /// Takes over both for the rest of the process's life.
    ///
    /// # Errors
    /// When the system refuses a thread or a handler.
    pub(super) fn listen() -> io::Result<Self> {
        let count = Arc::new(AtomicUsize::new(0));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (mut interrupt, mut terminate) = {
            let _entered = runtime.enter();
            (
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
            )
        };
        let counted = count.clone();
        std::thread::Builder::new()
            .name("demo-signals".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    loop {
                        tokio::select! {
                            _ = interrupt.recv() => {}
                            _ = terminate.recv() => {}
                        }
                        counted.fetch_add(1, Ordering::Relaxed);
                    }
                });
            })?;
        Ok(Self(count))
    }

    /// How many came so far.
    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}
