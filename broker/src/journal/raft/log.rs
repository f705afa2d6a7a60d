//! The cluster's log and this node's vote: a RocksDB of their own, every write synced.
//!
//! What a node said it has, it has after a power cut: an entry that was acknowledged, a vote that was given. So nothing
//! here returns before it is on disk, and whatever fails ends the process, since openraft would try some of it again.
//!
//! The directory bears the number of the node it was made for. It is made once, by [`Log::create`]; [`Log::open`] never
//! makes one. A node whose log is gone has forgotten what it acknowledged and for whom it voted: it must not come back
//! under its number.

use std::fs::File;
use std::ops::{Bound, RangeBounds};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openraft::storage::{LogFlushed, LogState, RaftLogStorage};
use openraft::{LogId, OptionalSend, RaftLogReader, Vote};
use rocksdb::{
    ColumnFamily, DB, DBRecoveryMode, Direction, IteratorMode, Options, WriteBatch, WriteOptions, properties,
};
use serde::de::DeserializeOwned;

use super::durable::Durable;
use super::types::{Cluster, LogEntry, NodeId, StorageError, decode, encode};
use crate::ports::fail_stop;

/// Entries, by index (u64be): u64be bytes of the log up to here, then the entry.
const ENTRIES: &str = "entries";
/// The node's number, its vote, and how far the log was purged.
const META: &str = "meta";
const NODE: &[u8] = b"node";
const VOTE: &[u8] = b"vote";
const PURGED: &[u8] = b"purged";

/// The most that is read at once for another node; one entry at least. A message is smaller than 1 MB.
const READ_BYTES: u64 = 700_000;

/// A log that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is none.
    #[error("there is no log in {0}: if this node ever had one, it must come back under another number")]
    Missing(String),
    /// There is one already.
    #[error("there is a log in {0} already; nothing was changed")]
    Exists(String),
    /// It is another node's.
    #[error("the log in {path} is node {found}'s, and this is node {expected}; every node has a directory of its own")]
    OtherNode {
        /// Where.
        path: String,
        /// Whose it is.
        found: NodeId,
        /// Who opened it.
        expected: NodeId,
    },
    /// RocksDB refuses it, or it holds what cannot be.
    #[error("the log in {path} cannot be opened: {reason}")]
    Damaged {
        /// Where.
        path: String,
        /// Why.
        reason: String,
    },
}

/// See the module. Clones are the same log.
#[derive(Clone)]
pub struct Log {
    db: Arc<DB>,
    end: Arc<Mutex<End>>,
    durable: Durable,
}

/// Where the next entry goes.
#[derive(Clone, Copy, Default, Debug)]
struct End {
    /// `None` in a log that never held anything.
    next: Option<u64>,
    /// Bytes of all entries ever, so that stretches can be measured.
    bytes: u64,
}

/// How far the log was purged.
#[derive(serde::Serialize, serde::Deserialize)]
struct Purged {
    log_id: LogId<NodeId>,
    bytes: u64,
}

fn options() -> Options {
    let mut options = Options::default();
    options.set_paranoid_checks(true);
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_keep_log_file_num(10);
    options
}

fn families() -> impl Iterator<Item = (&'static str, Options)> {
    [ENTRIES, META].into_iter().map(|name| (name, options()))
}

/// Reading and writing that went wrong is never tried again.
fn certain<T, E: std::fmt::Display>(what: &str, result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| fail_stop(&format!("the cluster's log: {what}"), &error))
}

fn synced() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(true);
    options
}

impl Log {
    /// Makes the log of a node that never had one. A crash leaves none or an empty one, which [`Self::open`] takes.
    pub fn create(path: &Path, node: NodeId, durable: Durable) -> Result<Self, OpenError> {
        if path.join("CURRENT").exists() {
            return Err(OpenError::Exists(path.display().to_string()));
        }
        let damaged = |reason: String| OpenError::Damaged { path: path.display().to_string(), reason };
        let mut options = options();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        let db = DB::open_cf_with_opts(&options, path, families()).map_err(|error| damaged(error.to_string()))?;
        let meta = db.cf_handle(META).ok_or_else(|| damaged("no family for its vote".into()))?;
        db.put_cf_opt(meta, NODE, encode(&node), &synced()).map_err(|error| damaged(error.to_string()))?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(".".as_ref());
        File::open(parent).and_then(|parent| parent.sync_all()).map_err(|error| damaged(error.to_string()))?;
        drop(db);
        Self::open(path, node, durable)
    }

    /// Opens a node's log. What it purges waits for the ledger.
    pub fn open(path: &Path, node: NodeId, durable: Durable) -> Result<Self, OpenError> {
        let shown = || path.display().to_string();
        let damaged = |reason: String| OpenError::Damaged { path: shown(), reason };
        if !path.join("CURRENT").exists() {
            return Err(OpenError::Missing(shown()));
        }
        let db = DB::open_cf_with_opts(&options(), path, families()).map_err(|error| damaged(error.to_string()))?;
        let log = Self { db: Arc::new(db), end: Arc::default(), durable };
        match log.meta::<NodeId>(NODE) {
            None => return Err(damaged("it does not say whose it is".into())),
            Some(found) if found != node => return Err(OpenError::OtherNode { path: shown(), found, expected: node }),
            Some(_) => {}
        }
        *log.end() = log.find_end();
        Ok(log)
    }

    /// Whether it never held an entry or a vote: as it is when it is made.
    pub fn is_new(&self) -> bool {
        self.end().next.is_none() && self.meta::<Vote<NodeId>>(VOTE).is_none()
    }

    /// Bytes of the entries after this one.
    pub fn bytes_after(&self, index: u64) -> u64 {
        let end = self.end().bytes;
        end.saturating_sub(self.bytes_up_to(index).unwrap_or(end))
    }

    /// The last entry that may go if `keep` bytes of those up to `upto` are to stay; `None` if all do.
    pub fn purgeable(&self, upto: u64, keep: u64) -> Option<u64> {
        let bound = self.bytes_up_to(upto)?.checked_sub(keep)?;
        let (mut low, mut high) = (self.first()?, upto.checked_add(1)?);
        let first = low;
        // The entries before `low` end at or below the bound, those from `high` on above it.
        while low < high {
            let middle = low + (high - low) / 2;
            if self.bytes_up_to(middle)? <= bound { low = middle + 1 } else { high = middle }
        }
        low.checked_sub(1).filter(|last| *last >= first)
    }

    fn end(&self) -> MutexGuard<'_, End> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn family(&self, name: &str) -> &ColumnFamily {
        self.db.cf_handle(name).expect("opened with every family")
    }

    fn meta<T: DeserializeOwned>(&self, key: &[u8]) -> Option<T> {
        let bytes = certain("it cannot be read", self.db.get_cf(self.family(META), key));
        bytes.map(|bytes| certain("it is damaged", decode(&bytes)))
    }

    fn write(&self, batch: WriteBatch) {
        certain("a write failed", self.db.write_opt(batch, &synced()));
        // RocksDB tries again what it failed to write beside us. We do not believe a disk that failed once.
        let failed = certain("it cannot be asked", self.db.property_int_value(properties::BACKGROUND_ERRORS));
        if failed != Some(0) {
            fail_stop("the cluster's log", &"RocksDB failed to write a file of its own; its LOG says which");
        }
    }

    fn purged(&self) -> Option<Purged> {
        self.meta(PURGED)
    }

    fn first(&self) -> Option<u64> {
        self.entry_at(IteratorMode::Start).map(|(entry, _)| entry.log_id.index)
    }

    fn find_end(&self) -> End {
        let (next, bytes) = match self.entry_at(IteratorMode::End) {
            Some((entry, bytes)) => (entry.log_id.index.checked_add(1), bytes),
            None => match self.purged() {
                Some(purged) => (purged.log_id.index.checked_add(1), purged.bytes),
                None => (None, 0),
            },
        };
        End { next, bytes }
    }

    fn entry_at(&self, mode: IteratorMode<'_>) -> Option<(LogEntry, u64)> {
        let item = self.db.iterator_cf(self.family(ENTRIES), mode).next()?;
        let (key, value) = certain("it cannot be read", item);
        Some(read_entry(&key, &value))
    }

    fn bytes_up_to(&self, index: u64) -> Option<u64> {
        let purged = self.purged().filter(|purged| purged.log_id.index >= index);
        let read = || certain("it cannot be read", self.db.get_cf(self.family(ENTRIES), index.to_be_bytes()));
        purged.map(|purged| purged.bytes).or_else(|| Some(split(&read()?).0))
    }

    /// Entries from `from` up to and without `to`, until they are `limit` bytes long; the first one anyway.
    fn entries(&self, from: u64, to: u64, limit: u64) -> Vec<LogEntry> {
        let start = from.to_be_bytes();
        let mode = IteratorMode::From(&start, Direction::Forward);
        let (mut found, mut bytes) = (Vec::<LogEntry>::new(), 0_u64);
        for item in self.db.iterator_cf(self.family(ENTRIES), mode) {
            let (key, value) = certain("it cannot be read", item);
            let (entry, _) = read_entry(&key, &value);
            bytes = bytes.saturating_add(u64::try_from(value.len()).unwrap_or(u64::MAX));
            if entry.log_id.index >= to || (bytes > limit && !found.is_empty()) {
                break;
            }
            if found.last().is_some_and(|last| last.log_id.index + 1 != entry.log_id.index) {
                fail_stop("the cluster's log is damaged", &format!("there is nothing before {}", entry.log_id));
            }
            found.push(entry);
        }
        found
    }
}

fn split(value: &[u8]) -> (u64, &[u8]) {
    let (bytes, entry) =
        value.split_first_chunk().unwrap_or_else(|| fail_stop("the cluster's log is damaged", &"an entry is empty"));
    (u64::from_be_bytes(*bytes), entry)
}

fn read_entry(key: &[u8], value: &[u8]) -> (LogEntry, u64) {
    let (bytes, entry) = split(value);
    let entry: LogEntry = certain("it is damaged", decode(entry));
    if key != entry.log_id.index.to_be_bytes() {
        fail_stop("the cluster's log is damaged", &format!("{} is not in its place", entry.log_id));
    }
    (entry, bytes)
}

impl RaftLogReader<Cluster> for Log {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + std::fmt::Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<LogEntry>, StorageError> {
        let from = match range.start_bound() {
            Bound::Included(from) => *from,
            Bound::Excluded(before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(last) => last.saturating_add(1),
            Bound::Excluded(to) => *to,
            Bound::Unbounded => u64::MAX,
        };
        Ok(self.entries(from, to, u64::MAX))
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<LogEntry>, StorageError> {
        Ok(self.entries(start, end, READ_BYTES))
    }
}

impl RaftLogStorage<Cluster> for Log {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Cluster>, StorageError> {
        let last_purged_log_id = self.purged().map(|purged| purged.log_id);
        let last = self.entry_at(IteratorMode::End).map(|(entry, _)| entry.log_id);
        Ok(LogState { last_purged_log_id, last_log_id: last.or(last_purged_log_id) })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote<NodeId>) -> Result<(), StorageError> {
        let mut batch = WriteBatch::default();
        batch.put_cf(self.family(META), VOTE, encode(vote));
        self.write(batch);
        Ok(())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote<NodeId>>, StorageError> {
        Ok(self.meta(VOTE))
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<Cluster>) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = LogEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut end = *self.end();
        let mut batch = WriteBatch::default();
        for entry in entries {
            let index = entry.log_id.index;
            // In a log that holds nothing, the first one may have a snapshot before it. One that is there is truncated before
            // another one takes its place; openraft's tests write over it.
            if end.next.is_some_and(|next| next < index) {
                fail_stop("the cluster's log", &format!("{} would leave a hole: {:?} is next", entry.log_id, end.next));
            }
            let bytes = encode(&entry);
            let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            end = End { next: end.next.max(index.checked_add(1)), bytes: end.bytes.saturating_add(length) };
            batch.put_cf(self.family(ENTRIES), index.to_be_bytes(), [&end.bytes.to_be_bytes()[..], &bytes].concat());
        }
        self.write(batch);
        *self.end() = end;
        callback.log_io_completed(Ok(()));
        Ok(())
    }

    async fn truncate(&mut self, log_id: LogId<NodeId>) -> Result<(), StorageError> {
        let mut batch = WriteBatch::default();
        // No entry has the last index: the range is without its end.
        batch.delete_range_cf(self.family(ENTRIES), log_id.index.to_be_bytes(), u64::MAX.to_be_bytes());
        self.write(batch);
        *self.end() = self.find_end();
        Ok(())
    }

    async fn purge(&mut self, log_id: LogId<NodeId>) -> Result<(), StorageError> {
        if self.purged().is_some_and(|purged| purged.log_id >= log_id) {
            return Ok(());
        }
        self.durable.wait(log_id.index).await;
        let bytes = self.bytes_up_to(log_id.index).unwrap_or(self.end().bytes);
        let mut batch = WriteBatch::default();
        batch.put_cf(self.family(META), PURGED, encode(&Purged { log_id, bytes }));
        let after = log_id.index.saturating_add(1).to_be_bytes();
        batch.delete_range_cf(self.family(ENTRIES), 0_u64.to_be_bytes(), after);
        self.write(batch);
        *self.end() = self.find_end();
        Ok(())
    }
}
