//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::apply::ApplyArgs;
use crate::books::BooksArgs;
use crate::delete::DeleteArgs;
use crate::demo::DemoArgs;
use crate::describe::DescribeArgs;
use crate::diff::DiffArgs;
use crate::get::GetArgs;
use crate::reference::ReferenceArgs;
use crate::secrets::SecretsArgs;
use crate::switch::SwitchArgs;
use crate::topics::TopicsArgs;
use crate::verify::VerifyArgs;

/// Declare, look at and check what Hooklane delivers.
#[derive(Parser, Debug)]
#[command(name = "hooklane", version, propagate_version = true)]
pub struct Cli {
    /// Which cluster.
    #[command(flatten)]
    pub kafka: KafkaArgs,
    /// Say on standard error what the Kafka client does
    #[arg(long, short, global = true)]
    pub verbose: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How to find the cluster; later ones win: file, environment, `--brokers`.
#[derive(Args, Clone, Debug, Default)]
pub struct KafkaArgs {
    /// Brokers to find the cluster by, separated by commas
    #[arg(long, value_name = "HOST:PORT", global = true)]
    pub brokers: Option<String>,
    /// YAML file with sections `kafka`, `egress`, `secrets`; HOOKLANE__SECTION__KEY variables override it
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
}

/// The subcommands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run everything in this process for a look: broker, services, receiver, events, books
    Demo(DemoArgs),
    /// Create or change what files declare
    Apply(ApplyArgs),
    /// Show what `apply` would change; exits with 1 if there is something
    Diff(DiffArgs),
    /// List sources, endpoints or subscriptions
    Get(GetArgs),
    /// Show everything about one resource
    Describe(DescribeArgs),
    /// Delete resources
    Delete(DeleteArgs),
    /// Let deliveries for an endpoint wait: they are matched, stored and not sent
    Pause(SwitchArgs),
    /// Let deliveries go on to an endpoint that is paused or disabled
    Resume(SwitchArgs),
    /// Ask an endpoint's receiver again whether it wants to be called
    Verify(VerifyArgs),
    /// Rotate secrets of endpoints, and the keys that they are encrypted under
    #[command(visible_alias = "secret")]
    Secrets(SecretsArgs),
    /// Create or check the internal topics
    Topics(TopicsArgs),
    /// Account for every delivery: matched = delivered + dead + expired + pending
    Books(BooksArgs),
    /// Print the reference of all configuration keys or metrics as Markdown
    Reference(ReferenceArgs),
}
