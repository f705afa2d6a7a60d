//! How far a cluster's log was applied to a ledger: bytes that mean nothing here, in a column family of their own.
//!
//! The family is what makes a directory a member of a cluster; a single node's has none. It is no table: digest, scan,
//! audit and export do not see it, so that ledgers with the same records are the same wherever they lie. Only
//! [`super::Replica`] writes it, together with the records that lead there.

use rocksdb::WriteBatch;

use super::{Store, options, said};
use crate::ports::state::StateError;

/// The family's name.
pub(super) const PROGRESS: &str = "progress";
/// Its one key.
const KEY: &[u8] = b"applied";

impl Store {
    /// Whether a cluster's log is applied to it: such a ledger must not be written by a single node.
    pub fn is_of_a_cluster(&self) -> bool {
        self.db.cf_handle(PROGRESS).is_some()
    }

    /// How far a cluster's log was applied; `None` before its first entry.
    pub(super) fn progress(&self) -> Result<Option<Vec<u8>>, StateError> {
        self.db.get_cf(self.family(PROGRESS)?, KEY).map_err(said)
    }

    pub(super) fn put_progress(&self, batch: &mut WriteBatch, progress: &[u8]) -> Result<(), StateError> {
        batch.put_cf(self.family(PROGRESS)?, KEY, progress);
        Ok(())
    }

    /// Makes it a member of a cluster, at the beginning of that one's log.
    pub(super) fn join_cluster(&mut self) -> Result<(), StateError> {
        if self.is_of_a_cluster() { Ok(()) } else { self.db.create_cf(PROGRESS, &options()).map_err(said) }
    }

    /// Makes it a single node's again: what a cluster decides is no longer applied to it.
    pub fn leave_cluster(&mut self) -> Result<(), StateError> {
        if self.is_of_a_cluster() { self.db.drop_cf(PROGRESS).map_err(said) } else { Ok(()) }
    }

    /// Takes over how far `from` is, whose log this one's rows were rebuilt from.
    pub fn take_place_of(&mut self, from: &Self) -> Result<(), StateError> {
        if !from.is_of_a_cluster() {
            return Ok(());
        }
        self.join_cluster()?;
        let mut batch = WriteBatch::default();
        if let Some(progress) = from.progress()? {
            self.put_progress(&mut batch, &progress)?;
        }
        self.write_synced(batch)
    }
}
