//! Histogram buckets, shared so that panels and alerts can compare families.
//! Each list has at most 16 bounds: a histogram costs that many series.

/// Attempt durations, connect to end of body: 1 ms to the longest timeout.
pub const ATTEMPT_SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0,
];

/// From the event's time to its first attempt: the target is 5 ms at p50 and
/// 50 ms at p99, a backlog may be hours.
pub const EVENT_SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 10.0, 60.0, 600.0, 3_600.0,
];

/// How late something due was done; the promise is p99 <= max(1 s, 10 %).
pub const LATENESS_SECONDS: &[f64] = &[
    0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1_800.0, 3_600.0,
];

/// Waits in memory and acks of Kafka: sub-millisecond to the queue's bound.
pub const WAIT_SECONDS: &[f64] = &[
    0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Handing lanes over: 3 s for answers, 2 s for the records of what is handed
/// over, 2 s for the commit.
pub const HAND_OVER_SECONDS: &[f64] = &[
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0,
];

/// Payload and record sizes: 256 B to beyond the 1 MiB record.
pub const SIZE_BYTES: &[f64] = &[
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
];

/// Numbers of things: targets of an event, records of a batch.
pub const COUNT: &[f64] = &[
    0.0, 1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 500.0, 1_000.0, 10_000.0,
];
