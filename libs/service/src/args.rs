//! The command line of a service: where its configuration is, and whether to
//! run or only to check it. Everything else is configuration.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, FromArgMatches};

use crate::exit::Exit;

/// What a service is told on its command line.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceArgs {
    /// YAML file with the configuration; HOOKLANE__SECTION__KEY variables override it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Check the configuration, report every problem at once and exit (78 if there is one)
    #[arg(long)]
    pub check_config: bool,
}

impl ServiceArgs {
    /// Reads a command line, the binary's name first; prints help, version or
    /// the complaint.
    ///
    /// # Errors
    /// The exit to take: drained after `--help` or `--version`, else usage.
    pub fn parse_from(
        binary: &'static str,
        about: &'static str,
        args: impl IntoIterator<Item = OsString>,
    ) -> Result<Self, Exit> {
        let command = Self::augment_args(clap::Command::new(binary))
            .version(env!("CARGO_PKG_VERSION"))
            .about(about);
        let parsed = command
            .try_get_matches_from(args)
            .and_then(|m| Self::from_arg_matches(&m));
        parsed.map_err(|error| {
            let exit = if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Drained
            };
            // A closed terminal changes nothing about the exit code.
            error.print().ok();
            exit
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<ServiceArgs, Exit> {
        let args = std::iter::once("hooklane-test")
            .chain(args.iter().copied())
            .map(Into::into);
        ServiceArgs::parse_from("hooklane-test", "A test.", args)
    }

    #[test]
    fn arguments_and_exit_codes() {
        let both = ServiceArgs {
            config: Some("a.yaml".into()),
            check_config: true,
        };
        assert_eq!(parse(&["--config", "a.yaml", "--check-config"]), Ok(both));
        assert_eq!(parse(&[]), Ok(ServiceArgs::default()));
        for (args, exit) in [
            (&["--version"][..], Exit::Drained),
            (&["--help"], Exit::Drained),
            (&["--confog", "x"], Exit::Usage),
            (&["stray"], Exit::Usage),
        ] {
            assert_eq!(parse(args), Err(exit), "{args:?}");
        }
    }
}
