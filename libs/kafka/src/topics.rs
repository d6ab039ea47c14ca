//! The internal topics: what they must look like.

/// The largest source record by default.
pub const SOURCE_RECORD_BYTES: usize = 1 << 20;

/// `max.message.bytes` of topics that carry the bytes of a source record.
#[must_use]
pub const fn record_bytes_max(source_record_bytes: usize) -> usize {
    source_record_bytes + (128 << 10) + (64 << 10)
}
