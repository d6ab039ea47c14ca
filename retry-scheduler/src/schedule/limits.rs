//! What the schedule is given: where it is, and what it may hold.

use std::num::NonZeroU16;
use std::time::Duration;

use hooklane_model::ladder::Rung;
use hooklane_model::time::UnixMillis;

/// Records read ahead per partition. With [`QUEUE_BYTES_MAX`] it bounds what
/// 192 partitions (8 rungs of 24) hold to 48 MiB; when full the partition is
/// paused. Large enough that the prefetch thrown away by a pause is small
/// against what was used of it.
pub const QUEUE_RECORDS_MAX: usize = 256;
/// Bytes read ahead per partition; one record may exceed it.
pub const QUEUE_BYTES_MAX: usize = 256 << 10;
/// Offsets tracked per partition, done ones above an open one included (24
/// bytes each). At 10,000 records a second through one partition's tail, 15 s
/// are 150,000; when full the partition is paused.
pub(super) const TRACKED_MAX: usize = 200_000;
/// How long a produce that failed waits before it is tried again: long enough
/// not to spin, short against every rung.
pub(super) const RETRY_PRODUCE_AFTER: Duration = Duration::from_secs(1);
/// How often watermarks are committed: what a crash repeats.
pub(super) const COMMIT_EVERY: Duration = Duration::from_millis(200);
/// ... or after this many records written, whichever is first.
pub(super) const COMMIT_AFTER: usize = 1_000;
/// A rung that ends less than this before the due time was meant to end after
/// it: the clocks of broker and services differ.
pub(super) const SKEW_MAX: Duration = Duration::from_secs(1);

/// The present, on two clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// What due times are compared with; may step.
    pub wall: UnixMillis,
    /// Time since the process started; what intervals are measured with.
    pub mono: Duration,
}

/// What is fixed when the process starts.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Partitions of the deliveries topic.
    pub lanes: NonZeroU16,
    /// Partitions of each delay topic, in the order of [`Rung::ALL`].
    pub rungs: [NonZeroU16; Rung::ALL.len()],
}

/// What may be held in memory beside the read-ahead queues.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Records in the tail's heap; what does not fit takes the 15 s rung.
    pub tail_entries: usize,
    /// Bytes in the tail's heap.
    pub tail_bytes: usize,
    /// Records sent and not reported yet; when reached nothing more is sent,
    /// the queues fill and the partitions are paused.
    pub flights: usize,
    /// Bytes sent and not reported yet.
    pub flight_bytes: usize,
}

impl Default for Limits {
    /// 100,000 records or 64 MiB in the tail; 10,000 records or 32 MiB sent,
    /// which stays below the producer's own queue.
    fn default() -> Self {
        Self {
            tail_entries: 100_000,
            tail_bytes: 64 << 20,
            flights: 10_000,
            flight_bytes: 32 << 20,
        }
    }
}
