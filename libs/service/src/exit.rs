//! How a process of ours ends, and what its exit code says to whoever
//! restarts it.

use std::process::ExitCode;

/// The exit codes of every binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything held was finished or handed on.
    Drained,
    /// Something failed at run time; a restart may help.
    Failed,
    /// The command line is wrong (`EX_USAGE`).
    Usage,
    /// A panic or a broken invariant: a bug (`EX_SOFTWARE`).
    Invariant,
    /// The configuration is wrong; a restart will not help (`EX_CONFIG`).
    Config,
}

impl Exit {
    /// The number the operating system sees.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Drained => 0,
            Self::Failed => 1,
            Self::Usage => 64,
            Self::Invariant => 70,
            Self::Config => 78,
        }
    }

    /// Ends the process at once, without unwinding or draining.
    #[allow(clippy::exit, reason = "the one place that ends the process early")]
    pub(crate) fn now(self) -> ! {
        crate::logs::flush();
        std::process::exit(i32::from(self.code()))
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
