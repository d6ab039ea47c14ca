//! The live view as text. Pure: a frame goes in, lines come out.

use std::time::Duration;

use hdrhistogram::Histogram;
use hooklane_model::time::UnixMillis;

use super::board::Board;
use super::endpoints::{Behaviour, ROLES};
use super::tally::Attempts;

/// Failures in a row from which an endpoint counts as down.
const DOWN_FAILURES: u64 = 3;
/// How long after a failure an endpoint still shows as retrying.
const RECENT: Duration = Duration::from_secs(4);
/// How long one hint stands.
const HINT: Duration = Duration::from_secs(4);

/// What an endpoint is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing was tried yet.
    Idle,
    /// All goes well.
    Ok,
    /// Something failed a moment ago and waits for its next attempt.
    Retrying,
    /// It asked to be left alone.
    Held,
    /// Nothing has succeeded for some attempts.
    Down,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Ok => "ok",
            Self::Retrying => "retrying",
            Self::Held => "held",
            Self::Down => "down",
        }
    }

    /// SGR colour: faint, green, yellow, cyan, red.
    fn colour(self) -> &'static str {
        match self {
            Self::Idle => "2",
            Self::Ok => "32",
            Self::Retrying => "33",
            Self::Held => "36",
            Self::Down => "31",
        }
    }

    fn of(attempts: &Attempts, waiting: u64, now: UnixMillis) -> Self {
        let recent = |at: UnixMillis| now.since(at) < RECENT;
        if attempts.attempts == 0 {
            Self::Idle
        } else if attempts.held_until.is_some_and(|until| until > now) {
            Self::Held
        } else if attempts.failures_in_a_row >= DOWN_FAILURES {
            Self::Down
        } else if waiting > 0 && attempts.failed_at.is_some_and(recent) {
            Self::Retrying
        } else {
            Self::Ok
        }
    }
}

/// One endpoint in a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) state: State,
    pub(super) delivered: u64,
    pub(super) attempts: u64,
    pub(super) waiting: u64,
    pub(super) dead: u64,
    /// Half and 99 % of the deliveries took at most so long.
    pub(super) latency: Option<(Duration, Duration)>,
}

/// What is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) title: String,
    pub(super) elapsed: Duration,
    pub(super) events: u64,
    /// In the order of the roles.
    pub(super) rows: Vec<Row>,
    pub(super) latency: Option<(Duration, Duration)>,
    /// Said instead of what the endpoints suggest.
    pub(super) hint: String,
}

impl Frame {
    /// The board at this moment.
    pub(super) fn of(board: &Board, now: UnixMillis) -> Self {
        let mut all: Option<Histogram<u64>> = None;
        let mut rows = Vec::with_capacity(ROLES.len());
        for (index, received) in board.endpoints.iter().enumerate() {
            let attempts = &board.tally.endpoints[index];
            let waiting = board.waiting_at(index);
            rows.push(Row {
                state: State::of(attempts, waiting, now),
                delivered: received.delivered,
                attempts: attempts.attempts,
                waiting,
                dead: attempts.given_up(),
                latency: percentiles(&received.latency),
            });
            match &mut all {
                // Equal precision and self-resizing: adding cannot fail.
                Some(all) => all.add(&received.latency).unwrap_or_default(),
                None => all = Some(received.latency.clone()),
            }
        }
        Self {
            title: String::new(),
            elapsed: Duration::ZERO,
            events: board.events,
            rows,
            latency: all.as_ref().and_then(percentiles),
            hint: String::new(),
        }
    }

    fn total(&self, of: fn(&Row) -> u64) -> u64 {
        self.rows.iter().map(of).sum()
    }

    /// The hint to show: the one given, or one after the other what the
    /// endpoints suggest.
    fn hint(&self) -> String {
        if !self.hint.is_empty() {
            return self.hint.clone();
        }
        let mut hints = Vec::new();
        for (row, role) in self.rows.iter().zip(&ROLES) {
            let label = role.label();
            match (role.behaviour, row.state) {
                (Behaviour::Dead, State::Down | State::Retrying) => hints.push(format!(
                    "{label} refuses connections; after 3 attempts: dead letters"
                )),
                (Behaviour::Flaky, State::Retrying) => hints.push(format!(
                    "{label} fails every third request; retries wait in a delay topic"
                )),
                (_, State::Held) => hints.push(format!(
                    "{label} answered 429: all of it waits, and nobody else"
                )),
                _ => {}
            }
        }
        if hints.is_empty() {
            return "events -> ingest -> lanes -> dispatcher -> endpoints".to_owned();
        }
        let turn = self.elapsed.as_secs() / HINT.as_secs();
        let turn = usize::try_from(turn).unwrap_or(0) % hints.len();
        hints.swap_remove(turn)
    }
}

/// Median and 99th percentile of microseconds.
pub(super) fn percentiles(latency: &Histogram<u64>) -> Option<(Duration, Duration)> {
    let at = |quantile| Duration::from_micros(latency.value_at_quantile(quantile));
    (!latency.is_empty()).then(|| (at(0.5), at(0.99)))
}

/// A duration in at most six characters.
pub(super) fn short(duration: Duration) -> String {
    let millis = duration.as_secs_f64() * 1e3;
    match duration.as_millis() {
        0..10 => format!("{millis:.1}ms"),
        10..10_000 => format!("{millis:.0}ms"),
        _ => format!("{:.1}s", millis / 1e3),
    }
}

pub(super) fn latencies(latency: Option<(Duration, Duration)>) -> [String; 2] {
    match latency {
        Some((median, high)) => [short(median), short(high)],
        None => ["-".to_owned(), "-".to_owned()],
    }
}

/// The frame for a terminal, at most 80 columns wide.
pub(super) fn screen(frame: &Frame, colour: bool) -> String {
    let paint = |code: &str, text: &str| {
        if colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    };
    let seconds = frame.elapsed.as_secs_f64();
    let mut text = format!(
        "{}  {seconds:.1}s  {}\n\n",
        paint("1", "hooklane demo"),
        frame.title
    );
    let heading = format!(
        "{:<14} {:<12} {:<8} {:>7} {:>8} {:>7} {:>4} {:>6} {:>6}",
        "ENDPOINT", "BEHAVES", "STATE", "DELIV'D", "ATTEMPTS", "WAITING", "DEAD", "P50", "P99"
    );
    text.push_str(&paint("2", &heading));
    text.push('\n');
    for (row, role) in frame.rows.iter().zip(&ROLES) {
        let (label, word) = (role.label(), role.word);
        // Padded before it is painted: escapes have no width.
        let state = paint(row.state.colour(), &format!("{:<8}", row.state.word()));
        text.push_str(&format!(
            "{label:<14} {word:<12} {state} {}\n",
            numbers(row)
        ));
    }
    let total = Row {
        state: State::Ok,
        delivered: frame.total(|row| row.delivered),
        attempts: frame.total(|row| row.attempts),
        waiting: frame.total(|row| row.waiting),
        dead: frame.total(|row| row.dead),
        latency: frame.latency,
    };
    let events = format!("{} events", frame.events);
    text.push_str(&format!(
        "{:<14} {events:<21} {}\n\n",
        "all",
        numbers(&total)
    ));
    text.push_str(&paint("2", &frame.hint()));
    text.push('\n');
    text
}

fn numbers(row: &Row) -> String {
    let [median, high] = latencies(row.latency);
    format!(
        "{:>7} {:>8} {:>7} {:>4} {median:>6} {high:>6}",
        row.delivered, row.attempts, row.waiting, row.dead
    )
}

/// The frame for a file or a pipe: one line.
pub(super) fn line(frame: &Frame) -> String {
    let [median, high] = latencies(frame.latency);
    let mut text = format!(
        "{:.1}s events={} delivered={} attempts={} waiting={} dead={} p50={median} p99={high}",
        frame.elapsed.as_secs_f64(),
        frame.events,
        frame.total(|row| row.delivered),
        frame.total(|row| row.attempts),
        frame.total(|row| row.waiting),
        frame.total(|row| row.dead),
    );
    for (row, role) in frame.rows.iter().zip(&ROLES) {
        text.push_str(&format!(" {}={}", role.label(), row.state.word()));
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests;
