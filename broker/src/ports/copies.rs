//! Copies of the ledger, made while it is served.

use super::state::StateError;

/// Makes copies of what is committed.
pub trait Copies: Send + Sync {
    /// Puts a copy of the ledger as it stands at one moment beside its place. Everything committed before is in it. Never
    /// writes over one.
    fn copy_beside(&self) -> Result<(), StateError>;
}
