//! A ledger that a cluster's log is applied to, and that can be replaced by a whole other one while it is read.
//!
//! What it guarantees:
//! * [`Replica::apply`] takes entries in the log's order. Records, rows and progress of a call are there all or none. They
//!   are not synced: after a power cut the last calls may be missing, always as a tail, and [`Replica::progress`] says from
//!   where the log, which is the durable one, has to be applied again. [`Replica::sync`] makes durable what was applied.
//! * An entry applied twice, or decided on another head, changes nothing but the progress, on every node alike.
//! * An error of `apply`, `sync` or `progress` means a disk that fails, a ledger that is damaged, or a log that nobody
//!   honest proposed: the caller stops the process, and tries nothing again.
//! * Readers ([`Replica::store`], or the replica as a [`State`]) see all of what was applied before they asked. Who holds
//!   a store goes on reading that one, whatever replaces it; the directory of one replaced is closed and removed when its
//!   last reader lets go of it. (So the last drop can take some seconds; it belongs on no thread that must not wait.)
//! * The names on disk are in `pointer.rs`. At any crash the directory opens as the old or as the new ledger.
//!
//! It knows nothing of the log or of who leads. One process has one replica of a directory, and holds that (`Hold`).

mod apply;
mod incoming;
mod manifest;
mod snapshot;

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use netpay_crash_point::replica::Point;
use netpay_ledger::rows::Table;

pub use self::apply::{Applied, Entry};
pub use self::incoming::{Error as ReceiveError, Incoming};
pub use self::manifest::{Listed, MAX_MANIFEST_BYTES, Manifest};
pub use self::snapshot::{CHUNK_BYTES, Chunk, Place, Reader, Snapshot};
use super::{OpenError, Store, pointer, said};
use crate::ports::state::{StateError, Visit};
use crate::ports::{Copies, State};

/// See the module.
pub struct Replica {
    /// The name that all generations share.
    ledger: PathBuf,
    present: RwLock<Arc<Store>>,
    /// Held while something is applied, or the ledger replaced.
    writing: Mutex<()>,
    /// How many snapshots were begun.
    snapshots: AtomicU64,
}

impl Replica {
    /// Makes the empty ledger of a node that joins a cluster. Never touches one that is there.
    pub fn create(ledger: &Path) -> Result<Self, OpenError> {
        if pointer::present(ledger).is_ok() || ledger.is_symlink() {
            return Err(OpenError::Exists(ledger.display().to_string()));
        }
        let path = pointer::begin(ledger).map_err(damaged(ledger))?;
        Store::create(&path)?.join_cluster().map_err(damaged(ledger))?;
        pointer::switch(ledger, &path).map_err(damaged(ledger))?;
        Self::open(ledger)
    }

    /// Makes a single node's ledger the first one of a cluster, with everything that is in it. Repeated after a crash, it
    /// goes on.
    pub fn found(ledger: &Path) -> Result<Self, OpenError> {
        Store::open(ledger)?.join_cluster().map_err(damaged(ledger))?;
        Point::Joined.reached();
        Self::open(ledger)
    }

    /// Opens the ledger of a cluster's node, and removes what a crash left beside it.
    pub fn open(ledger: &Path) -> Result<Self, OpenError> {
        pointer::settle(ledger).map_err(damaged(ledger))?;
        let mut store = Self::open_member(ledger)?;
        if !pointer::is_link(ledger) {
            // An open RocksDB goes on deleting files by their old paths.
            drop(store);
            pointer::adopt(ledger).map_err(damaged(ledger))?;
            store = Self::open_member(ledger)?;
        }
        pointer::sweep(ledger).map_err(damaged(ledger))?;
        let present = RwLock::new(Arc::new(store));
        Ok(Self { ledger: ledger.to_owned(), present, writing: Mutex::default(), snapshots: AtomicU64::new(0) })
    }

    fn open_member(ledger: &Path) -> Result<Store, OpenError> {
        let store = Store::open(ledger)?;
        let alone = || OpenError::Alone(ledger.display().to_string());
        if store.is_of_a_cluster() { Ok(store) } else { Err(alone()) }
    }

    /// The present ledger. Whoever asks for several rows that must fit together asks once, and reads from one.
    pub fn store(&self) -> Arc<Store> {
        Arc::clone(&self.present.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the last applied entry said of itself; `None` before the first.
    pub fn progress(&self) -> Result<Option<Vec<u8>>, StateError> {
        self.store().progress()
    }

    /// Makes everything that was applied durable.
    pub fn sync(&self) -> Result<(), StateError> {
        let _alone = self.alone();
        self.store().db.flush_wal(true).map_err(said)
    }

    fn alone(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn damaged<E: Display>(ledger: &Path) -> impl Fn(E) -> OpenError {
    move |error| OpenError::Damaged { path: ledger.display().to_string(), reason: error.to_string() }
}

/// Always the present ledger. Several questions in a row may meet two; see [`Replica::store`].
impl State for Replica {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        self.store().get(table, key)
    }

    fn range(&self, table: Table, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StateError> {
        self.store().range(table, from, to, limit)
    }

    fn at_or_before(&self, table: Table, key: &[u8]) -> Result<Option<(Vec<u8>, Vec<u8>)>, StateError> {
        self.store().at_or_before(table, key)
    }

    fn record(&self, position: u64) -> Result<Option<Vec<u8>>, StateError> {
        self.store().record(position)
    }

    fn show_moment(&self, look: &mut dyn FnMut(&dyn State)) {
        self.store().show_moment(look);
    }

    fn each_row(&self, visit: &mut Visit<'_>) -> Result<(), StateError> {
        self.store().each_row(visit)
    }
}

impl Copies for Replica {
    fn copy_beside(&self) -> Result<(), StateError> {
        self.store().copy_beside()
    }
}
