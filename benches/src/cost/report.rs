//! How the figures are shown.

use super::cases::Case;
use super::{Args, alone, whole};
use crate::cpu;
use crate::figures::Spread;
use crate::output::line;

pub(super) fn machine() {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    line(format!(
        "machine: {cores} cores, load average {}; microseconds of CPU; median (quartiles)",
        cpu::load_average()
    ));
}

pub(super) fn alone(size: usize, rounds: u32, figures: &[(Case, alone::Figures)]) {
    line("");
    line(format!(
        "the sender alone, {size} B, {rounds} rounds: to make a request, and to make and send it"
    ));
    line(format!(
        "{:<31} {:>21} {:>21} {:>19} {:>21} {:>19}",
        "", "made", "connection kept", "to (a)", "connection new", "to (a)"
    ));
    for (case, figures) in figures {
        line(format!(
            "{:<31} {:>21} {:>21} {:>19} {:>21} {:>19}",
            case.name,
            micros(&figures.built),
            micros(&figures.kept),
            ratio(&figures.kept_ratio),
            micros(&figures.new),
            ratio(&figures.new_ratio),
        ));
    }
}

pub(super) fn judge(figures: &[(&str, Spread)]) {
    line("");
    line("a judgement of the guard, once a connection, by the default policy");
    for (name, figure) in figures {
        line(format!("{name:<40} {:>21}", micros(figure)));
    }
}

pub(super) fn whole(args: &Args, size: usize, way: &str, figures: &[(Case, whole::Figures)]) {
    line("");
    line(format!(
        "the dispatcher, {size} B, {} deliveries a run, {} rounds; {way}",
        args.deliveries, args.rounds
    ));
    line(format!(
        "{:<31} {:>21} {:>19} {:>26}",
        "", "a delivery", "to (a)", "deliveries a connection"
    ));
    for (case, figures) in figures {
        line(format!(
            "{:<31} {:>21} {:>19} {:>26.0}",
            case.name,
            micros(&figures.micros),
            ratio(&figures.ratio),
            figures.per_connection.median(),
        ));
    }
    line(
        "CPU of the dispatcher: its whole process, from just before the first delivery until all \
         offsets are committed.",
    );
}

/// What a case adds, as a part of a whole delivery. Of the sender alone: a
/// difference of two whole deliveries shows less than the noise of either.
pub(super) fn shares(
    size: usize,
    alone: &[(Case, alone::Figures)],
    whole: &[(Case, whole::Figures)],
) {
    let (Some((_, plain)), Some((_, delivery))) = (alone.first(), whole.first()) else {
        return;
    };
    let delivery = delivery.micros.median();
    line("");
    line(format!(
        "{size} B: what is added to a delivery of {delivery:.1}, by the sender alone"
    ));
    line(format!(
        "{:<31} {:>18} {:>18}",
        "", "to make a request", "and to send it"
    ));
    for (case, figures) in alone {
        let shown = [(&figures.built, &plain.built), (&figures.kept, &plain.kept)].map(
            |(figure, plain)| {
                let more = figure.median() - plain.median();
                format!("{more:.2} = {:.1} %", 100.0 * more / delivery)
            },
        );
        line(format!(
            "{:<31} {:>18} {:>18}",
            case.name, shown[0], shown[1]
        ));
    }
}

fn micros(figure: &Spread) -> String {
    show(figure, 2)
}

fn ratio(figure: &Spread) -> String {
    show(figure, 3)
}

fn show(figure: &Spread, digits: usize) -> String {
    let median = figure.median();
    if median.is_nan() {
        return "-".to_owned();
    }
    let (low, high) = figure.quartiles();
    format!("{median:.digits$} ({low:.digits$}-{high:.digits$})")
}
