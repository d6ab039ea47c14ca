//! What the view looks like, letter by letter.

use std::time::Instant;

use hooklane_model::id::DeliveryId;

use super::*;

fn row(state: State, counts: [u64; 4], millis: Option<(u64, u64)>) -> Row {
    let [delivered, attempts, waiting, dead] = counts;
    let latency = millis.map(|(a, b)| (Duration::from_millis(a), Duration::from_millis(b)));
    Row {
        state,
        delivered,
        attempts,
        waiting,
        dead,
        latency,
    }
}

fn frame() -> Frame {
    Frame {
        title: "embedded broker".to_owned(),
        elapsed: Duration::from_millis(8_200),
        events: 410,
        rows: vec![
            row(State::Ok, [137, 137, 0, 0], Some((6, 19))),
            row(State::Ok, [65, 65, 3, 0], Some((309, 402))),
            row(State::Retrying, [60, 91, 8, 0], Some((7, 3_100))),
            row(State::Held, [59, 61, 9, 0], Some((9, 2_020))),
            row(State::Down, [0, 38, 6, 8], None),
        ],
        latency: Some((Duration::from_micros(7_450), Duration::from_secs(12))),
        hint: String::new(),
    }
}

const SCREEN: &str = "\
hooklane demo  8.2s  embedded broker

ENDPOINT       BEHAVES      STATE    DELIV'D ATTEMPTS WAITING DEAD    P50    P99
acme/erp       healthy      ok           137      137       0    0  6.0ms   19ms
acme/crm       slow         ok            65       65       3    0  309ms  402ms
globex/billing flaky        retrying      60       91       8    0  7.0ms 3100ms
globex/partner rate-limited held          59       61       9    0  9.0ms 2020ms
acme/fraud     dead         down           0       38       6    8      -      -
all            410 events                321      392      26    8  7.5ms  12.0s

acme/fraud refuses connections; after 3 attempts: dead letters
";

#[test]
fn the_screen() {
    assert_eq!(screen(&frame(), false), SCREEN);
    let widest = SCREEN.lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(80), "{widest:?} columns");
}

#[test]
fn colours_change_nothing_but_colour() {
    let painted = screen(&frame(), true);
    assert!(painted.contains("\x1b[31mdown    \x1b[0m"));
    let mut plain = String::new();
    let mut rest = painted.as_str();
    while let Some((before, after)) = rest.split_once('\x1b') {
        plain.push_str(before);
        rest = after.split_once('m').unwrap().1;
    }
    plain.push_str(rest);
    assert_eq!(plain, SCREEN);
}

#[test]
fn the_line() {
    assert_eq!(
        line(&frame()),
        "8.2s events=410 delivered=321 attempts=392 waiting=26 dead=8 p50=7.5ms p99=12.0s \
         acme/erp=ok acme/crm=ok globex/billing=retrying globex/partner=held acme/fraud=down\n"
    );
}

#[test]
fn hints_take_turns_and_give_way() {
    let mut frame = frame();
    let said: Vec<String> = [0, 4, 8, 12]
        .into_iter()
        .map(|seconds| {
            frame.elapsed = Duration::from_secs(seconds);
            frame.hint()
        })
        .collect();
    assert!(said[0].starts_with("globex/billing fails"));
    assert!(said[1].starts_with("globex/partner answered 429"));
    assert!(said[2].starts_with("acme/fraud refuses"));
    assert_eq!(said[3], said[0]);
    frame.hint = "no more events".to_owned();
    assert_eq!(frame.hint(), "no more events");
}

#[test]
fn states() {
    let now = UnixMillis(1_000_000);
    let base = Attempts {
        attempts: 5,
        ..Attempts::default()
    };
    let failed = |ago: u64, in_a_row| Attempts {
        failed_at: Some(UnixMillis(now.0 - ago)),
        failures_in_a_row: in_a_row,
        ..base.clone()
    };
    let held = |until| Attempts {
        held_until: Some(UnixMillis(until)),
        ..base.clone()
    };
    for (attempts, waiting, state) in [
        (Attempts::default(), 3, State::Idle),
        (base.clone(), 3, State::Ok),
        (failed(1_000, 1), 3, State::Retrying),
        (failed(1_000, 1), 0, State::Ok),
        (failed(9_000, 1), 3, State::Ok),
        (failed(9_000, 3), 0, State::Down),
        (held(now.0 + 1), 0, State::Held),
        (held(now.0), 0, State::Ok),
    ] {
        assert_eq!(State::of(&attempts, waiting, now), state, "{attempts:?}");
    }
}

#[test]
fn a_frame_shows_the_board() {
    let mut board = Board::new();
    board.produced(&[(0, DeliveryId(1)), (1, DeliveryId(2))], Instant::now());
    board.received(0, DeliveryId(1));
    let frame = Frame::of(&board, UnixMillis(0));
    assert_eq!(frame.events, 1);
    assert_eq!((frame.rows[0].delivered, frame.rows[0].waiting), (1, 0));
    assert_eq!((frame.rows[1].delivered, frame.rows[1].waiting), (0, 1));
    assert!(frame.latency.is_some() && frame.rows[1].latency.is_none());
}
