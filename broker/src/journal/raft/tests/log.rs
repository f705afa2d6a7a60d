//! Log and ledger as openraft's own tests for storage want them, and as they are after a crash.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use openraft::storage::{RaftLogStorage, RaftLogStorageExt as _};
use openraft::testing::{StoreBuilder, Suite};
use openraft::{CommittedLeaderId, EntryPayload, LogId, RaftLogReader as _, Vote};
use serde_bytes::ByteBuf;
use tempfile::TempDir;

use super::super::durable::Durable;
use super::super::log::{Log, OpenError};
use super::super::machine::Machine;
use super::super::types::{Cluster, Group, LogEntry, NodeId, StorageError};
use crate::store::Replica;

/// A log that need not wait for a ledger.
fn alone() -> Durable {
    let durable = Durable::default();
    durable.reach(u64::MAX);
    durable
}

struct OnDisk;

impl StoreBuilder<Cluster, Log, Machine, TempDir> for OnDisk {
    async fn build(&self) -> Result<(TempDir, Log, Machine), StorageError> {
        let dir = tempfile::tempdir().expect("a directory");
        let replica = Replica::create(&dir.path().join("ledger")).expect("a ledger");
        let log = Log::create(&dir.path().join("raft"), 1, alone()).expect("a log");
        Ok((dir, log, Machine::new(Arc::new(replica))))
    }
}

#[test]
fn log_and_ledger_are_what_openraft_expects() {
    Suite::test_all(OnDisk).expect("openraft's own tests");
}

fn at(term: u64, index: u64) -> LogId<NodeId> {
    LogId::new(CommittedLeaderId::new(term, 1), index)
}

fn entry(term: u64, index: u64, bytes: usize) -> LogEntry {
    let group = Group { leader: None, records: vec![ByteBuf::from(vec![7; bytes])] };
    LogEntry { log_id: at(term, index), payload: EntryPayload::Normal(group) }
}

/// One write.
#[derive(Clone, Copy, Debug)]
enum Write {
    Vote(u64),
    Append(u64, u64, u64),
    Truncate(u64),
    Purge(u64),
}

/// What a log must hold.
#[derive(Clone, Default, PartialEq, Debug)]
struct Held {
    vote: Option<Vote<NodeId>>,
    purged: Option<LogId<NodeId>>,
    terms: BTreeMap<u64, u64>,
}

impl Held {
    fn after(mut self, write: Write) -> Self {
        match write {
            Write::Vote(term) => self.vote = Some(Vote::new(term, 1)),
            Write::Append(term, from, to) => self.terms.extend((from..=to).map(|index| (index, term))),
            Write::Truncate(from) => drop(self.terms.split_off(&from)),
            Write::Purge(upto) => {
                self.purged = Some(at(self.terms.get(&upto).copied().unwrap_or(9), upto));
                self.terms = self.terms.split_off(&(upto + 1));
            }
        }
        self
    }

    async fn of(mut log: Log) -> Self {
        let state = log.get_log_state().await.expect("readable");
        let entries = log.try_get_log_entries(..).await.expect("readable");
        let terms: BTreeMap<_, _> =
            entries.iter().map(|entry| (entry.log_id.index, entry.log_id.leader_id.term)).collect();
        let last = entries.last().map(|entry| entry.log_id).or(state.last_purged_log_id);
        assert_eq!(state.last_log_id, last);
        Self { vote: log.read_vote().await.expect("readable"), purged: state.last_purged_log_id, terms }
    }
}

async fn write(log: &mut Log, held: &Held, write: Write) {
    let done = match write {
        Write::Vote(term) => log.save_vote(&Vote::new(term, 1)).await,
        Write::Append(term, from, to) => log.blocking_append((from..=to).map(|index| entry(term, index, 100))).await,
        Write::Truncate(from) => log.truncate(at(1, from)).await,
        Write::Purge(_) => log.purge(held.purged.expect("purged")).await,
    };
    done.expect("written");
}

/// What is in the files at this moment is what a process that is killed now leaves.
fn killed(running: &Path, copy: &Path) {
    fs::create_dir(copy).expect("a directory");
    for file in fs::read_dir(running).expect("a directory") {
        let file = file.expect("a file").path();
        fs::copy(&file, copy.join(file.file_name().expect("a name"))).expect("copied");
    }
}

#[tokio::test]
async fn vote_and_entries_are_there_after_a_kill_between_any_two_writes() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut log = Log::create(&dir.path().join("raft"), 1, alone()).expect("a log");
    let mut held = Held::default();
    let writes = [
        Write::Vote(1),
        Write::Append(1, 0, 0),
        Write::Append(1, 1, 9),
        Write::Vote(2),
        Write::Truncate(6),
        Write::Append(2, 6, 8),
        Write::Purge(3),
        Write::Append(2, 9, 9),
        Write::Purge(9),
        Write::Append(2, 10, 12),
        Write::Truncate(10),
        Write::Append(3, 10, 10),
        // A snapshot that is further than the log.
        Write::Purge(40),
        Write::Append(9, 41, 43),
    ];
    for (number, next) in writes.into_iter().enumerate() {
        held = held.after(next);
        write(&mut log, &held, next).await;
        let copy = dir.path().join(number.to_string());
        killed(&dir.path().join("raft"), &copy);
        let left = Log::open(&copy, 1, alone()).expect("it opens");
        assert_eq!(Held::of(left).await, held, "after {next:?}");
    }
}

#[tokio::test]
async fn a_read_for_another_node_fits_a_message_and_is_never_empty() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut log = Log::create(&dir.path().join("raft"), 1, alone()).expect("a log");
    let sizes = [800_000, 300_000, 300_000, 300_000];
    log.blocking_append((0..4).zip(sizes).map(|(index, bytes)| entry(1, index, bytes))).await.expect("appended");
    let mut read = Vec::new();
    while read.iter().sum::<usize>() < 4 {
        let from = u64::try_from(read.iter().sum::<usize>()).expect("few");
        read.push(log.limited_get_log_entries(from, 4).await.expect("read").len());
    }
    assert_eq!(read, [1, 2, 1], "one that is too long alone, and then as many as fit");
}

#[tokio::test]
async fn bytes_are_counted_through_truncating_purging_and_opening() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("raft");
    let mut log = Log::create(&path, 1, alone()).expect("a log");
    log.blocking_append((0..10).map(|index| entry(1, index, 10_000))).await.expect("appended");
    let about = |bytes: u64, tens: u64| (tens * 10_000..tens * 10_100).contains(&bytes);
    assert!(about(log.bytes_after(0), 9));
    assert_eq!(log.bytes_after(9), 0);
    log.truncate(at(1, 8)).await.expect("truncated");
    assert!(about(log.bytes_after(0), 7));
    assert_eq!(log.purgeable(7, 1 << 30), None, "all of it is wanted");
    assert_eq!(log.purgeable(7, 35_000), Some(3), "four entries are more than 35,000 bytes, three are less");
    assert_eq!(log.purgeable(7, 0), Some(7));
    assert_eq!(log.purgeable(4, 15_000), Some(2), "counted back from what may go");
    log.purge(at(1, 3)).await.expect("purged");
    assert!(about(log.bytes_after(3), 4));
    assert_eq!(log.purgeable(7, 35_000), None);
    drop(log);
    let mut log = Log::open(&path, 1, alone()).expect("it opens");
    assert!(about(log.bytes_after(3), 4));
    log.purge(at(1, 7)).await.expect("purged");
    drop(log);
    let mut log = Log::open(&path, 1, alone()).expect("it opens");
    log.blocking_append([entry(1, 8, 10_000)]).await.expect("appended");
    assert!(about(log.bytes_after(7), 1));
}

#[tokio::test]
async fn nothing_is_purged_that_the_ledger_may_still_lose() {
    let dir = tempfile::tempdir().expect("a directory");
    let durable = Durable::default();
    let mut log = Log::create(&dir.path().join("raft"), 1, durable.clone()).expect("a log");
    log.blocking_append((0..10).map(|index| entry(1, index, 10))).await.expect("appended");
    durable.reach(5);
    let mut purging = Box::pin(log.purge(at(1, 6)));
    let waiting = tokio::time::timeout(std::time::Duration::from_millis(100), &mut purging).await;
    assert!(waiting.is_err(), "it waits for the ledger");
    durable.reach(6);
    purging.await.expect("purged");
    assert_eq!(log.get_log_state().await.expect("readable").last_purged_log_id, Some(at(1, 6)));
}

#[tokio::test]
async fn a_log_is_made_once_and_opened_by_its_own_node_only() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("raft");
    assert!(matches!(Log::open(&path, 1, alone()), Err(OpenError::Missing(_))), "nothing is made by opening");
    let mut log = Log::create(&path, 1, alone()).expect("a log");
    assert!(log.is_new());
    log.save_vote(&Vote::new(1, 1)).await.expect("saved");
    assert!(!log.is_new(), "a vote is something to remember");
    drop(log);
    assert!(matches!(Log::create(&path, 1, alone()), Err(OpenError::Exists(_))));
    assert!(matches!(Log::open(&path, 2, alone()), Err(OpenError::OtherNode { found: 1, expected: 2, .. })));
    assert!(!Log::open(&path, 1, alone()).expect("it opens").is_new());
    fs::remove_dir_all(&path).expect("wiped");
    assert!(matches!(Log::open(&path, 1, alone()), Err(OpenError::Missing(_))), "a wiped one is not begun anew");
}
