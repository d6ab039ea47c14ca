//! How much a core may hold and have open.

use std::time::Duration;

/// The numbers the core works with.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Longest predicted wait in memory; what would wait longer is parked.
    pub queue_wait: Duration,
    /// Requests open at a time, over all endpoints.
    pub slots: u32,
    /// Bytes held: each payload once, and [`crate::TARGET_BYTES`] per delivery.
    pub bytes: usize,
    /// Of the slots and bytes, the percentage that one tenant may hold while
    /// others are configured.
    pub tenant_percent: u32,
    /// Of an endpoint's first attempts, the percentage that retries may add
    /// which fail, besides ten a second.
    pub retry_percent: u32,
}

impl Limits {
    /// Requests that one tenant may have open while others are configured.
    #[must_use]
    pub fn tenant_slots(&self) -> u32 {
        let share = u64::from(self.slots) * u64::from(self.tenant_percent) / 100;
        let share = u32::try_from(share).unwrap_or(u32::MAX);
        share.max(SLOTS_MIN).min(self.slots)
    }
}

/// Slots that every endpoint and tenant may have, however small its share is.
pub(crate) const SLOTS_MIN: u32 = 30;
