//! Bounds of what is read ahead, kept and sent, and what happens at each.

use super::*;

/// A schedule that has read three deliveries of its tail, due in 9 s.
fn three_in_the_tail(limits: Limits) -> Schedule {
    let mut schedule = Schedule::new(layout(), limits);
    schedule.assign(at(Rung::Tail), 0);
    for offset in 0..3 {
        read(&mut schedule, Rung::Tail, offset, 0, 9_000);
    }
    schedule.tick(now(0));
    schedule
}

#[test]
fn a_full_queue_pauses_once_and_resumes_at_a_quarter() {
    let mut schedule = owning(Rung::S15);
    let full = i64::try_from(QUEUE_RECORDS_MAX).unwrap();
    for offset in 0..full + 10 {
        read(
            &mut schedule,
            Rung::S15,
            offset,
            offset.unsigned_abs(),
            20_000,
        );
    }
    assert!(matches!(controls(&mut schedule)[..], [Control::Pause(p)] if p == at(Rung::S15)));
    // Three quarters have gone: a little more than a quarter is left.
    schedule.tick(now(15_000 + 200));
    assert_eq!(controls(&mut schedule).len(), 0);
    schedule.tick(now(15_000 + 205));
    assert!(matches!(controls(&mut schedule)[..], [Control::Resume(p)] if p == at(Rung::S15)));
}

#[test]
fn a_tail_over_its_budget_takes_the_15_s_rung() {
    let limits = Limits {
        tail_entries: 2,
        ..Limits::default()
    };
    let mut schedule = three_in_the_tail(limits);
    let hopped = produces(&mut schedule);
    assert!(matches!(
        hopped[..],
        [Produce {
            to: Destination::Rung { to: Rung::S15, .. },
            ..
        }]
    ));
    assert_eq!(schedule.tally().tail_overflows, 1);
    assert_eq!(schedule.snapshot(now(0).wall).tail_entries, 2);
    schedule.leave(at(Rung::Tail));
    let left = schedule.snapshot(now(0).wall);
    assert_eq!((left.tail_entries, left.tail_bytes), (0, 0));
}

#[test]
fn the_bytes_of_the_tail_are_bounded_too() {
    let one = frame(vec![target(0, T0, now(9_000).wall)]).len();
    let limits = Limits {
        tail_bytes: 2 * one + one / 2,
        ..Limits::default()
    };
    let mut schedule = three_in_the_tail(limits);
    assert_eq!(schedule.tally().tail_overflows, 1);
    schedule.tick(now(9_000));
    assert_eq!(schedule.snapshot(now(9_000).wall).tail_bytes, 0);
}

/// The client forgets a pause when it starts a partition again.
#[test]
fn a_partition_that_reads_on_in_spite_of_its_pause_is_paused_again() {
    let mut schedule = owning(Rung::S15);
    let over = i64::try_from(3 * QUEUE_RECORDS_MAX).unwrap();
    for offset in 0..over {
        read(&mut schedule, Rung::S15, offset, 0, 20_000);
    }
    let pauses = controls(&mut schedule);
    assert!(pauses.len() > 1, "{}", pauses.len());
    assert!(pauses.iter().all(|c| matches!(c, Control::Pause(_))));
}

#[test]
fn what_may_be_sent_is_bounded_and_shared_by_tail_and_rungs() {
    let limits = Limits {
        flights: 4,
        ..Limits::default()
    };
    let mut schedule = Schedule::new(layout(), limits);
    for rung in [Rung::Tail, Rung::S15] {
        schedule.assign(at(rung), 0);
        for offset in 0..10 {
            read(&mut schedule, rung, offset, 0, 14_000);
        }
    }
    schedule.tick(now(0));
    schedule.tick(now(20_000));
    let sent = produces(&mut schedule);
    let from_rung = |produce: &&Produce| {
        matches!(
            produce.to,
            Destination::Lane {
                from: Rung::S15,
                ..
            }
        )
    };
    assert_eq!((sent.len(), sent.iter().filter(from_rung).count()), (4, 2));
    assert_eq!(
        schedule.next_wake(now(20_000)),
        None,
        "waiting for reports is not spinning"
    );
    let state = schedule.snapshot(now(20_000).wall);
    assert_eq!(state.rungs[Rung::S15 as usize].overdue, 10);
    assert_eq!(
        state.rungs[Rung::S15 as usize].overdue_age,
        Duration::from_secs(6)
    );
}
