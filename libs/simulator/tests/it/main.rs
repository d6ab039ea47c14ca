//! The simulator's own tests.

mod worlds;
