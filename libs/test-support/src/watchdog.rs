//! Ends children when the test process is gone, however it ended.
//!
//! A destructor does not run for statics, after an abort or a SIGKILL, so each
//! test process has one `sh` beside it that reads a pipe from us. The kernel
//! closes the pipe when we are gone; the shell then kills what is still listed
//! and removes the temporary folders. It ignores the signals that a terminal
//! sends to a whole group, because then it is needed most.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use anyhow::Context;

const SCRIPT: &str = r#"
trap '' INT TERM HUP QUIT
pids=
while read -r what arg; do
  case $what in
    child) pids="$pids $arg" ;;
    gone)
      left=
      for pid in $pids; do [ "$pid" = "$arg" ] || left="$left $pid"; done
      pids=$left ;;
    folder) set -- "$@" "$arg" ;;
  esac
done
[ -z "$pids" ] || kill -9 $pids
tries=0
until [ $# = 0 ] || rm -rf -- "$@" || [ $tries = 20 ]; do
  tries=$((tries + 1))
  sleep 0.1
done
"#;

static PIPE: OnceLock<Mutex<Option<ChildStdin>>> = OnceLock::new();

/// Starts `command` in a process group of its own and lists it with the
/// watchdog. The caller says [`reaped`] once it has waited for the child.
pub(crate) fn spawn(command: &mut Command) -> anyhow::Result<Child> {
    let mut child = command
        .process_group(0)
        .spawn()
        .with_context(|| format!("start {}", command.get_program().display()))?;
    if let Err(error) = say(&format!("child {}", child.id())) {
        child.kill().ok();
        child.wait().ok();
        return Err(error);
    }
    Ok(child)
}

/// Takes a child off the list: its id may belong to another process from now.
pub(crate) fn reaped(pid: u32) {
    say(&format!("gone {pid}")).ok();
}

/// Has `folder` removed when this process is gone.
pub(crate) fn remove_folder_at_exit(folder: &Path) -> anyhow::Result<()> {
    say(&format!("folder {}", folder.display()))
}

fn say(line: &str) -> anyhow::Result<()> {
    let pipe = PIPE.get_or_init(|| Mutex::new(start().ok()));
    let mut pipe = pipe.lock().unwrap_or_else(PoisonError::into_inner);
    let pipe = pipe
        .as_mut()
        .context("no watchdog: `sh` could not be started")?;
    writeln!(pipe, "{line}").context("the watchdog of this test process is gone")
}

fn start() -> anyhow::Result<ChildStdin> {
    let mut shell = Command::new("sh")
        .args(["-c", SCRIPT, "hooklane-test-watchdog"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?;
    shell.stdin.take().context("stdin was asked for as a pipe")
}
