//! The process around the library: arguments, environment, logs, exit code.

use std::io::{BufWriter, Write};
use std::process::ExitCode;

use hooklane_cli::{Io, Surroundings, execute, exit, parse};
use hooklane_service::clock::SystemClock;
use hooklane_service::config::{LogFormat, LogSection};
use hooklane_service::logs;

fn main() -> ExitCode {
    let mut out = BufWriter::new(std::io::stdout().lock());
    // Not locked: the logs of other threads go there, too.
    let mut err = std::io::stderr();
    let mut io = Io {
        input: &mut std::io::stdin().lock(),
        out: &mut out,
        err: &mut err,
    };
    let code = match parse(std::env::args_os(), &mut io) {
        Ok(command) => {
            // What the client warns of is tried again, or comes back as the error.
            let level = if command.verbose {
                "debug"
            } else {
                "warn,librdkafka=off"
            };
            let section = LogSection {
                level: level.to_owned(),
                format: LogFormat::Text,
            };
            // Without logs the command still does what it is told.
            drop(logs::init(&section));
            let environment = std::env::vars_os()
                .map(|(name, value)| (lossy(&name), lossy(&value)))
                .collect();
            let surroundings = Surroundings {
                environment,
                clock: &SystemClock,
            };
            execute(command, &surroundings, &mut io)
        }
        Err(code) => code,
    };
    let flushed = out.flush();
    ExitCode::from(if flushed.is_err() && code == exit::OK {
        exit::FAILURE
    } else {
        code
    })
}

fn lossy(text: &std::ffi::OsStr) -> String {
    text.to_string_lossy().into_owned()
}
