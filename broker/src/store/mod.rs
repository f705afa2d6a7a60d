//! The ledger's directory: a RocksDB with one column family per table, and one for the records.
//!
//! Knows keys and bytes, nothing of what they mean. The write-ahead log is always on; recovery takes back a torn tail
//! (what was never acknowledged) and refuses a damaged middle. A single node writes a [`Store`]; what a cluster decided is
//! applied to a [`Replica`], which holds one.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use netpay_crash_point::replica::Point;
use netpay_ledger::record::Record;
use netpay_ledger::rows::Table;
use netpay_ledger::working_set::Change;
use netpay_planted::{self as planted, Fault};
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, DB, DBRecoveryMode, Direction, IteratorMode, Options, WriteBatch,
    WriteOptions, properties,
};

use self::progress::PROGRESS;
use crate::ports::state::StateError;

mod contents;
mod copy;
mod pointer;
mod progress;
mod read;
mod replica;
#[cfg(test)]
mod tests;
mod upgrade;

pub use contents::Contents;
pub use copy::copy_of;
pub use pointer::settle;
pub use replica::{
    Applied, CHUNK_BYTES, Chunk, Entry, Incoming, Listed, MAX_MANIFEST_BYTES, Manifest, Place, Reader, ReceiveError,
    Replica, Snapshot,
};

const RECORDS: &str = "events";
/// How long opening may take. A large ledger takes seconds, on a slow disk perhaps a minute.
const OPEN_SECONDS: u64 = 600;
const READ_ONLY_TRIES: u32 = 40;
const READ_ONLY_PAUSE: Duration = Duration::from_millis(50);

/// A ledger directory that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{0} is in use by another process; stop that one first (one broker per directory)")]
    InUse(String),
    /// There is none.
    #[error("there is no ledger in {0}; make one with: netpay-broker init --dir DIR")]
    Missing(String),
    /// There is one already.
    #[error("there is a ledger in {0} already; nothing was changed")]
    Exists(String),
    /// An earlier version made it, and it has not been served since.
    #[error(
        "the ledger in {0} is of an earlier version; bring it up to date by serving it once (netpay-broker serve), \
         then try again"
    )]
    Older(String),
    /// It is a single node's.
    #[error("the ledger in {0} is of no cluster; make it one of a cluster with: netpay-broker cluster bootstrap")]
    Alone(String),
    /// There is no room to open it. It is not damaged.
    #[error("ledger directory {0} cannot be opened: the disk is full; make room and start again (nothing is lost)")]
    DiskFull(String),
    /// RocksDB does not come to an end.
    #[error(
        "ledger directory {path} was not open after {seconds} s: if the disk is not that slow (give it more with \
         NETPAY_OPEN_SECONDS), its list of files is damaged; restore a backup"
    )]
    Endless {
        /// Where.
        path: String,
        /// How long that was.
        seconds: u64,
    },
    /// RocksDB refuses it.
    #[error("ledger directory {path} cannot be opened: {reason}; restore a backup rather than repairing it")]
    Damaged {
        /// Where.
        path: String,
        /// What RocksDB says.
        reason: String,
    },
}

/// Holds a broker's directory for one process, also while the ledger in it is closed and moved. RocksDB's own lock moves
/// along with the ledger.
pub struct Hold(#[expect(dead_code, reason = "the lock lasts as long as the file is open")] File);

impl Hold {
    /// Takes it, or says who has it.
    pub fn take(dir: &Path) -> Result<Self, OpenError> {
        let path = dir.join("lock");
        let shown = || dir.display().to_string();
        let open = File::options().create(true).truncate(false).write(true).open(path);
        let file = open.map_err(|error| OpenError::Damaged { path: shown(), reason: error.to_string() })?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(_) => Err(OpenError::InUse(shown())),
        }
    }
}

/// An open ledger directory.
pub struct Store {
    db: DB,
    // After the database: it is closed first.
    home: Home,
}

/// The directory, which goes when it is closed if nobody needs it any more.
struct Home {
    path: PathBuf,
    unneeded: AtomicBool,
}

impl Drop for Home {
    fn drop(&mut self) {
        if self.unneeded.load(Ordering::Acquire) {
            Point::OldRemoving.reached();
            if let Err(error) = fs::remove_dir_all(&self.path) {
                tracing::warn!("{} is not needed any more and cannot be removed: {error}", self.path.display());
            }
        }
    }
}

/// What readers keep of all files together.
const READER_CACHE_BYTES: usize = 64 << 20;
/// What is not in files yet, of all families together: a reader takes it into memory, too.
const UNFLUSHED_BYTES: usize = 128 << 20;

fn options() -> Options {
    let mut options = Options::default();
    options.set_paranoid_checks(true);
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_compression_type(rocksdb::DBCompressionType::Lz4);
    options.set_keep_log_file_num(10);
    options.set_db_write_buffer_size(UNFLUSHED_BYTES);
    options.set_block_based_table_factory(&blocks());
    options
}

/// Most look-ups of requests and new e-coins find nothing.
fn blocks() -> BlockBasedOptions {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_bloom_filter(10.0, false);
    blocks
}

/// Every column family, with its own options: RocksDB does not take compression and filters from the database's.
fn families() -> impl Iterator<Item = (&'static str, Options)> {
    Table::ALL.iter().map(|table| table.name()).chain([RECORDS, upgrade::MARK]).map(|name| (name, options()))
}

/// The same for reading: whatever the ledger's size, all families share one cache, their indexes and filters in it.
fn families_of_a_reader(also: &[&'static str]) -> impl Iterator<Item = (&'static str, Options)> {
    let mut blocks = blocks();
    blocks.set_block_cache(&Cache::new_lru_cache(READER_CACHE_BYTES));
    blocks.set_cache_index_and_filter_blocks(true);
    families().chain(also.iter().map(|name| (*name, options()))).map(move |(name, mut options)| {
        options.set_block_based_table_factory(&blocks);
        (name, options)
    })
}

/// Waits for RocksDB, but not for ever: some damage to its list of files has it read in a circle (found by flipping bits).
fn patiently<T: Send + 'static>(path: &Path, open: impl FnOnce() -> T + Send + 'static) -> Result<T, OpenError> {
    let told = std::env::var("NETPAY_OPEN_SECONDS").ok().and_then(|told| told.parse().ok());
    let seconds = told.unwrap_or(OPEN_SECONDS);
    let (done, opened) = std::sync::mpsc::channel();
    std::thread::spawn(move || done.send(open()));
    let endless = |_| OpenError::Endless { path: path.display().to_string(), seconds };
    opened.recv_timeout(Duration::from_secs(seconds)).map_err(endless)
}

/// Opens for writing, which takes naming every family that is there: a single node's ledger has none of a cluster.
fn open_for_writing(path: &Path) -> Result<DB, rocksdb::Error> {
    match DB::open_cf_with_opts(&options(), path, families()) {
        Err(error) if error.to_string().contains("Column families not opened") => {
            DB::open_cf_with_opts(&options(), path, families().chain([(PROGRESS, options())]))
        }
        opened => opened,
    }
}

/// Whether RocksDB found a family missing.
fn lacks_a_family(error: &rocksdb::Error) -> bool {
    error.to_string().contains("Column family not found")
}

impl Store {
    /// Makes a new, empty ledger. Never touches one that is there.
    pub fn create(path: &Path) -> Result<Self, OpenError> {
        if path.join("CURRENT").exists() {
            return Err(OpenError::Exists(path.display().to_string()));
        }
        let mut options = options();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_error_if_exists(true);
        Self::opened(path, DB::open_cf_with_opts(&options, path, families()))
    }

    /// Opens a ledger for writing: one process at a time. One of an earlier version is brought up to date.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let there = Self::there(path)?;
        let at = there.clone();
        match patiently(path, move || open_for_writing(&at))? {
            Err(error) if lacks_a_family(&error) && upgrade::is_older(&there) => upgrade::open(&there),
            opened => Self::opened(path, opened),
        }
    }

    /// Opens a ledger for reading, as it stands on disk now, also while a broker serves it. RocksDB may then take a file
    /// away between reading the list of files and opening them; the next list is without it. Once open they stay open.
    pub fn open_read_only(path: &Path) -> Result<Self, OpenError> {
        Self::open_reader(path, &[])
    }

    /// The same, with how far a cluster's log was applied.
    fn open_member_read_only(path: &Path) -> Result<Self, OpenError> {
        Self::open_reader(path, &[PROGRESS])
    }

    fn open_reader(path: &Path, also: &'static [&'static str]) -> Result<Self, OpenError> {
        let families = || families_of_a_reader(also);
        for _ in 0..READ_ONLY_TRIES {
            // Anew each time: another one may have taken its place, and this one be gone.
            let there = Self::there(path)?;
            let at = there.clone();
            let open = move || DB::open_cf_with_opts_for_read_only(&options(), at, families(), false);
            match patiently(path, open)? {
                Err(error) if error.to_string().contains("No such file") => std::thread::sleep(READ_ONLY_PAUSE),
                Err(error) if lacks_a_family(&error) && upgrade::is_older(&there) => {
                    return Err(OpenError::Older(path.display().to_string()));
                }
                opened => return Self::opened(path, opened),
            }
        }
        let there = Self::there(path)?;
        Self::opened(path, DB::open_cf_with_opts_for_read_only(&options(), there, families(), false))
    }

    /// The directory that is the ledger now.
    fn there(path: &Path) -> Result<PathBuf, OpenError> {
        let there = pointer::present(path).ok().filter(|there| there.join("CURRENT").exists());
        there.ok_or_else(|| OpenError::Missing(path.display().to_string()))
    }

    fn opened(path: &Path, db: Result<DB, rocksdb::Error>) -> Result<Self, OpenError> {
        let path = path.display().to_string();
        let home = |db: &DB| Home { path: db.path().to_owned(), unneeded: AtomicBool::new(false) };
        db.map(|db| Self { home: home(&db), db }).map_err(|error| {
            let reason = error.to_string();
            match () {
                () if reason.contains("LOCK") => OpenError::InUse(path),
                () if reason.contains("No space left") => OpenError::DiskFull(path),
                () => OpenError::Damaged { path, reason },
            }
        })
    }

    /// Writes records and rows: all or nothing, on disk before it returns.
    pub fn write(&self, records: &[Record], changes: &[Change]) -> Result<(), StateError> {
        let mut batch = WriteBatch::default();
        for record in records {
            self.put_record(&mut batch, record.position, &record.to_bytes())?;
        }
        self.put_changes(&mut batch, changes)?;
        self.write_synced(batch)
    }

    fn put_record(&self, batch: &mut WriteBatch, position: u64, bytes: &[u8]) -> Result<(), StateError> {
        batch.put_cf(self.family(RECORDS)?, position.to_be_bytes(), bytes);
        Ok(())
    }

    fn put_changes(&self, batch: &mut WriteBatch, changes: &[Change]) -> Result<(), StateError> {
        for change in changes {
            let family = self.family(change.table.name())?;
            match &change.value {
                Some(value) => batch.put_cf(family, &change.key, value),
                None => batch.delete_cf(family, &change.key),
            }
        }
        Ok(())
    }

    fn write_synced(&self, batch: WriteBatch) -> Result<(), StateError> {
        let mut sync = WriteOptions::default();
        sync.set_sync(!planted::is(Fault::SyncSkipped));
        self.write_batch(batch, &sync)
    }

    fn write_batch(&self, batch: WriteBatch, how: &WriteOptions) -> Result<(), StateError> {
        self.db.write_opt(batch, how).map_err(said)?;
        // What RocksDB sorts and moves beside us it tries again when it failed, and goes on. We do not: a disk that failed
        // once is not to be believed.
        match self.db.property_int_value(properties::BACKGROUND_ERRORS).map_err(said)? {
            Some(0) => Ok(()),
            failed => {
                let times = failed.unwrap_or(0);
                let text =
                    format!("RocksDB failed {times} times to write a file of its own; the ledger's LOG says which");
                Err(StateError(text))
            }
        }
    }

    /// The last record's position and bytes.
    pub fn last_record(&self) -> Result<Option<(u64, Vec<u8>)>, StateError> {
        let last = self.db.iterator_cf(self.family(RECORDS)?, IteratorMode::End).next().transpose().map_err(said)?;
        last.map(|(key, value)| Ok((position(&key)?, value.into_vec()))).transpose()
    }

    /// Shows every record from `from` on, in order, until there are no more.
    pub fn each_record(
        &self,
        from: u64,
        visit: &mut dyn FnMut(u64, &[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let start = from.to_be_bytes();
        let mode = IteratorMode::From(&start, Direction::Forward);
        for item in self.db.iterator_cf(self.family(RECORDS)?, mode) {
            let (key, value) = item.map_err(said)?;
            visit(position(&key)?, &value)?;
        }
        Ok(())
    }

    fn family(&self, name: &str) -> Result<&ColumnFamily, StateError> {
        self.db.cf_handle(name).ok_or_else(|| StateError(format!("the ledger directory has no column family {name}")))
    }
}

fn position(key: &[u8]) -> Result<u64, StateError> {
    let bytes = key.try_into().map_err(|_| StateError("the ledger directory is damaged: events".into()))?;
    Ok(u64::from_be_bytes(bytes))
}

fn said(error: rocksdb::Error) -> StateError {
    StateError(error.to_string())
}
