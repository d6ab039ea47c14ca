//! The `hooklane` command.
//!
//! One module a subcommand; each takes what it works with as values (a
//! cluster, files, a clock, three streams) and so is driven by tests as by
//! `main`. What a person asked for goes to standard output, everything else
//! to standard error; the exit codes are those of [`exit`]. Nothing here
//! decides what a change of the configuration means: that is
//! `hooklane_model::plan`.

pub mod apply;
pub mod args;
pub mod books;
pub mod cluster;
mod condition;
pub mod delete;
pub mod demo;
pub mod describe;
pub mod diff;
pub mod error;
pub mod exit;
pub mod files;
pub mod get;
pub mod kind;
pub mod lines;
pub mod output;
pub mod reference;
pub mod secrets;
pub mod store;
pub mod switch;
mod tls;
pub mod topics;
pub mod verify;

use std::ffi::OsString;
use std::io::{Read, Write};

use clap::Parser;
use hooklane_model::plan::Switch;
use hooklane_model::time::Clock;

use args::{Cli, Command};
use cluster::Cluster;
use error::CliError;
use secrets::{SecretsArgs, SecretsCommand};

/// The three streams of a command.
pub struct Io<'a> {
    /// Where `-f -` reads.
    pub input: &'a mut dyn Read,
    /// Data.
    pub out: &'a mut dyn Write,
    /// Talk.
    pub err: &'a mut dyn Write,
}

impl Io<'_> {
    /// Says something to the person; who closed the stream does not listen.
    pub fn say(&mut self, text: &str) {
        writeln!(self.err, "{text}").ok();
    }
}

/// What a command finds around it.
pub struct Surroundings<'a> {
    /// The environment.
    pub environment: Vec<(String, String)>,
    /// Wall time.
    pub clock: &'a dyn Clock,
}

/// Reads a command line; prints help, version or the complaint.
///
/// # Errors
/// The exit code to end with.
pub fn parse(args: impl IntoIterator<Item = OsString>, io: &mut Io<'_>) -> Result<Cli, u8> {
    Cli::try_parse_from(args).map_err(|error| {
        let text = error.render().to_string();
        // A closed stream changes nothing about the exit code.
        if error.use_stderr() {
            write!(io.err, "{text}").ok();
            exit::USAGE
        } else {
            write!(io.out, "{text}").ok();
            exit::OK
        }
    })
}

/// Runs a command to its exit code; what failed is said on standard error.
pub fn execute(cli: Cli, surroundings: &Surroundings<'_>, io: &mut Io<'_>) -> u8 {
    match dispatch(cli, surroundings, io) {
        Ok(code) => code,
        // Whoever reads the output has read enough (`| head`).
        Err(error) if error.is_broken_pipe() => exit::OK,
        Err(error) => {
            io.say(&format!("error: {}", error.full()));
            error.code()
        }
    }
}

fn dispatch(cli: Cli, surroundings: &Surroundings<'_>, io: &mut Io<'_>) -> Result<u8, CliError> {
    if let Command::Demo(args) = &cli.command {
        return Ok(demo::run(args, &cli.kafka, surroundings, io));
    }
    if let Command::Reference(args) = &cli.command {
        return reference::run(args, io);
    }
    if let Command::Secrets(SecretsArgs { command }) = &cli.command {
        match command {
            SecretsCommand::Keygen(args) => return secrets::keygen(args, io),
            SecretsCommand::Keypair(args) => return secrets::keypair(args, io),
            _ => {}
        }
    }
    let cluster = Cluster::find(&cli.kafka, &surroundings.environment)?;
    let clock = surroundings.clock;
    match cli.command {
        Command::Apply(args) => apply::run(&cluster, &args, clock, io),
        Command::Diff(args) => diff::run(&cluster, &args, clock, io),
        Command::Get(args) => get::run(&cluster, &args, clock, io),
        Command::Describe(args) => describe::run(&cluster, &args, clock, io),
        Command::Delete(args) => delete::run(&cluster, &args, clock, io),
        Command::Pause(args) => switch::run(&cluster, &args, Switch::Pause, clock, io),
        Command::Resume(args) => switch::run(&cluster, &args, Switch::Resume, clock, io),
        Command::Verify(args) => verify::run(&cluster, &args, io),
        Command::Secrets(args) => secrets::run(&cluster, &args, clock, io),
        Command::Topics(args) => topics::run(&cluster, &args, io),
        Command::Books(args) => books::run(&cluster, &args, io),
        Command::Demo(args) => Ok(demo::run(&args, &cli.kafka, surroundings, io)),
        Command::Reference(args) => reference::run(&args, io),
    }
}
