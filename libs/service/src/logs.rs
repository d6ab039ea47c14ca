//! Logs: `tracing` to standard error, JSON where no terminal is.
//!
//! ERROR = a person must act; WARN = unexpected but contained; INFO = changes
//! of state; a receiver that answers 500 is DEBUG and a metric. Never log a
//! body, a secret, a client configuration or a URL's query. What a single
//! endpoint can cause any number of times goes through a [`RateLimit`].
//!
//! A service's lines are written by a thread of their own, so that a log that
//! nobody reads holds up nobody; a command writes its own.

mod lines;
mod rate;

use std::io::{self, IsTerminal};
use std::sync::OnceLock;
use std::time::Duration;

use thiserror::Error;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

pub use rate::RateLimit;

use crate::config::{LogFormat, LogSection};
use crate::exit::Exit;
use crate::metrics::{MetricsError, Registry};
use lines::{LINES_MAX, Lines};

/// The lines of this process, if it is a service.
static LINES: OnceLock<Lines> = OnceLock::new();

/// How long the end of the process waits for whoever reads its log.
const FLUSH: Duration = Duration::from_secs(1);

/// Why logs could not be set up.
#[derive(Debug, Error)]
pub enum LogsError {
    /// A bare word that is no level would silence everything else.
    #[error("`{0}` is not a level; write error, warn, info, debug, trace or off, or target=level")]
    Level(String),
    /// The filter as a whole does not parse.
    #[error("`{directives}` is not a log filter; write as in info,hooklane_dispatcher=debug")]
    Filter {
        /// What was given.
        directives: String,
        /// What the parser said.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// The thread that writes lines was not started.
    #[error("the thread that writes the log cannot start")]
    Thread(#[source] io::Error),
    /// The process has a log subscriber already.
    #[error("logs were initialised twice in this process")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

/// Whether `level` is a usable filter.
///
/// # Errors
/// Names the part that is not.
pub fn check_level(level: &str) -> Result<(), LogsError> {
    filter(level).map(drop)
}

fn filter(level: &str) -> Result<EnvFilter, LogsError> {
    let directives: Vec<_> = level.split(',').map(str::trim).collect();
    for directive in &directives {
        // The parser takes a bare unknown word for a target's name, so that a
        // mistyped level would turn off all other logs.
        // An empty one it takes for `error`.
        let bare = !directive.contains(['=', '[', ':']);
        if directive.is_empty() || bare && directive.parse::<LevelFilter>().is_err() {
            return Err(LogsError::Level((*directive).to_owned()));
        }
    }
    EnvFilter::builder()
        .parse(directives.join(","))
        .map_err(|source| LogsError::Filter {
            directives: level.to_owned(),
            source,
        })
}

/// Installs the log subscriber of a process that is not a service. Once, by
/// whoever owns the process.
///
/// # Errors
/// A bad filter, or a subscriber that is there already.
pub fn init(section: &LogSection) -> Result<(), LogsError> {
    init_with(section, io::stderr)
}

/// The same of a service: nobody waits for whoever reads the log.
pub(crate) fn init_service(section: &LogSection) -> Result<(), LogsError> {
    let lines = Lines::start(io::stderr(), LINES_MAX).map_err(LogsError::Thread)?;
    init_with(section, lines.clone())?;
    // The subscriber was installed, so this is the first time.
    LINES.set(lines).ok();
    Ok(())
}

/// Counts the lines that are dropped from now on.
pub(crate) fn register(registry: &Registry) -> Result<(), MetricsError> {
    let help = "Log lines dropped because standard error took no more: nobody reads it.";
    let counter = registry.counter("hooklane_log_lines_dropped_total", help)?;
    if let Some(lines) = LINES.get() {
        lines.count_dropped(counter);
    }
    Ok(())
}

/// Waits until what was logged is written, but not for long.
pub(crate) fn flush() {
    if let Some(lines) = LINES.get() {
        // At the deadline nobody reads them; there is nobody to tell.
        lines.flush(FLUSH);
    }
}

fn init_with(
    section: &LogSection,
    writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static,
) -> Result<(), LogsError> {
    let filter = filter(&section.level)?;
    let terminal = io::stderr().is_terminal();
    let json = match section.format {
        LogFormat::Auto => !terminal,
        LogFormat::Json => true,
        LogFormat::Text => false,
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(terminal && !json);
    let installed = if json {
        builder
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .finish()
            .try_init()
    } else {
        builder.finish().try_init()
    };
    installed.map_err(LogsError::Twice)
}

/// From here on a panic in any thread is logged with its place and ends the
/// process: a half-dead one would go on holding its partitions.
pub fn exit_on_panic() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string);
        let thread = std::thread::current();
        let backtrace = std::backtrace::Backtrace::capture();
        tracing::error!(
            location = place.as_deref().unwrap_or("unknown"),
            thread = thread.name().unwrap_or("unnamed"),
            reason = info.payload_as_str().unwrap_or("not a text"),
            %backtrace,
            "panic: this is a bug, the process ends"
        );
        Exit::Invariant.now();
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels() {
        for (level, good) in [
            ("info", true),
            ("OFF", true),
            ("info,hooklane_dispatcher=debug", true),
            ("warn, librdkafka=error", true),
            ("verbose", false),
            ("info,hooklane_dispatcher", false),
            ("hooklane=loud", false),
            ("info,", false),
            ("", false),
        ] {
            assert_eq!(check_level(level).is_ok(), good, "{level}");
        }
    }
}
