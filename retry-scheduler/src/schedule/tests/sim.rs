//! The schedule in a world of random due times, clocks, reports and faults.
//!
//! A broker with a clock of its own, a producer whose records land and are
//! reported late and out of order or fail, partitions that are revoked, and
//! crashes after which only the log and the committed offsets are left. The
//! oracle: nothing lost, nothing early, lateness within the tolerance,
//! watermarks never ahead of what is reported nor long behind it, repeats only
//! of what was started and not committed.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use hooklane_model::ladder::tolerance;

use super::*;

mod faults;
mod oracle;

const HOUR: u64 = 3_600_000;
/// The longest from sending to the report.
const LATENCY_MAX: u64 = 300;
/// How far a clock may be off the true time, either way.
const SKEW: u64 = 400;
/// Between two polls.
const POLL_MAX: u64 = 50;
const DOWN_MAX: u64 = 5_000;
const DRAIN_MAX: u64 = 3_000;

/// What can go wrong in one run.
#[derive(Clone, Copy, Debug, Default)]
struct Faults {
    crashes: u32,
    revokes: u32,
    produce_fails: bool,
    commit_fails: bool,
    tiny: bool,
}

struct Entry {
    offset: i64,
    appended: UnixMillis,
    frame: Bytes,
    /// Its produce was reported as written to this owner.
    acked: bool,
    /// Its produce was started by this owner.
    started: bool,
}

#[derive(Default)]
struct Log {
    entries: Vec<Entry>,
    next: i64,
    committed: i64,
    position: i64,
    paused: bool,
    owned: bool,
    /// True time since when the watermark could have been committed.
    behind_since: Option<u64>,
}

/// A record under way to the broker.
struct Air {
    produce: Produce,
    source: Option<(DelayPartition, i64)>,
    lands: Option<u64>,
    reports: u64,
    fails: bool,
    process: u32,
}

struct Delivery {
    frame: Bytes,
    target: Target,
    landed: u32,
}

struct World {
    seed: u64,
    rng: Rng,
    faults: Faults,
    t: u64,
    booted: u64,
    clock_off: i64,
    broker_off: i64,
    schedule: Schedule,
    process: u32,
    logs: BTreeMap<DelayPartition, Log>,
    air: Vec<Air>,
    deliveries: Vec<Delivery>,
    inserts: BTreeSet<(u64, usize)>,
    leaving: Option<(DelayPartition, u64)>,
    returning: Option<(DelayPartition, u64)>,
    repeats_allowed: u32,
    downtime: u64,
}

fn off(t: u64, by: i64) -> UnixMillis {
    UnixMillis(T0.0.saturating_add_signed(by) + t)
}

impl World {
    fn new(seed: u64, faults: Faults) -> Self {
        let mut rng = Rng::with_seed(seed);
        let skew = |rng: &mut Rng| {
            let skew = i64::try_from(SKEW).unwrap();
            rng.i64(-skew..=skew)
        };
        let (clock_off, broker_off) = (skew(&mut rng), skew(&mut rng));
        let mut world = Self {
            seed,
            faults,
            t: 0,
            booted: 0,
            clock_off,
            broker_off,
            schedule: Schedule::new(layout(), Limits::default()),
            process: 0,
            logs: BTreeMap::new(),
            air: Vec::new(),
            deliveries: Vec::new(),
            inserts: BTreeSet::new(),
            leaving: None,
            returning: None,
            repeats_allowed: 0,
            downtime: 0,
            rng,
        };
        for rung in Rung::ALL {
            for partition in 0..2 {
                world
                    .logs
                    .insert(DelayPartition { rung, partition }, Log::default());
            }
        }
        world.add_deliveries();
        world.boot();
        world
    }

    /// Delays of 1 s to 48 h, evenly by their logarithm, and some in bursts.
    fn add_deliveries(&mut self) {
        let burst = self.rng.u64(0..HOUR);
        for id in 0..120usize {
            let at = if self.rng.bool() {
                burst
            } else {
                self.rng.u64(0..2 * HOUR)
            };
            let delay = (1_000.0 * 172_800f64.powf(self.rng.f64())).round();
            let due = off(at, 0).after(Duration::from_secs_f64(delay / 1_000.0));
            let target = target(u128::try_from(id).unwrap(), off(at, 0), due);
            let frame = frame(vec![target]);
            self.deliveries.push(Delivery {
                frame,
                target,
                landed: 0,
            });
            self.inserts.insert((at, id));
        }
    }

    fn now(&self) -> Now {
        Now {
            wall: off(self.t, self.clock_off),
            mono: Duration::from_millis(self.t - self.booted),
        }
    }

    fn fail(&self, what: &str) -> ! {
        panic!(
            "{what}\nseed {} {:?} at {} ms",
            self.seed, self.faults, self.t
        )
    }

    /// Starts a process that knows nothing but the committed offsets.
    fn boot(&mut self) {
        let limits = match self.faults.tiny {
            true => Limits {
                tail_entries: 3,
                flights: 5,
                ..Limits::default()
            },
            false => Limits::default(),
        };
        self.process += 1;
        self.booted = self.t;
        self.schedule = Schedule::new(layout(), limits);
        let all: Vec<_> = self.logs.keys().copied().collect();
        all.into_iter().for_each(|at| self.assign(at));
    }

    fn assign(&mut self, at: DelayPartition) {
        let log = self.logs.get_mut(&at).unwrap();
        log.position = log.committed;
        (log.paused, log.owned, log.behind_since) = (false, true, None);
        for entry in &mut log.entries {
            (entry.acked, entry.started) = (false, false);
        }
        self.schedule.assign(at, log.committed);
    }

    fn next_landing(&self) -> Option<u64> {
        let landings = self.air.iter().filter_map(|air| air.lands);
        landings
            .chain(self.inserts.first().map(|(at, _)| *at))
            .min()
    }

    fn append(&mut self, at: DelayPartition, frame: Bytes) {
        let appended = off(self.t, self.broker_off);
        let gap = self.rng.i64(0..2);
        let log = self.logs.get_mut(&at).unwrap();
        let offset = log.next + gap;
        log.next = offset + 1;
        log.entries.push(Entry {
            offset,
            appended,
            frame,
            acked: false,
            started: false,
        });
    }

    /// Appends what reaches the broker now.
    fn land(&mut self) {
        while let Some((_, id)) = self.inserts.first().copied().filter(|i| i.0 <= self.t) {
            self.inserts.pop_first();
            let delivery = &self.deliveries[id];
            let (frame, target) = (delivery.frame.clone(), delivery.target);
            let Hop::Wait(rung) = next_hop(target.delayed_at, target.delayed_at, target.due) else {
                self.fail("a delay of a second and more is due at once")
            };
            let partition = i32::from(self.rng.bool());
            self.append(DelayPartition { rung, partition }, frame);
        }
        for i in 0..self.air.len() {
            if self.air[i].lands.is_none_or(|at| at > self.t) {
                continue;
            }
            self.air[i].lands = None;
            let Produce { to, value, .. } = self.air[i].produce.clone();
            match to {
                Destination::Lane { .. } => {
                    let (envelope, _) = Envelope::decode(&value.unwrap()).unwrap();
                    let id = usize::try_from(envelope.targets[0].delivery.0).unwrap();
                    self.deliveries[id].landed += 1;
                }
                Destination::Rung { to, partition, .. } => {
                    self.append(
                        DelayPartition {
                            rung: to,
                            partition,
                        },
                        value.unwrap(),
                    );
                }
                Destination::Poison { .. } => self.fail("a good record was called poison"),
            }
        }
    }

    fn report(&mut self) {
        let mut i = 0;
        while i < self.air.len() {
            let air = &self.air[i];
            if air.process == self.process && air.reports > self.t || air.lands.is_some() {
                i += 1;
                continue;
            }
            let air = self.air.swap_remove(i);
            if air.process != self.process {
                continue;
            }
            let result = if air.fails {
                Err(Failure::Other)
            } else {
                Ok(())
            };
            self.schedule
                .reported(air.produce.token, result, self.now());
            let Some((at, offset)) = air.source.filter(|_| !air.fails) else {
                continue;
            };
            let log = self.logs.get_mut(&at).unwrap();
            if let Some(entry) = log.entries.iter_mut().find(|e| e.offset == offset) {
                entry.acked |= log.owned;
            }
        }
    }

    /// Hands out records as the client does: some may still come after a
    /// pause.
    fn poll(&mut self) {
        let now = self.now();
        for (at, log) in &mut self.logs {
            let stray = if log.paused {
                self.rng.usize(0..20) / 19
            } else {
                3
            };
            if !log.owned || stray == 0 {
                continue;
            }
            let first = log.entries.partition_point(|e| e.offset < log.position);
            for entry in log.entries.iter().skip(first).take(stray) {
                log.position = entry.offset + 1;
                let (offset, appended) = (entry.offset, entry.appended);
                let value = Some(entry.frame.clone());
                self.schedule.record(
                    &RecordRead {
                        at: *at,
                        offset,
                        appended,
                        value,
                    },
                    now,
                );
            }
        }
    }

    fn obey(&mut self) {
        self.schedule.tick(self.now());
        while let Some(produce) = self.schedule.take_produce() {
            let source = self.source_of(produce.token);
            self.check_release(&produce);
            let fails = self.faults.produce_fails && self.rng.u8(..) < 20;
            let lands = (!fails).then(|| self.t + self.rng.u64(1..LATENCY_MAX));
            let reports = self.t + self.rng.u64(1..=LATENCY_MAX);
            let process = self.process;
            self.air.push(Air {
                produce,
                source,
                lands,
                reports,
                fails,
                process,
            });
        }
        while let Some(control) = self.schedule.take_control() {
            match control {
                Control::Pause(at) => self.logs.get_mut(&at).unwrap().paused = true,
                Control::Resume(at) => self.logs.get_mut(&at).unwrap().paused = false,
                Control::Blocked { .. } => self.fail("a good record was called newer"),
                Control::Commit(_) if self.faults.commit_fails && self.rng.u8(..) < 50 => {
                    self.schedule.commit_failed();
                }
                Control::Commit(moved) => {
                    moved
                        .into_iter()
                        .for_each(|(at, offset)| self.commit(at, offset));
                }
            }
        }
    }

    /// Where the record behind a token was read, and that it is under way.
    fn source_of(&mut self, token: usize) -> Option<(DelayPartition, i64)> {
        let work = self.schedule.flights.of(token)?;
        let (at, offset) = (work.at, work.offset);
        let log = self.logs.get_mut(&at)?;
        log.entries.iter_mut().find(|e| e.offset == offset)?.started = true;
        Some((at, offset))
    }

    /// Lets time pass until something can happen, and a little more.
    fn advance(&mut self, until: u64) {
        let wake = self.schedule.next_wake(self.now());
        let wake = wake.map(|w| self.t + u64::try_from(w.as_millis()).unwrap());
        let air = self
            .air
            .iter()
            .flat_map(|a| [a.lands, Some(a.reports)])
            .flatten();
        let others = [
            wake,
            self.inserts.first().map(|(at, _)| *at),
            self.leaving.map(|(_, at)| at),
            self.returning.map(|(_, at)| at),
        ];
        let readable = self.logs.values().any(|log| {
            log.owned && !log.paused && log.entries.last().is_some_and(|e| e.offset >= log.position)
        });
        let next = air
            .chain(others.into_iter().flatten())
            .min()
            .unwrap_or(until);
        let next = if readable { self.t } else { next };
        self.t = next.clamp(self.t, until.max(self.t)) + self.rng.u64(1..POLL_MAX);
    }

    fn step(&mut self, until: u64) {
        self.advance(until);
        self.land();
        self.report();
        self.poll();
        self.go_on_with_revoke();
        self.obey();
        self.check_commits();
    }

    fn run(&mut self) {
        let end = 60 * HOUR;
        let mut faults = BTreeSet::new();
        for n in 0..self.faults.crashes + self.faults.revokes {
            // Evenly by the logarithm too: most are where most happens.
            let at = 1_000.0 * 50_000f64.powf(self.rng.f64());
            let at = u64::try_from(Duration::from_secs_f64(at / 1_000.0).as_millis()).unwrap();
            faults.insert((at + self.rng.u64(0..HOUR), n));
        }
        while self.t < end {
            let fault = faults.first().copied();
            match fault.filter(|(at, _)| *at <= self.t) {
                // Mostly while something is under way, where it hurts.
                Some((_, n)) if !self.air.is_empty() || self.rng.u8(..) < 3 => {
                    faults.pop_first();
                    if n < self.faults.crashes {
                        self.crash()
                    } else {
                        self.start_revoke()
                    }
                }
                Some(_) => self.step(end),
                None => self.step(fault.map_or(end, |(at, _)| at)),
            }
        }
        self.check_end();
    }
}

/// Runs `seeds` worlds; a seed to repeat one stands in its panic.
fn worlds(seeds: u64, faults: impl Fn(&mut Rng) -> Faults) {
    let base = fastrand::u64(..);
    println!("base seed {base}");
    for seed in (0..seeds).map(|n| base.wrapping_add(n)) {
        let faults = faults(&mut Rng::with_seed(!seed));
        World::new(seed, faults).run();
    }
}

#[test]
fn without_faults_each_arrives_once_and_in_time() {
    worlds(15, |_| Faults::default());
}

#[test]
fn with_crashes_nothing_is_lost_and_repeats_are_bounded() {
    worlds(25, |rng| Faults {
        crashes: rng.u32(1..40),
        ..Faults::default()
    });
}

#[test]
fn with_revokes_nothing_is_lost_and_repeats_are_bounded() {
    worlds(25, |rng| Faults {
        revokes: rng.u32(1..60),
        ..Faults::default()
    });
}

#[test]
fn with_everything_at_once() {
    worlds(40, |rng| Faults {
        crashes: rng.u32(0..20),
        revokes: rng.u32(0..20),
        produce_fails: rng.bool(),
        commit_fails: rng.bool(),
        tiny: rng.bool(),
    });
}
