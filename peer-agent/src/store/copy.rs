//! The whole database as bytes, for backups: taken while others write, and looked into without touching a disk.

use std::path::Path;

use rusqlite::{Connection, MAIN_DB};
use zeroize::Zeroizing;

use super::Store;
use crate::ports::{StoreError, Stored};

impl Store {
    /// Writes everything as it stands at one moment into an empty file.
    pub fn copy_to(&self, path: &Path) -> Stored<()> {
        let path = path.to_str().ok_or_else(|| StoreError::damaged("a path that is not text"))?;
        self.0.execute("VACUUM INTO ?", [path])?;
        Ok(())
    }

    /// A store in memory with these bytes; refuses what is damaged.
    pub fn from_bytes(bytes: &Zeroizing<Vec<u8>>) -> Stored<Self> {
        let mut db = Connection::open_in_memory()?;
        db.deserialize_read_exact(MAIN_DB, bytes.as_slice(), bytes.len(), false)?;
        let said: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
        if said != "ok" {
            return Err(StoreError::damaged(said));
        }
        Self::prepared(db, |_| Ok(()))
    }
}
