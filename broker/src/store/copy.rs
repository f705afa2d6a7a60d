//! A copy of the ledger's directory, made by the process that has it open: RocksDB's checkpoint.
//!
//! It lies beside the ledger, on the same file system, so that the tables are linked and the writer waits for no copying.
//! It shares them with the ledger: a backup copies them once more.

use std::path::{Path, PathBuf};

use rocksdb::checkpoint::Checkpoint;

use super::{Store, said};
use crate::ports::Copies;
use crate::ports::state::StateError;

/// Where the copy of the ledger in this directory is made, whichever generation it is.
pub fn copy_of(ledger: &Path) -> PathBuf {
    ledger.with_extension("copy")
}

impl Copies for Store {
    fn copy_beside(&self) -> Result<(), StateError> {
        Checkpoint::new(&self.db).map_err(said)?.create_checkpoint(copy_of(self.db.path())).map_err(said)
    }
}
