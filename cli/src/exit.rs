//! The exit codes of the command.

/// Done.
pub const OK: u8 = 0;
/// Something failed, differs (`diff`) or does not close (`books`).
pub const FAILURE: u8 = 1;
/// The command line is wrong.
pub const USAGE: u8 = 2;
/// What was asked for does not exist.
pub const NOT_FOUND: u8 = 3;
/// What was asked for does not fit what is stored.
pub const CONFLICT: u8 = 4;
/// The configuration is wrong (`EX_CONFIG`).
pub const CONFIG: u8 = 78;
