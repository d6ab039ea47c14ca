//! From one event and those who want it to envelopes, one list for each lane.
//!
//! A payload is written once per lane, not once per endpoint. A lane with more
//! targets than one envelope holds gets several, chunk k of n. Everything here
//! follows from its arguments, so a repeat after a crash makes the same
//! delivery ids, whatever the chunks are by then.

use std::collections::BTreeMap;
use std::num::NonZeroU16;

use hooklane_model::envelope::{
    Chunk, ConfigStamp, Envelope, EventHead, Origin, SourcePosition, TARGETS_MAX, Target,
};
use hooklane_model::id::DeliveryId;
use hooklane_model::lane::{Lane, lane_of};
use hooklane_model::matching::Interest;
use hooklane_model::time::UnixMillis;

/// The most a target takes in the frame: three 128-bit numbers of 17 bytes,
/// two of 9 and two of 3.
const TARGET_BYTES_MAX: usize = 3 * 17 + 2 * 9 + 2 * 3;
/// So the count alone keeps a target list below its 32 KiB.
const _: () = assert!(TARGETS_MAX * TARGET_BYTES_MAX <= 32 << 10);

/// What all envelopes of one event share.
#[derive(Clone, Debug)]
pub struct Fanout {
    /// What the event says about itself.
    pub event: EventHead,
    /// Where it lies.
    pub position: SourcePosition,
    /// Which run of reading the source this is.
    pub run: u64,
    /// The configuration that was matched with.
    pub config: ConfigStamp,
    /// When the event was read.
    pub first_seen: UnixMillis,
}

impl Fanout {
    /// The envelopes for these interests, by rising lane and chunk; within a
    /// lane targets keep the order of `interests`.
    #[must_use]
    pub fn envelopes(&self, interests: &[&Interest], lanes: NonZeroU16) -> Vec<(Lane, Envelope)> {
        let mut by_lane: BTreeMap<Lane, Vec<Target>> = BTreeMap::new();
        for interest in interests {
            let lane = lane_of(interest.endpoint, lanes);
            by_lane.entry(lane).or_default().push(self.target(interest));
        }
        let chunked = by_lane.into_iter().flat_map(|(lane, targets)| {
            let chunks: Vec<Vec<Target>> = targets.chunks(TARGETS_MAX).map(<[_]>::to_vec).collect();
            let count = chunks.len();
            let numbered = chunks.into_iter().enumerate();
            numbered.map(move |(index, targets)| (lane, chunk(index, count), targets))
        });
        chunked
            .map(|(lane, chunk, targets)| (lane, self.envelope(chunk, targets)))
            .collect()
    }

    fn target(&self, interest: &Interest) -> Target {
        let Interest {
            tenant,
            subscription,
            endpoint,
            ..
        } = interest;
        Target {
            delivery: DeliveryId::derive(tenant, &self.event.source, &self.event.id, *subscription),
            endpoint: *endpoint,
            subscription: *subscription,
            attempt: 1,
            due: UnixMillis(0),
            delayed_at: UnixMillis(0),
            spills: 0,
        }
    }

    fn envelope(&self, chunk: Chunk, targets: Vec<Target>) -> Envelope {
        Envelope {
            origin: Origin::Ingest { run: self.run },
            event: self.event.clone(),
            position: self.position.clone(),
            chunk,
            config: self.config,
            first_seen: self.first_seen,
            targets,
        }
    }
}

/// Four million targets in one lane would be the first to saturate.
fn chunk(index: usize, count: usize) -> Chunk {
    let short = |n| u16::try_from(n).unwrap_or(u16::MAX);
    Chunk {
        index: short(index),
        count: short(count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hooklane_model::id::{EndpointUid, SourceUid, SubscriptionUid};
    use proptest::prelude::*;

    fn interest(n: u128, endpoint: u128) -> Interest {
        Interest {
            subscription: SubscriptionUid(n),
            endpoint: EndpointUid(endpoint),
            source: SourceUid(1),
            tenant: format!("t{}", n % 3),
            event_types: Vec::new(),
            filter: None,
        }
    }

    fn fanout() -> Fanout {
        Fanout {
            event: EventHead {
                source: "/s".into(),
                id: "e".into(),
                ..EventHead::default()
            },
            position: SourcePosition {
                topic: "t".into(),
                topic_id: 0,
                partition: 1,
                offset: 2,
            },
            run: 9,
            config: ConfigStamp {
                epoch: 5,
                offset: 6,
            },
            first_seen: UnixMillis(7),
        }
    }

    /// The largest target there can be still counts as this many bytes.
    #[test]
    fn a_full_target_list_is_within_its_bytes() {
        let interests: Vec<_> = (0..TARGETS_MAX as u128)
            .map(|n| interest(u128::MAX - n, u128::MAX))
            .collect();
        let interests: Vec<_> = interests.iter().collect();
        let (_, mut envelope) = fanout().envelopes(&interests, NonZeroU16::MIN).remove(0);
        let bare = {
            let mut one = envelope.clone();
            one.targets.truncate(1);
            one.encode(b"").len()
        };
        for target in &mut envelope.targets {
            target.delivery = DeliveryId(u128::MAX);
            target.due = UnixMillis(u64::MAX);
            target.delayed_at = UnixMillis(u64::MAX);
            target.attempt = u16::MAX;
            target.spills = u16::MAX;
        }
        let full = envelope.encode(b"").len();
        assert!(
            full - bare <= TARGETS_MAX * TARGET_BYTES_MAX,
            "{full} {bare}"
        );
        assert!(
            full - bare > (TARGETS_MAX - 1) * TARGET_BYTES_MAX - 100,
            "{full} {bare}"
        );
    }

    #[test]
    fn an_event_nobody_wants_makes_nothing() {
        assert!(fanout().envelopes(&[], NonZeroU16::MIN).is_empty());
    }

    proptest! {
        #[test]
        fn each_match_is_one_target_in_its_lane(
            endpoints in prop::collection::vec(0u128..40, 0..400),
            lanes in 1u16..12,
        ) {
            let lanes = NonZeroU16::new(lanes).unwrap();
            let interests: Vec<_> =
                endpoints.iter().enumerate().map(|(n, e)| interest(n as u128, *e)).collect();
            let wanted: Vec<&Interest> = interests.iter().collect();
            let fanout = fanout();
            let envelopes = fanout.envelopes(&wanted, lanes);
            let mut seen = Vec::new();
            let mut last: Option<(Lane, u16)> = None;
            for (lane, envelope) in &envelopes {
                prop_assert!(!envelope.targets.is_empty() && envelope.targets.len() <= TARGETS_MAX);
                prop_assert!(last < Some((*lane, envelope.chunk.index)));
                last = Some((*lane, envelope.chunk.index));
                let chunks = envelopes.iter().filter(|(l, _)| l == lane).count();
                prop_assert_eq!(usize::from(envelope.chunk.count), chunks);
                prop_assert!(envelope.chunk.index < envelope.chunk.count);
                prop_assert_eq!(&envelope.origin, &Origin::Ingest { run: 9 });
                for target in &envelope.targets {
                    prop_assert_eq!(lane_of(target.endpoint, lanes), *lane);
                    seen.push((*lane, target.subscription, target.endpoint, target.delivery));
                }
            }
            // Stable order: by lane, then as the interests came.
            let mut expected: Vec<_> = interests
                .iter()
                .map(|i| {
                    let delivery = DeliveryId::derive(&i.tenant, "/s", "e", i.subscription);
                    (lane_of(i.endpoint, lanes), i.subscription, i.endpoint, delivery)
                })
                .collect();
            expected.sort_by_key(|(lane, ..)| *lane);
            prop_assert_eq!(seen, expected);
            prop_assert_eq!(fanout.envelopes(&wanted, lanes), envelopes, "the same once more");
        }
    }
}
