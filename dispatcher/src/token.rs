//! What a delivery report is about, packed into the client's one word.
//!
//! `worker:6 | kind:2 | slot:24 | seq:32`. 24 bits of slot are more
//! deliveries than any byte budget admits at [`hooklane_engine::TARGET_BYTES`] each.

use hooklane_engine::WorkId;

/// Most workers a process can have.
pub(crate) const WORKERS_MAX: u16 = 64;
/// Slots of kind 0, which names no delivery.
const SLOT_NOBODY: u32 = 0;
const SLOT_POISON: u32 = 1;
/// The bits of a slot.
const SLOT_MASK: u32 = (1 << 24) - 1;

/// What a delivery report is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    /// A record of the attempts log of this worker, by its number.
    Attempts(u32),
    /// A delivery's record in a delay topic.
    Delay(WorkId),
    /// A delivery's terminal record.
    Dead(WorkId),
    /// A poison record of this worker, by its number.
    Poison(u32),
    /// A record nobody waits for.
    Nobody,
}

/// Packs whose record it is and which.
pub(crate) fn pack(worker: u16, about: About) -> usize {
    let (kind, slot, seq) = match about {
        About::Nobody => (0, SLOT_NOBODY, 0),
        About::Poison(number) => (0, SLOT_POISON, number),
        About::Attempts(number) => (1, 0, number),
        About::Delay(work) => (2, work.slot, work.seq),
        About::Dead(work) => (3, work.slot, work.seq),
    };
    debug_assert!(worker < WORKERS_MAX && slot <= SLOT_MASK);
    (usize::from(worker) << 58)
        | (kind << 56)
        | ((slot as usize & SLOT_MASK as usize) << 32)
        | seq as usize
}

/// Unpacks the worker and what it is about.
pub(crate) fn unpack(token: usize) -> (u16, About) {
    let worker = u16::try_from(token >> 58).unwrap_or(0);
    let slot = u32::try_from((token >> 32) & SLOT_MASK as usize).unwrap_or(0);
    let seq = u32::try_from(token & 0xffff_ffff).unwrap_or(0);
    let work = WorkId { slot, seq };
    let about = match (token >> 56) & 3 {
        0 if slot == SLOT_POISON => About::Poison(seq),
        0 => About::Nobody,
        1 => About::Attempts(seq),
        2 => About::Delay(work),
        _ => About::Dead(work),
    };
    (worker, about)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_packed_unpacks(
            worker in 0..WORKERS_MAX, slot in 0..=SLOT_MASK, seq: u32, kind in 0..5u8,
        ) {
            let work = WorkId { slot, seq };
            let about = match kind {
                0 => About::Attempts(seq),
                1 => About::Delay(work),
                2 => About::Dead(work),
                3 => About::Nobody,
                _ => About::Poison(seq),
            };
            prop_assert_eq!(unpack(pack(worker, about)), (worker, about));
        }
    }
}
