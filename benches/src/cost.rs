//! What safety costs: signatures, the egress guard, formats of the body.
//!
//! Everything stands beside the same work without, taken right before or after.
//! First the sender alone, where a percent can be seen; then the dispatcher,
//! which says what a delivery costs in all.

mod alone;
mod cases;
mod report;
mod whole;

use anyhow::ensure;

use crate::bed::Brokers;
use crate::output;
use crate::service::{self, Kind};
use crate::sink::SinkProcess;

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Bytes of an event
    #[arg(long, value_delimiter = ',', default_value = "1024,16384")]
    sizes: Vec<usize>,
    /// Rounds of the sender alone
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(8..))]
    slices: u32,
    /// Rounds of the dispatcher; 0 leaves it out
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Deliveries of each run of the dispatcher
    #[arg(long, default_value_t = 30_000, value_parser = clap::value_parser!(u64).range(1000..))]
    deliveries: u64,
    /// host:port of a Kafka to use; without it one is started
    #[arg(long)]
    brokers: Option<String>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    service::ensure_release(&[Kind::Dispatcher])?;
    ensure!(!args.sizes.is_empty(), "no size of an event is given");
    let names = cases::name_server()?;
    let sink = SinkProcess::start()?;
    report::machine();
    let mut made = Vec::new();
    for size in &args.sizes {
        output::progress(format!(
            "{size} B, the sender alone, {} rounds",
            args.slices
        ));
        let figures = alone::measure(*size, args.slices, &sink, &names)?;
        report::alone(*size, args.slices, &figures);
        made.push(figures);
    }
    report::judge(&alone::judge(args.slices));
    if args.rounds == 0 {
        return Ok(());
    }
    let brokers = Brokers::start(args.brokers.as_deref())?;
    for (size, made) in args.sizes.iter().zip(&made) {
        let figures = whole::measure(args, *size, (&brokers, &names), (&sink, false))?;
        report::whole(args, *size, "connections stay", &figures);
        report::shares(*size, made, &figures);
    }
    // The receiver ends each connection after one answer.
    let sink = SinkProcess::start_closing()?;
    let size = args.sizes[0];
    let figures = whole::measure(args, size, (&brokers, &names), (&sink, true))?;
    report::whole(args, size, "a connection for each", &figures);
    Ok(())
}
