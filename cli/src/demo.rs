//! `hooklane demo`: the whole pipeline in one process, for a look at it.
//!
//! An embedded broker (or `--brokers`: a real one, under a prefix of the
//! demo's own), the three services on threads, a receiver whose endpoints
//! behave well and badly, and a stream of events. At the end the books: what
//! the topics say, by delivery id, against what was produced and against what
//! the receiver answered. The exit code says whether they agree.
//!
//! Limits: the embedded broker keeps 5 MiB a partition and then drops its
//! oldest records in silence, so [`size`] refuses runs that would come near
//! that. Nothing outlives the process, except the topics in a real Kafka.

mod audit;
mod board;
mod endpoints;
mod error;
mod events;
mod feeder;
mod kafka;
mod receiver;
mod services;
mod setup;
mod show;
mod signals;
mod size;
mod tally;
mod view;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;

use crate::args::KafkaArgs;
use crate::books;
use crate::{Io, Surroundings, exit};
use audit::Findings;
use board::{Board, SharedBoard};
use error::DemoError;
use events::Events;
use feeder::Feeder;
use kafka::Kafka;
use receiver::Receiver;
use services::Services;
use show::Screen;
use signals::Signals;
use tally::Tally;
use watch::Watch;

/// How long the end waits for what can still be delivered.
const DRAIN: Duration = Duration::from_secs(15);
/// How often the state is looked at; below the view's own pace.
const TURN: Duration = Duration::from_millis(50);

/// Arguments of `demo`.
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    /// Produce events for so long, as in 20s or 2m; otherwise until Ctrl-C
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub duration: Option<Duration>,
    /// Send the events of this file, one JSON document a line, instead of made-up ones
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,
    /// Events a second
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=2_000))]
    pub rate: u32,
    /// Partitions of the deliveries topic
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub lanes: u16,
}

fn duration(text: &str) -> Result<Duration, String> {
    match hooklane_model::duration::parse(text) {
        Ok(duration) if duration.is_zero() => Err("must be longer than nothing".to_owned()),
        Ok(duration) => Ok(duration),
        Err(error) => Err(error.to_string()),
    }
}

/// Runs the command to its exit code. The cluster of the other commands is
/// used only when it was asked for with `--brokers`.
pub fn run(args: &DemoArgs, kafka: &KafkaArgs, around: &Surroundings<'_>, io: &mut Io<'_>) -> u8 {
    match demonstrate(args, kafka, around, io) {
        Ok(true) => exit::OK,
        Ok(false) => exit::FAILURE,
        Err(error) if error.is_broken_pipe() => exit::OK,
        Err(error) => {
            io.say(&format!("error: {}", error.full()));
            error.code()
        }
    }
}

/// `false` when the books do not close.
fn demonstrate(
    args: &DemoArgs,
    kafka_args: &KafkaArgs,
    around: &Surroundings<'_>,
    io: &mut Io<'_>,
) -> Result<bool, DemoError> {
    let started = Instant::now();
    let events = Events::prepare(args.events.as_deref())?;
    let limit = size::limit(args, &events, kafka_args.brokers.is_none())?;
    let signals = Signals::listen().map_err(DemoError::Thread)?;
    let kafka = Kafka::start(args.lanes, kafka_args, around, io)?;
    kafka.announce(io, &limit)?;
    let board: SharedBoard = Arc::new(Board::new().into());
    let receiver = Receiver::start(board.clone()).map_err(DemoError::Receiver)?;
    let setup = setup::apply(&kafka, &receiver, args, around.clock, io)?;
    let services = Services::start(&kafka)?;
    let watch = Watch::start(&kafka.cluster, board.clone())?;
    let mut stage = Stage {
        board: &board,
        signals: &signals,
        services: &services,
        screen: Screen::new(around, kafka.title(), started),
    };
    stage.wait_ready(io)?;
    let feeder = Feeder::start(&kafka, setup, events, (args.rate, limit.events), &board)?;
    stage.produce(&feeder, args.duration, io)?;
    let fed = feeder.stop()?;
    stage.drain(io)?;
    stage.screen.settle(&board, io)?;
    watch.stop();
    services.stop()?;
    let account = books::take_stock(&kafka.cluster)?;
    let tally = Tally::of_topics(&kafka.cluster)?;
    receiver.stop();
    let findings = Findings::of(&board::lock(&board), &fed, &tally, &account);
    show::books(&board::lock(&board), &tally, &account, io.out)?;
    show::verdict(&findings, &kafka, io)?;
    Ok(findings.problems.is_empty())
}

/// What is looked at while the demo runs.
struct Stage<'a> {
    board: &'a SharedBoard,
    signals: &'a Signals,
    services: &'a Services,
    screen: Screen<'a>,
}

impl Stage<'_> {
    fn wait_ready(&mut self, io: &mut Io<'_>) -> Result<(), DemoError> {
        let deadline = Instant::now() + services::READY_WAIT;
        while !self.services.ready()? {
            if self.signals.count() > 0 {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(DemoError::NotReady(self.services.waiting_for()));
            }
            self.screen.turn(self.board, "services start", io)?;
            std::thread::sleep(TURN);
        }
        Ok(())
    }

    /// Until the time is up, the events are all produced or a person has
    /// seen enough.
    fn produce(
        &mut self,
        feeder: &Feeder,
        duration: Option<Duration>,
        io: &mut Io<'_>,
    ) -> Result<(), DemoError> {
        let began = Instant::now();
        while !feeder.is_done()
            && self.signals.count() == 0
            && duration.is_none_or(|duration| began.elapsed() < duration)
        {
            self.services.check()?;
            self.screen.turn(self.board, "", io)?;
            std::thread::sleep(TURN);
        }
        Ok(())
    }

    /// Until nothing waits any more; bounded, and a second signal ends it.
    fn drain(&mut self, io: &mut Io<'_>) -> Result<(), DemoError> {
        let deadline = Instant::now() + DRAIN;
        let before = self.signals.count();
        while board::lock(self.board).waiting() > 0
            && self.signals.count() == before
            && Instant::now() < deadline
        {
            self.services.check()?;
            let hint = "no more events: what waits is delivered (Ctrl-C: leave it pending)";
            self.screen.turn(self.board, hint, io)?;
            std::thread::sleep(TURN);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration("20s"), Ok(Duration::from_secs(20)));
        assert!(duration("0s").is_err());
        assert!(duration("soon").is_err());
    }
}
