//! What a delivery report is about, packed into the client's one word.
//!
//! `worker:6 | record:2 | slot:24 | seq:32`. 24 bits of slot are more
//! deliveries than any byte budget admits at [`hooklane_engine::TARGET_BYTES`] each.

use hooklane_engine::{Stored, WorkId};

/// Most workers a process can have.
pub(crate) const WORKERS_MAX: u16 = 64;
/// Slots below this name deliveries; this one names a poison record.
const SLOT_POISON: u32 = (1 << 24) - 1;

/// What a delivery report is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    /// A record that a delivery's fate hangs on.
    Delivery(WorkId, Stored),
    /// A poison record of this worker, by its number.
    Poison(u32),
    /// A record nobody waits for.
    Nobody,
}

/// Packs whose record it is and which.
pub(crate) fn pack(worker: u16, about: About) -> usize {
    let (kind, slot, seq) = match about {
        About::Nobody => (0, 0, 0),
        About::Delivery(work, Stored::Attempt) => (1, work.slot, work.seq),
        About::Delivery(work, Stored::Delay) => (2, work.slot, work.seq),
        About::Delivery(work, Stored::Dead) => (3, work.slot, work.seq),
        About::Poison(number) => (0, SLOT_POISON, number),
    };
    debug_assert!(worker < WORKERS_MAX && slot <= SLOT_POISON);
    (usize::from(worker) << 58)
        | (kind << 56)
        | ((slot as usize & SLOT_POISON as usize) << 32)
        | seq as usize
}

/// Unpacks the worker and what it is about.
pub(crate) fn unpack(token: usize) -> (u16, About) {
    let worker = u16::try_from(token >> 58).unwrap_or(0);
    let slot = u32::try_from((token >> 32) & SLOT_POISON as usize).unwrap_or(0);
    let seq = u32::try_from(token & 0xffff_ffff).unwrap_or(0);
    let work = WorkId { slot, seq };
    let about = match (token >> 56) & 3 {
        0 if slot == SLOT_POISON => About::Poison(seq),
        0 => About::Nobody,
        1 => About::Delivery(work, Stored::Attempt),
        2 => About::Delivery(work, Stored::Delay),
        _ => About::Delivery(work, Stored::Dead),
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
            worker in 0..WORKERS_MAX, slot in 0..SLOT_POISON, seq: u32, kind in 0..5u8,
        ) {
            let work = WorkId { slot, seq };
            let about = match kind {
                0 => About::Nobody,
                1 => About::Delivery(work, Stored::Attempt),
                2 => About::Delivery(work, Stored::Delay),
                3 => About::Delivery(work, Stored::Dead),
                _ => About::Poison(seq),
            };
            prop_assert_eq!(unpack(pack(worker, about)), (worker, about));
        }
    }
}
