use super::*;

use std::num::NonZeroU16;

use hooklane_model::envelope::{Chunk, ConfigStamp, Envelope, EventHead, Origin};
use hooklane_model::envelope::{SourcePosition, Target};
use hooklane_model::id::{DeliveryId, EndpointUid, SubscriptionUid};

mod bounds;
mod sim;

pub(super) const T0: UnixMillis = UnixMillis(1_700_000_000_000);

pub(super) fn now(ms: u64) -> Now {
    Now {
        wall: UnixMillis(T0.0 + ms),
        mono: Duration::from_millis(ms),
    }
}

pub(super) fn target(id: u128, delayed_at: UnixMillis, due: UnixMillis) -> Target {
    Target {
        delivery: DeliveryId(id),
        endpoint: EndpointUid(id % 7),
        subscription: SubscriptionUid(1),
        attempt: 3,
        due,
        delayed_at,
        spills: 2,
    }
}

pub(super) fn frame(targets: Vec<Target>) -> Bytes {
    let envelope = Envelope {
        origin: Origin::Ingest { run: 1 },
        event: EventHead::default(),
        position: SourcePosition::default(),
        chunk: Chunk { index: 0, count: 1 },
        config: ConfigStamp::default(),
        first_seen: T0,
        targets,
    };
    Bytes::from(envelope.encode(b"payload"))
}

pub(super) fn layout() -> Layout {
    let n = |n| NonZeroU16::new(n).unwrap();
    Layout {
        lanes: n(8),
        rungs: [n(2); 8],
    }
}

fn at(rung: Rung) -> DelayPartition {
    DelayPartition { rung, partition: 0 }
}

/// A schedule that owns partition 0 of `rung` from offset 0.
fn owning(rung: Rung) -> Schedule {
    let mut schedule = Schedule::new(layout(), Limits::default());
    schedule.assign(at(rung), 0);
    schedule
}

/// Reads a delivery appended at `ms` after T0 that is due at `due` after T0.
fn read(schedule: &mut Schedule, rung: Rung, offset: i64, ms: u64, due: u64) {
    let value = frame(vec![target(
        offset.unsigned_abs().into(),
        T0,
        now(due).wall,
    )]);
    read_value(schedule, rung, offset, ms, Some(value));
}

fn read_value(s: &mut Schedule, rung: Rung, offset: i64, ms: u64, value: Option<Bytes>) {
    let read = RecordRead {
        at: at(rung),
        offset,
        appended: now(ms).wall,
        value,
    };
    s.record(&read, now(ms));
}

fn produces(schedule: &mut Schedule) -> Vec<Produce> {
    std::iter::from_fn(|| schedule.take_produce()).collect()
}

fn controls(schedule: &mut Schedule) -> Vec<Control> {
    std::iter::from_fn(|| schedule.take_control()).collect()
}

fn commits(schedule: &mut Schedule) -> Vec<i64> {
    let commits = controls(schedule)
        .into_iter()
        .filter_map(|control| match control {
            Control::Commit(moved) => Some(moved[0].1),
            _ => None,
        });
    commits.collect()
}

fn is_lane(produce: &Produce) -> bool {
    matches!(produce.to, Destination::Lane { .. })
}

#[test]
fn the_tail_releases_at_the_due_time_and_not_a_millisecond_before() {
    let mut schedule = owning(Rung::Tail);
    read(&mut schedule, Rung::Tail, 0, 0, 5_000);
    read(&mut schedule, Rung::Tail, 1, 0, 3_000);
    schedule.tick(now(2_999));
    assert_eq!(produces(&mut schedule).len(), 0);
    assert_eq!(
        schedule.next_wake(now(2_999)),
        Some(Duration::from_millis(1))
    );
    schedule.tick(now(3_000));
    assert_eq!(produces(&mut schedule).len(), 1);
    schedule.tick(now(4_999));
    assert_eq!(produces(&mut schedule).len(), 0);
    schedule.tick(now(5_010));
    let released = produces(&mut schedule);
    assert!(matches!(
        released[0].to,
        Destination::Lane { from: Rung::Tail, late, .. } if late == Duration::from_millis(10)
    ));
}

#[test]
fn a_clock_that_steps_back_releases_nothing_early() {
    let mut schedule = owning(Rung::S15);
    read(&mut schedule, Rung::S15, 0, 0, 15_000);
    let stepped = Now {
        wall: now(14_000).wall,
        mono: now(20_000).mono,
    };
    schedule.tick(stepped);
    assert_eq!(produces(&mut schedule).len(), 0);
}

#[test]
fn a_rung_that_ends_before_the_due_time_is_followed_by_the_tail() {
    let mut schedule = owning(Rung::S15);
    read(&mut schedule, Rung::S15, 0, 0, 15_400);
    schedule.tick(now(14_999));
    assert_eq!(produces(&mut schedule).len(), 0);
    schedule.tick(now(15_000));
    let hopped = produces(&mut schedule);
    assert!(matches!(
        hopped[0].to,
        Destination::Rung {
            from: Rung::S15,
            to: Rung::Tail,
            ..
        }
    ));
    assert_eq!(schedule.tally().rewaits, 1);
}

/// 57 s on the minute's rung: released when due, not when the rung ends, and
/// a broker's clock that is hours ahead changes nothing.
#[test]
fn what_is_due_does_not_wait_for_the_end_of_its_rung() {
    for ahead in [0, 7_200_000] {
        let mut schedule = owning(Rung::M1);
        let value = frame(vec![target(1, T0, now(57_000).wall)]);
        let appended = now(ahead).wall;
        let read = RecordRead {
            at: at(Rung::M1),
            offset: 0,
            appended,
            value: Some(value),
        };
        schedule.record(&read, now(0));
        schedule.tick(now(56_999));
        assert_eq!(produces(&mut schedule).len(), 0);
        schedule.tick(now(57_000));
        assert!(is_lane(&produces(&mut schedule)[0]));
    }
}

#[test]
fn an_append_time_in_the_future_counts_as_now() {
    let mut schedule = owning(Rung::M1);
    let value = frame(vec![target(1, T0, now(200_000).wall)]);
    let appended = now(7_200_000).wall;
    let read = RecordRead {
        at: at(Rung::M1),
        offset: 0,
        appended,
        value: Some(value),
    };
    schedule.record(&read, now(0));
    schedule.tick(now(60_000));
    assert_eq!(
        produces(&mut schedule).len(),
        1,
        "hops on when its rung has ended"
    );
}

#[test]
fn a_newer_record_stops_its_partition_and_is_not_poison() {
    let mut schedule = owning(Rung::S15);
    read(&mut schedule, Rung::S15, 0, 0, 15_000);
    let mut newer = frame(vec![target(1, T0, T0)]).to_vec();
    newer[2] += 1;
    read_value(&mut schedule, Rung::S15, 1, 0, Some(newer.into()));
    read(&mut schedule, Rung::S15, 2, 0, 15_000);
    assert!(matches!(
        controls(&mut schedule)[..],
        [Control::Blocked { offset: 1, .. }, Control::Pause(_)]
    ));
    schedule.tick(now(60_000));
    let released = produces(&mut schedule);
    assert_eq!(released.len(), 1, "what lies before it goes on");
    schedule.reported(released[0].token, Ok(()), now(60_000));
    schedule.tick(now(61_000));
    assert_eq!(commits(&mut schedule), [1], "and the watermark stays at it");
    assert_eq!(
        schedule.snapshot(now(61_000).wall).rungs[Rung::S15 as usize].blocked,
        1
    );
}

#[test]
fn an_unreadable_record_is_done_when_poison_has_it() {
    let mut schedule = owning(Rung::H10);
    for (offset, value) in [Some(Bytes::from_static(b"junk")), None]
        .into_iter()
        .enumerate()
    {
        read_value(
            &mut schedule,
            Rung::H10,
            i64::try_from(offset).unwrap(),
            0,
            value,
        );
    }
    let poison = produces(&mut schedule);
    assert_eq!(poison[0].value, Some(Bytes::from_static(b"junk")));
    assert!(matches!(
        &poison[1],
        Produce {
            to: Destination::Poison {
                offset: 1,
                note: Note::Poison(_),
                ..
            },
            value: None,
            ..
        }
    ));
    schedule.reported(poison[1].token, Ok(()), now(0));
    schedule.tick(now(1_000));
    assert_eq!(commits(&mut schedule), [0i64; 0]);
    schedule.reported(poison[0].token, Ok(()), now(0));
    schedule.tick(now(2_000));
    assert_eq!(commits(&mut schedule), [2]);
}

#[test]
fn what_can_never_be_written_becomes_poison_and_the_rest_is_tried_again() {
    let mut schedule = owning(Rung::Tail);
    read(&mut schedule, Rung::Tail, 0, 0, 0);
    schedule.tick(now(0));
    let first = produces(&mut schedule).remove(0);
    schedule.reported(first.token, Err(Failure::Other), now(0));
    schedule.tick(now(999));
    assert_eq!(produces(&mut schedule).len(), 0);
    schedule.tick(now(1_000));
    let second = produces(&mut schedule).remove(0);
    assert!(is_lane(&second) && second.value == first.value);
    schedule.reported(second.token, Err(Failure::TooLarge), now(1_000));
    schedule.tick(now(2_000));
    let third = produces(&mut schedule).remove(0);
    assert!(matches!(third.to, Destination::Poison { offset: 0, .. }));
    assert_eq!(third.value, first.value);
}

#[test]
fn a_lost_range_is_done_when_its_note_is_written() {
    let mut schedule = owning(Rung::M5);
    schedule.lost(at(Rung::M5), 0, 40, now(0));
    let note = produces(&mut schedule).remove(0);
    schedule.reported(note.token, Err(Failure::Other), now(0));
    schedule.tick(now(1_000));
    let note = produces(&mut schedule).remove(0);
    let lost = Destination::Poison {
        at: at(Rung::M5),
        offset: 0,
        note: Note::Lost { until: 40 },
    };
    assert_eq!(note.to, lost);
    read(&mut schedule, Rung::M5, 40, 0, 9_000_000);
    schedule.tick(now(2_000));
    assert_eq!(commits(&mut schedule), [0i64; 0]);
    schedule.reported(note.token, Ok(()), now(2_000));
    schedule.tick(now(3_000));
    assert_eq!(commits(&mut schedule), [40]);
}

#[test]
fn a_report_after_the_partition_was_given_away_changes_nothing() {
    let mut schedule = owning(Rung::Tail);
    read(&mut schedule, Rung::Tail, 0, 0, 0);
    read(&mut schedule, Rung::Tail, 1, 0, 0);
    schedule.tick(now(0));
    let sent = produces(&mut schedule);
    schedule.leave(at(Rung::Tail));
    assert_eq!(schedule.open_flights(at(Rung::Tail)), 2);
    schedule.reported(sent[0].token, Ok(()), now(0));
    assert_eq!(schedule.release(at(Rung::Tail)), Some(1));
    schedule.assign(at(Rung::Tail), 1);
    read(&mut schedule, Rung::Tail, 1, 0, 9_000);
    schedule.reported(sent[1].token, Ok(()), now(0));
    schedule.tick(now(1_000));
    assert_eq!(commits(&mut schedule), [0i64; 0]);
}

#[test]
fn what_was_decided_and_not_taken_is_withdrawn_on_revoke() {
    let mut schedule = owning(Rung::Tail);
    read(&mut schedule, Rung::Tail, 0, 0, 0);
    schedule.tick(now(0));
    schedule.leave(at(Rung::Tail));
    assert_eq!(schedule.open_flights(at(Rung::Tail)), 0);
    assert_eq!(produces(&mut schedule).len(), 0);
    read(&mut schedule, Rung::Tail, 1, 0, 0);
    schedule.tick(now(10));
    assert_eq!(produces(&mut schedule).len(), 0, "nothing new is started");
}

/// Queued, in the tail, or put off after a failure: all of it is the next
/// owner's.
#[test]
fn what_waits_in_memory_is_forgotten_on_revoke() {
    let mut schedule = owning(Rung::S15);
    schedule.assign(at(Rung::Tail), 0);
    read(&mut schedule, Rung::Tail, 0, 0, 0);
    read(&mut schedule, Rung::Tail, 1, 0, 9_000);
    read(&mut schedule, Rung::S15, 0, 0, 15_000);
    schedule.tick(now(0));
    let sent = produces(&mut schedule).remove(0);
    schedule.reported(sent.token, Err(Failure::Other), now(0));
    schedule.leave(at(Rung::Tail));
    schedule.leave(at(Rung::S15));
    schedule.tick(now(60_000));
    assert_eq!(produces(&mut schedule).len(), 0);
}

#[test]
fn watermarks_are_committed_every_200_ms_or_1000_records() {
    let mut schedule = owning(Rung::Tail);
    for offset in 0..1_500 {
        read(&mut schedule, Rung::Tail, offset, 0, 0);
        schedule.tick(now(1));
        let sent = produces(&mut schedule).remove(0);
        schedule.reported(sent.token, Ok(()), now(1));
    }
    schedule.tick(now(1));
    assert_eq!(commits(&mut schedule), [1_000]);
    schedule.tick(now(200));
    assert_eq!(commits(&mut schedule), [0i64; 0]);
    schedule.tick(now(201));
    assert_eq!(commits(&mut schedule), [1_500]);
    schedule.commit_failed();
    schedule.tick(now(401));
    assert_eq!(commits(&mut schedule), [1_500]);
}

#[test]
fn a_record_with_several_targets_is_split_and_done_when_all_are() {
    let mut schedule = owning(Rung::Tail);
    let value = frame(vec![
        target(1, T0, now(500).wall),
        target(2, T0, now(900).wall),
    ]);
    read_value(&mut schedule, Rung::Tail, 0, 0, Some(value));
    schedule.tick(now(500));
    let first = produces(&mut schedule).remove(0);
    let (envelope, payload) = Envelope::decode(first.value.as_ref().unwrap()).unwrap();
    assert_eq!(envelope.targets, [target(1, T0, now(500).wall)]);
    assert_eq!(payload, "payload");
    schedule.reported(first.token, Ok(()), now(500));
    schedule.tick(now(901));
    assert_eq!(commits(&mut schedule), [0i64; 0]);
    let second = produces(&mut schedule).remove(0);
    schedule.reported(second.token, Ok(()), now(901));
    schedule.tick(now(1_200));
    assert_eq!(commits(&mut schedule), [1]);
}
