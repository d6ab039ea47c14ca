//! Secrets at rest: how they are encrypted, and by which keys.
//!
//! A secret is encrypted under a key of its own (the data key), and that key
//! under a key-encryption key of the deployment, named by its id. Changing the
//! deployment's key so re-wraps 32 bytes and touches no ciphertext. Both
//! layers are XChaCha20-Poly1305, whose nonces are long enough to be drawn at
//! random for ever, and both are bound to the tenant, the endpoint and the
//! secret's version: text copied to another place does not open there.
//!
//! No IO: whoever reads the key file hands its text in, and whoever seals
//! hands randomness in. Nothing here prints, and no error shows a value.

mod entropy;
mod keyring;
mod seal;
mod sealed;
mod sealer;

pub use entropy::{Entropy, EntropyError, SystemEntropy};
pub use hooklane_model::secret::Secret;
pub use keyring::{KeyId, Keyring, KeyringError};
pub use seal::{OpenError, Place, SealError, open, rewrap, seal};
pub use sealed::{FormatError, PREFIX, Sealed};
pub use sealer::{Sealer, make_signing_secret};
