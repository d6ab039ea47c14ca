//! Randomness, handed in so that vectors can be fixed.

use thiserror::Error;

/// The system has no randomness to give.
#[derive(Debug, Error)]
#[error("the system gives no random bytes")]
pub struct EntropyError(#[source] getrandom::Error);

/// A source of bytes that nobody can guess.
pub trait Entropy {
    /// Fills `bytes`.
    ///
    /// # Errors
    /// When there is no randomness; nothing may be sealed then.
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), EntropyError>;
}

/// The system's random generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        getrandom::fill(bytes).map_err(EntropyError)
    }
}
