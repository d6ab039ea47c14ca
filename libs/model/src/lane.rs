//! Which lane an endpoint lives in: one function for everybody.

use std::fmt;
use std::num::NonZeroU16;

use bincode::{Decode, Encode};

use crate::id::EndpointUid;

/// One partition of the deliveries topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Lane(pub u16);

impl Lane {
    /// The partition number as Kafka clients want it.
    #[must_use]
    pub fn partition(self) -> i32 {
        i32::from(self.0)
    }

    /// The lane of a partition number; `None` when it is not one.
    #[must_use]
    pub fn from_partition(partition: i32) -> Option<Self> {
        u16::try_from(partition).ok().map(Self)
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The lane of `endpoint` among `lanes`: XXH3-64 of the uid's big-endian
/// bytes, modulo the lane count.
///
/// This is a wire format: ingest, retry-scheduler and every tool must agree
/// for as long as a deliveries topic lives, and a librdkafka or Java default
/// partitioner must never decide instead.
#[must_use]
pub fn lane_of(endpoint: EndpointUid, lanes: NonZeroU16) -> Lane {
    let hash = xxhash_rust::xxh3::xxh3_64(&endpoint.0.to_be_bytes());
    let lane = hash % u64::from(lanes.get());
    Lane(u16::try_from(lane).expect("a remainder by a u16 fits a u16"))
}

/// A stable hash of an ordering key or any other bytes (XXH3-64).
#[must_use]
pub fn stable_hash(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lanes(n: u16) -> NonZeroU16 {
        NonZeroU16::new(n).unwrap()
    }

    #[test]
    fn the_function_is_golden() {
        let found: Vec<u16> = (0..8u128)
            .map(|uid| lane_of(EndpointUid(uid), lanes(64)).0)
            .collect();
        assert_eq!(found, [40, 59, 31, 3, 12, 17, 27, 16]);
    }

    #[test]
    fn version_7_uids_made_in_a_row_spread_evenly() {
        let mut counts = [0u32; 64];
        for _ in 0..64_000 {
            counts[usize::from(lane_of(EndpointUid(crate::id::new_uid()), lanes(64)).0)] += 1;
        }
        // 1,000 expected a lane; 5 standard deviations of a binomial are 157.
        assert!(counts.iter().all(|n| (843..1157).contains(n)), "{counts:?}");
    }

    proptest! {
        #[test]
        fn a_lane_is_one_of_the_lanes(uid: u128, n in 1u16..=512) {
            prop_assert!(lane_of(EndpointUid(uid), lanes(n)).0 < n);
        }
    }
}
