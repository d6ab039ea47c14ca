//! The harness itself under test: what it promises to other tests.

mod kafka;
