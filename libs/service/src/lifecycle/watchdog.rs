//! The process's signals and the end of its patience. One thread: the first
//! SIGTERM or SIGINT asks for shutdown, the second ends the process at once,
//! and so does the deadline, which also holds when the shutdown was asked for
//! by the program itself.

use std::io;
use std::thread;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Lifecycle;
use crate::exit::Exit;
use crate::metrics::LabelValue;

/// Takes over SIGTERM and SIGINT for the rest of the process's life.
///
/// # Errors
/// When the system refuses a thread or a signal handler.
pub(crate) fn spawn(lifecycle: Lifecycle) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // Registered before this returns, so that no signal finds the default.
    let (terminate, interrupt) = {
        let _entered = runtime.enter();
        (
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        )
    };
    thread::Builder::new()
        .name("hooklane-signals".to_owned())
        .spawn(move || runtime.block_on(watch(lifecycle, terminate, interrupt)))?;
    Ok(())
}

async fn watch(lifecycle: Lifecycle, mut terminate: Signal, mut interrupt: Signal) {
    tokio::select! {
        _ = terminate.recv() => lifecycle.shutdown().request("SIGTERM"),
        _ = interrupt.recv() => lifecycle.shutdown().request("SIGINT"),
        () = lifecycle.shutdown().requested() => {}
        () = lifecycle.closed() => return,
    }
    tokio::select! {
        // An orderly end that has just come must win over the deadline.
        biased;
        () = lifecycle.closed() => return,
        _ = terminate.recv() => report(&lifecycle, "second signal, ending at once"),
        _ = interrupt.recv() => report(&lifecycle, "second signal, ending at once"),
        () = tokio::time::sleep(lifecycle.deadline()) => {
            report(&lifecycle, "shutdown deadline passed, ending at once; what is held is redone elsewhere");
        }
    }
    Exit::Failed.now();
}

fn report(lifecycle: &Lifecycle, what: &'static str) {
    let holders = lifecycle.holders();
    let open: Vec<_> = holders
        .iter()
        .map(|(name, age)| format!("{name} ({age:.1?})"))
        .collect();
    let deadline = lifecycle.deadline();
    tracing::error!(
        phase = lifecycle.phase().as_str(),
        open = open.join(", "),
        ?deadline,
        "{what}"
    );
}
