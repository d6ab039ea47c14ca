//! How far a feed is, for metrics and readiness.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Numbers of one feed, written by its thread.
#[derive(Debug)]
pub struct FeedStats {
    loaded: AtomicBool,
    applied: AtomicI64,
    end: AtomicI64,
    broken: AtomicU64,
    current_at: Mutex<Instant>,
}

impl Default for FeedStats {
    fn default() -> Self {
        Self {
            loaded: AtomicBool::new(false),
            applied: AtomicI64::new(0),
            end: AtomicI64::new(0),
            broken: AtomicU64::new(0),
            current_at: Mutex::new(Instant::now()),
        }
    }
}

impl FeedStats {
    /// Whether the configuration was read whole once and handed on.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.loaded.load(Ordering::Acquire)
    }

    /// The next offset of the config topic to apply.
    #[must_use]
    pub fn applied_offset(&self) -> i64 {
        self.applied.load(Ordering::Relaxed)
    }

    /// The end of the config topic when it was last asked for.
    #[must_use]
    pub fn end_offset(&self) -> i64 {
        self.end.load(Ordering::Relaxed)
    }

    /// Problems found in records so far.
    #[must_use]
    pub fn broken_records(&self) -> u64 {
        self.broken.load(Ordering::Relaxed)
    }

    /// How long ago everything there was had been applied for sure; grows
    /// while brokers are away.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.current_at.lock().expect(NO_PANIC).elapsed()
    }

    pub(super) fn loaded(&self) {
        self.loaded.store(true, Ordering::Release);
        self.current();
    }

    pub(super) fn applied(&self, offset: i64) {
        self.applied.store(offset, Ordering::Relaxed);
    }

    pub(super) fn broken(&self, problems: usize) {
        self.broken.fetch_add(problems as u64, Ordering::Relaxed);
    }

    pub(super) fn ends(&self, config: i64, current: bool) {
        self.end.store(config, Ordering::Relaxed);
        if current {
            self.current();
        }
    }

    fn current(&self) {
        *self.current_at.lock().expect(NO_PANIC) = Instant::now();
    }
}

const NO_PANIC: &str = "no code that can panic runs under this lock";
