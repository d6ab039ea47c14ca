//! `hooklane books`: the exact account of all deliveries, from the topics.

pub mod account;
pub mod ledger;

use std::io::Write;

use clap::Args;

use crate::cluster::Cluster;
use crate::error::CliError;
use crate::output::{self, ReportFormat};
use crate::{Io, exit};

pub use account::take_stock;
pub use ledger::{Account, Ledger};

/// Arguments of `books`.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct BooksArgs {
    /// How to show the account
    #[arg(long, short, value_enum, default_value_t)]
    pub output: ReportFormat,
}

/// Runs the command.
///
/// # Errors
/// When Kafka fails.
pub fn run(cluster: &Cluster, args: &BooksArgs, io: &mut Io<'_>) -> Result<u8, CliError> {
    let account = take_stock(cluster)?;
    match args.output {
        ReportFormat::Table => show(&account, io.out)?,
        ReportFormat::Json => output::json(io.out, &account.to_json())?,
    }
    Ok(if account.closes() {
        exit::OK
    } else {
        io.say("the books do not close");
        exit::FAILURE
    })
}

/// Writes the account for people.
///
/// # Errors
/// Those of `out`.
pub fn show(account: &Account, out: &mut dyn Write) -> std::io::Result<()> {
    let row = |name: &str, count: u64| vec![name.to_owned(), count.to_string()];
    let mut rows = vec![
        row("matched", account.matched),
        row("delivered", account.delivered),
        row("dead", account.dead),
        row("expired", account.expired),
        row("pending", account.pending),
        row("lost", account.lost_count),
        row("conflicts", account.conflict_count),
        row("attempts", account.attempts),
        row("repeats", account.repeats),
    ];
    // Neither is part of the sum, so they only show up where there are any.
    for (name, count) in [
        ("unmatched", account.unmatched),
        ("unreadable", account.unreadable),
    ] {
        if count > 0 {
            rows.push(row(name, count));
        }
    }
    output::table(out, &rows)?;
    for id in &account.lost {
        writeln!(out, "lost: {id}")?;
    }
    for conflict in &account.conflicts {
        writeln!(out, "conflict: {conflict}")?;
    }
    Ok(())
}
