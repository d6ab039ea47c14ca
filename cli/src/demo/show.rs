//! Writing it: the live view, redrawn on a terminal and line by line
//! elsewhere, and the books at the end.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use hooklane_model::time::Clock;

use super::audit::Findings;
use super::board::{Board, SharedBoard, lock};
use super::endpoints::ROLES;
use super::error::DemoError;
use super::kafka::Kafka;
use super::tally::Tally;
use super::view::{self, Frame};
use crate::books::Account;
use crate::{Io, Surroundings, output};

const REDRAW: Duration = Duration::from_millis(500);
const LINES: Duration = Duration::from_secs(2);

/// Where the live view goes.
pub(super) struct Screen<'a> {
    clock: &'a dyn Clock,
    title: String,
    started: Instant,
    /// Whether the view is redrawn in place.
    redraw: bool,
    colour: bool,
    shown: Option<Instant>,
    /// Lines of the last frame, to go back over.
    lines: usize,
}

impl<'a> Screen<'a> {
    /// On a terminal the view is redrawn; `NO_COLOR` takes its colours and
    /// `TERM=dumb` makes it lines.
    pub(super) fn new(around: &Surroundings<'a>, title: String, started: Instant) -> Self {
        let variable = |name: &str| {
            let found = around.environment.iter().find(|(own, _)| own == name);
            found.map_or("", |(_, value)| value.as_str())
        };
        let redraw = io::stdout().is_terminal() && variable("TERM") != "dumb";
        Self {
            clock: around.clock,
            title,
            started,
            redraw,
            colour: redraw && variable("NO_COLOR").is_empty(),
            shown: None,
            lines: 0,
        }
    }

    /// Shows the board if it is time to.
    ///
    /// # Errors
    /// Those of the output.
    pub(super) fn turn(
        &mut self,
        board: &SharedBoard,
        hint: &str,
        io: &mut Io<'_>,
    ) -> Result<(), DemoError> {
        let pace = if self.redraw { REDRAW } else { LINES };
        if self.shown.is_some_and(|shown| shown.elapsed() < pace) {
            return Ok(());
        }
        self.draw(board, hint, io)
    }

    /// Shows the board as it stands at the end.
    ///
    /// # Errors
    /// Those of the output.
    pub(super) fn settle(&mut self, board: &SharedBoard, io: &mut Io<'_>) -> Result<(), DemoError> {
        self.draw(board, "services stop; the books are made up", io)
    }

    fn draw(&mut self, board: &SharedBoard, hint: &str, io: &mut Io<'_>) -> Result<(), DemoError> {
        self.shown = Some(Instant::now());
        let frame = Frame {
            title: self.title.clone(),
            elapsed: self.started.elapsed(),
            hint: hint.to_owned(),
            ..Frame::of(&lock(board), self.clock.now())
        };
        if self.redraw {
            let text = view::screen(&frame, self.colour);
            if self.lines > 0 {
                // Up over the last frame, and clear to the end of the screen.
                write!(io.out, "\x1b[{}A\x1b[J", self.lines)?;
            }
            self.lines = text.lines().count();
            io.out.write_all(text.as_bytes())?;
        } else {
            io.out.write_all(view::line(&frame).as_bytes())?;
        }
        io.out.flush()?;
        Ok(())
    }
}

/// The books: the sum, and where each endpoint stands.
///
/// # Errors
/// Those of the output.
pub(super) fn books(
    board: &Board,
    tally: &Tally,
    account: &Account,
    out: &mut dyn Write,
) -> Result<(), DemoError> {
    writeln!(
        out,
        "\nbooks: matched {} = delivered {} + dead {} + expired {} + pending {} \
         (attempts {}, repeats {})\n",
        account.matched,
        account.delivered,
        account.dead,
        account.expired,
        account.pending,
        account.attempts,
        account.repeats,
    )?;
    let rows = rows(board, tally);
    output::table_with_gap(out, &rows, 2)?;
    Ok(())
}

/// The table of the books. What is mostly nought has no column then, so that
/// the rest fits a terminal of 80.
fn rows(board: &Board, tally: &Tally) -> Vec<Vec<String>> {
    let heading = [
        "ENDPOINT",
        "BEHAVES",
        "MATCHED",
        "DELIVERED",
        "DEAD",
        "EXPIRED",
        "PENDING",
        "ATTEMPTS",
        "P50",
        "P99",
    ];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for (index, role) in ROLES.iter().enumerate() {
        let (received, told) = (&board.endpoints[index], &tally.endpoints[index]);
        let ended = told.delivered + told.given_up();
        let mut row = vec![role.label(), role.word.to_owned()];
        let counts = [
            received.expected,
            told.delivered,
            told.dead,
            told.expired,
            received.expected.saturating_sub(ended),
            told.attempts,
        ];
        row.extend(counts.map(|count| count.to_string()));
        row.extend(view::latencies(view::percentiles(&received.latency)));
        rows.push(row);
    }
    for column in [PENDING, EXPIRED] {
        if rows[1..].iter().all(|row| row[column] == "0") {
            for row in &mut rows {
                row.remove(column);
            }
        }
    }
    rows
}

/// Columns of the table.
const EXPIRED: usize = 5;
const PENDING: usize = 6;

/// Says whether the books close.
///
/// # Errors
/// Those of the output.
pub(super) fn verdict(
    findings: &Findings,
    kafka: &Kafka,
    io: &mut Io<'_>,
) -> Result<(), DemoError> {
    if findings.problems.is_empty() {
        writeln!(
            io.out,
            "\nThe books close: every delivery that the events call for stands in the topics\n\
             exactly once, and the receiver's own log of 2xx answers agrees, by webhook-id."
        )?;
    } else {
        // What was printed so far comes first, wherever both go.
        io.out.flush()?;
        io.say("the books do not close:");
        for problem in &findings.problems {
            io.say(&format!("- {problem}"));
        }
    }
    if let Some(command) = kafka.afterwards() {
        writeln!(io.out, "To look again: {command}")?;
    }
    io.out.flush()?;
    Ok(())
}
