//! Whole-system tests: the real binaries between a real Kafka and receivers.
//!
//! Everything is in `tests/it`; this library is empty. The tests start the
//! binaries that lie beside them in the target folder, so those have to be
//! built first: `cargo build --workspace --bins`, or `scripts/test`.
